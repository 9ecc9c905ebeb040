"""One-time passwords of authenticator apps (RFC 6238): keys, codes, and which time step a code is of. Pure.

It knows no rows and no clock; whoever asks keeps the step of the last code that was taken, under a row's lock.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from datetime import datetime
from urllib.parse import quote, urlencode

from django_otp.oath import hotp  # type: ignore[import-untyped]  # no stubs exist

KEY_BYTES = 20  # RFC 4226 §4 R6 recommends 160 bits
STEP_SECONDS = 30
DIGITS = 6
WINDOW = 1  # RFC 6238 §5.2: at most one step for the network's delay, and as much for a clock that runs ahead
_CODE = re.compile(r"[0-9]{6}")


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def code_of(key: bytes, step: int, *, digits: int = DIGITS) -> str:
    return str(hotp(key, step, digits=digits)).zfill(digits)


def step_at(moment: datetime) -> int:
    return int(moment.timestamp()) // STEP_SECONDS


def as_typed(code: str) -> str | None:
    """Six ASCII digits, or None. Apps show them in two halves, so spaces are let through; nothing else is made a digit:
    what two spellings mean must be one code, good once."""
    joined = code.replace(" ", "")
    return joined if _CODE.fullmatch(joined) else None


def step_of(key: bytes, code: str, *, now: datetime, last_step: int) -> int | None:
    """The step of a code that holds now and is later than the last one taken; None when there is none (§5.2)."""
    typed = as_typed(code)
    current = step_at(now)
    steps = range(current - WINDOW, current + WINDOW + 1)
    matching = [step for step in steps if hmac.compare_digest(code_of(key, step), typed or "")]
    return next((step for step in matching if step > last_step), None)


def base32(key: bytes) -> str:
    """How people type a key in: RFC 4648 §6, without padding."""
    return base64.b32encode(key).decode().rstrip("=")


def provisioning_uri(key: bytes, *, issuer: str, label: str) -> str:
    """What a QR code holds (the Key Uri Format that every authenticator app reads)."""
    parameters = {
        "secret": base32(key),
        "issuer": issuer,
        "algorithm": "SHA1",
        "digits": DIGITS,
        "period": STEP_SECONDS,
    }
    return f"otpauth://totp/{quote(f'{issuer}:{label}', safe=':@')}?{urlencode(parameters, quote_via=quote)}"
