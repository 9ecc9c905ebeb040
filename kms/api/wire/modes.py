"""What the wire calls ``mode``: a cipher mode by its name, RSA's paddings and ML-DSA's variants as objects.

It must not know requests, keys or what a mode does.
"""

from __future__ import annotations

from typing import Any

from kms.api.wire.base import WireError

ENCRYPTION_PADDINGS = ("OAEP", "PKCS1_V15", "RAW_DECRYPT")
SIGNATURE_PADDINGS = ("PKCS1_V15", "PSS")
MASKED_PADDINGS = ("OAEP", "PSS")
# What the paddings were called before they had options; the Python client lists these names still.
OLDER_PADDINGS: dict[str, tuple[str, str | None]] = {
    "PKCS1_V15": ("PKCS1_V15", None),
    "OAEP_MGF1_SHA1": ("OAEP", "SHA1"),
    "OAEP_MGF1_SHA256": ("OAEP", "SHA256"),
    "OAEP_MGF1_SHA384": ("OAEP", "SHA384"),
    "OAEP_MGF1_SHA512": ("OAEP", "SHA512"),
}
ML_DSA_VARIANTS = ("PURE", "PRE_HASH", "EXTERNAL_MU")


def encryption_mode(value: Any) -> dict[str, Any]:
    """A cipher mode by name, or RSA's padding as an object: ``{"OAEP": {"mgf": {"mgf1": {"hash": "SHA256"}}}}``."""
    if isinstance(value, str) and value in OLDER_PADDINGS:
        padding, mgf_hash = OLDER_PADDINGS[value]
        return {"padding": padding, "mgf_hash": mgf_hash}
    if value is None or isinstance(value, str):
        return {"mode": value}
    padding, options = _one_of(value, ENCRYPTION_PADDINGS, "mode is the name of a cipher mode, or an object")
    return {"padding": padding, "mgf_hash": _mgf_hash(padding, options)}


def signature_mode(value: Any) -> dict[str, Any]:
    """RSA's padding as an object, or ML-DSA's ``{"variant": "PURE"}``."""
    if value is None:
        return {}
    if isinstance(value, dict) and value.keys() == {"variant"}:
        if value["variant"] not in ML_DSA_VARIANTS:
            raise WireError(f"Invalid request: variant is one of {', '.join(ML_DSA_VARIANTS)}")
        return {"variant": value["variant"]}
    padding, options = _one_of(value, SIGNATURE_PADDINGS, "mode is {variant} for ML-DSA, and for RSA an object")
    return {"padding": padding, "mgf_hash": _mgf_hash(padding, options)}


def _one_of(value: Any, names: tuple[str, ...], what: str) -> tuple[str, Any]:
    """The vendor's tagged unions: an object with one field, whose name says what it is."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, options),) = value.items()
        if name in names:
            return name, options
    raise WireError(f"Invalid request: {what} with one of {', '.join(names)}")


def _mgf_hash(padding: str, options: Any) -> str | None:
    """``{"mgf": {"mgf1": {"hash": "SHA256"}}}``, of paddings that have one; left out, the key's policy says which."""
    if options is None or options == {}:
        return None
    try:
        if padding in MASKED_PADDINGS and options.keys() == {"mgf"} and options["mgf"].keys() == {"mgf1"}:
            ((name, value),) = options["mgf"]["mgf1"].items()
            if name == "hash" and isinstance(value, str):
                return value
    except (AttributeError, ValueError):
        pass
    takes = "mgf: {mgf1: {hash}}" if padding in MASKED_PADDINGS else "no options"
    raise WireError(f"Invalid request: {padding} takes {takes}")
