"""The vendor's Python SDK, unmodified, told line by line what to call: run by the clients' own interpreter.

It stands alone: nothing of the project is importable there. A line in is a call, a line out is how it ended (`sdk.py`).
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")  # the SDK's own regular expressions

import sdkms.v1 as sdk  # noqa: E402 - after the filter
from sdkms.v1.rest import ApiException  # noqa: E402 - after the filter


def client(token: str, username: str, password: str) -> Any:
    configuration = sdk.configuration.Configuration()
    configuration.host, configuration.ssl_ca_cert = os.environ["STEPS_URL"], os.environ["STEPS_CA"]
    configuration.username, configuration.password = username, password
    configuration.app_api_key = ""
    if token:
        configuration.api_key["Authorization"] = token
        configuration.api_key_prefix["Authorization"] = "Bearer"
    return sdk.ApiClient(configuration=configuration)


def done(call: dict[str, Any]) -> Any:
    """One of the SDK's functions, or a path that it has no function for."""
    caller = client(call["token"], call["username"], call["password"])
    if call["api"]:
        function = getattr(getattr(sdk, call["api"])(api_client=caller), call["name"])
        return caller.sanitize_for_serialization(function(*call["arguments"], **call["named"]))
    method, path, body = call["arguments"]
    settings = {"response_type": "object", "auth_settings": ["bearerToken"], "_return_http_data_only": True}
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return caller.call_api(path, method, {}, [], headers, body=body, **settings)


def main() -> None:
    for line in sys.stdin:
        try:
            answer = {"result": done(json.loads(line))}
        except ApiException as error:
            answer = {"status": error.status, "said": str(error.body)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
