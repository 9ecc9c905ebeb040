"""What anyone may ask of the server: its version and whether it can serve. They touch no key and leave no record."""

from __future__ import annotations

import msgspec

from kms import __version__
from kms.api.handling import Outgoing, failed
from kms.operations import health as checks

# The vendor's API as of which clients may expect us to behave.
API_VERSION = "v1-20260710"


def version() -> Outgoing:
    body = {"version": __version__, "api_version": API_VERSION, "server_mode": "Software", "fips_level": None}
    return Outgoing(200, msgspec.json.encode(body))


def health() -> Outgoing:
    try:
        checks.check()
    except Exception as error:
        return failed(error)
    return Outgoing(204, b"")
