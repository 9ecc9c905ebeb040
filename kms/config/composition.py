"""Puts the parts together: settings become plain values and are handed down. Nothing below reads settings."""

from __future__ import annotations

from django.conf import settings

from kms.config.environment import Environment
from kms.config.token import token_library, token_pin
from kms.hsm.module import CryptographicModule
from kms.hsm.pkcs11 import Pkcs11Module
from kms.operations.wire_form import Wire


def cryptographic_module() -> CryptographicModule:
    """The token this process uses. Nothing connects before the first call on it."""
    environment: Environment = settings.KEYSTEAD
    return Pkcs11Module(
        str(token_library(environment)),
        environment.token_label,
        token_pin(environment),
        lock_file=environment.token_folder / "start.lock",
        cache_size=environment.handle_cache,
    )


def wire() -> Wire:
    """Who reads and writes calls that are kept. Its routes are read at the first, not by every command of ours."""
    from kms.api.replay import Replay

    return Replay()
