"""`python -m kms.config.healthcheck`: does the server of this environment answer? For containers, which have no curl.

Loads no Django and no token, so that it costs little every few seconds.
"""

from __future__ import annotations

import http.client
import ssl
import sys

from kms.config.environment import Environment, read_environment

PATH = "/sys/v1/health"
TIMEOUT_SECONDS = 4.0


def healthy(environment: Environment) -> bool:
    connection = _connection(environment)
    try:
        connection.request("GET", PATH)
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _connection(environment: Environment) -> http.client.HTTPConnection:
    listen = environment.listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 (compared, not bound)
    if not listen.tls:
        return http.client.HTTPConnection(host, listen.port, timeout=TIMEOUT_SECONDS)
    # The certificate we serve is itself the anchor: this asks "is it us", whoever issued it and for whatever name.
    context = ssl.create_default_context(cafile=str(environment.tls_cert))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return http.client.HTTPSConnection(host, listen.port, timeout=TIMEOUT_SECONDS, context=context)


if __name__ == "__main__":
    sys.exit(not healthy(read_environment()))
