#!/usr/bin/env python
"""Django's command line. `manage.py run` provisions and serves; `manage.py help` lists the rest."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kms.config.settings")
    from django.core.management import execute_from_command_line

    from kms.config.environment import ConfigurationError

    try:
        execute_from_command_line(sys.argv)
    except ConfigurationError as error:
        sys.exit(f"Configuration: {error}")


if __name__ == "__main__":
    main()
