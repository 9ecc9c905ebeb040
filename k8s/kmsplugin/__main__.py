"""`python -m k8s.kmsplugin --config FILE`: serve until SIGTERM or SIGINT. `--check`: one round trip, and its end."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from k8s import logs
from k8s.client import Call, Client, KeysteadError
from k8s.client.keys import Keys
from k8s.kmsplugin import __version__
from k8s.kmsplugin.config import Configuration, ConfigurationInvalid, load
from k8s.kmsplugin.master_key import MasterKey
from k8s.kmsplugin.server import serve
from k8s.kmsplugin.unix_socket import SocketUnusable


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m k8s.kmsplugin", description="Keystead's Kubernetes KMS plugin")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML; see docs/kubernetes-kms.md")
    parser.add_argument("--check", action="store_true", help="encrypt and decrypt once, say how it went, and end")
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args()
    try:
        configuration = load(arguments.config)
        logs.configure(configuration.log_level)
        if arguments.check:
            return _check(configuration)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        serve(configuration, stop)
    except (ConfigurationInvalid, SocketUnusable, OSError) as error:
        print(f"kmsplugin: {error}", file=sys.stderr)
        return 2
    return 0


def _check(configuration: Configuration) -> int:
    client = Client(configuration.server, configuration.credential)
    key = MasterKey(Keys(client), configuration.key.name, configuration.key.cluster)
    try:
        found = key.proven(Call.within(configuration.server.deadline_seconds))
        print(f"{configuration.key.name} is {found}, and works")
        return 0
    except KeysteadError as error:
        print(f"kmsplugin: {type(error).__name__.lower()}: {error}", file=sys.stderr)
        return 1
    finally:
        client.close()


if __name__ == "__main__":
    sys.exit(main())
