"""`python -m k8s.webhook --config FILE`: serve until SIGTERM or SIGINT. `--check`: is the configuration right?"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from k8s import logs
from k8s.webhook import __version__
from k8s.webhook.config import ConfigurationInvalid, load
from k8s.webhook.server import Webhook


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m k8s.webhook", description="Keystead's admission webhook")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML; docs/kubernetes-secrets.md")
    parser.add_argument("--check", action="store_true", help="read the configuration, say what is wrong, and end")
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args()
    try:
        configuration = load(arguments.config)
        logs.configure(configuration.log_level)
        webhook = Webhook(configuration)
        if not arguments.check:
            asyncio.run(webhook.serve())
    except (ConfigurationInvalid, OSError) as error:
        print(f"webhook: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
