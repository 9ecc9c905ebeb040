"""Settings of the TLS connection to an identity provider: whose certificates are believed. It must not know the wire.

The canonical form is ``{"authorities": [PEM, …]}``; an empty list stands for the system's authorities.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accounts.sso.kind import Config, Given, SettingInvalid

MAX_AUTHORITIES = 8


def parse_tls(settings: Mapping[str, Any] | None) -> Config:
    """The settings as DSM clients give them: a mode, and certificate authorities that are pinned or the system's.

    Or as they are kept.
    """
    if settings is None:
        return {"authorities": []}
    given = Given(settings)
    if "authorities" in settings:
        kept = [_read(pem.encode()) for pem in given.texts("authorities", most=MAX_AUTHORITIES)]
        given.end()
        return {"authorities": kept}
    mode = given.choice("mode", "required", default="required")
    authorities = _authorities(given.mapping("ca"))
    if not given.flag("validate_hostname", default=True):
        raise SettingInvalid("validate_hostname must be true: else any certificate of the authority would do")
    for name in ("client_cert", "client_key"):
        if given.text(name):
            raise SettingInvalid(f"not supported here: {name}")
    given.end()
    assert mode == "required"  # the only choice
    return {"authorities": authorities}


def wire_tls(config: Config) -> Config:
    """The canonical form as DSM clients read it."""
    pinned = [base64.b64encode(_der(pem)).decode() for pem in config["authorities"]]
    return {"mode": "required", "validate_hostname": True, "ca": {"pinned": pinned} if pinned else _GLOBAL}


def trust_of(config: Config) -> ssl.SSLContext:
    authorities = config["authorities"]
    context = ssl.create_default_context(cadata="\n".join(authorities) if authorities else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


_GLOBAL = {"ca_set": "global_roots"}


def _authorities(ca: Mapping[str, Any] | None) -> list[str]:
    if ca is None or ca == _GLOBAL:
        return []
    given = Given(ca)
    pinned = given.texts("pinned", most=MAX_AUTHORITIES)
    given.end()
    if not pinned:
        raise SettingInvalid('ca is {"ca_set": "global_roots"} or {"pinned": [certificates in base64]}')
    return [_pem(text) for text in pinned]


def _pem(text: str) -> str:
    """A certificate as base64 of its DER or PEM."""
    try:
        return _read(base64.b64decode(text, validate=True))
    except ValueError:
        raise SettingInvalid("ca.pinned holds certificates (RFC 5280), DER or PEM in base64") from None


def _read(data: bytes) -> str:
    load = x509.load_pem_x509_certificate if data.startswith(b"-----") else x509.load_der_x509_certificate
    try:
        return load(data).public_bytes(Encoding.PEM).decode()
    except ValueError:
        raise SettingInvalid("a certificate of an authority (RFC 5280) cannot be read") from None


def _der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
