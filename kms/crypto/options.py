"""What an owner fixed for all use of one object, beyond its operations: default modes, paddings, tokenisation format.

Bound to the object's blob like its operations, so that nobody loosens them behind our back. Names are the house's.
Pure: it must not know rows, rights or the wire.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kms.crypto.errors import ParameterInvalid


class CipherOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of a block cipher. ``random_iv``: the caller gives no IV. ``iv_bytes`` and ``tag_bits`` fix the lengths."""

    mode: str | None = None
    iv_bytes: int | None = None
    random_iv: bool | None = None
    tag_bits: int | None = None
    fpe: dict[str, Any] | None = None


class PaddingRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One padding that an RSA key may be used with; None matches any, for the padding and for MGF1's hash."""

    padding: str | None = None
    mgf_hash: str | None = None

    def admits(self, padding: str, mgf_hash: str | None) -> bool:
        return self.padding in (None, padding) and self.mgf_hash in (None, mgf_hash)


class RsaOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is not admitted by one of the rules is refused; None leaves the default of new keys.

    That is OAEP with any hash for encryption, and anything for signatures. A request without padding gets the first
    rule's.
    """

    encryption: tuple[PaddingRule, ...] | None = None
    signature: tuple[PaddingRule, ...] | None = None


class ExportRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """``wrapped``: never in clear. ``by`` are the ids of the only keys that may wrap it; empty means any."""

    wrapped: bool = False
    by: tuple[str, ...] = ()
    may_weaken: bool = False

    def may_become(self, other: ExportRule) -> bool:
        """A rule may always be tightened, and loosened only if it said so from the start."""
        if not self.wrapped or self.may_weaken:
            return True
        narrower = not self.by or (bool(other.by) and set(other.by) <= set(self.by))
        return other.wrapped and not other.may_weaken and narrower


class KeyOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    cipher: CipherOptions | None = None
    rsa: RsaOptions | None = None
    export: ExportRule | None = None
    derivation_path: tuple[int, ...] | None = None
    network: str | None = None

    @property
    def tokenises(self) -> bool:
        """Whether the object is for format-preserving encryption, and so for nothing else."""
        return self.cipher is not None and self.cipher.fpe is not None

    def refuse_specific(self, kind: str, *, cipher: bool = False, rsa: bool = False) -> None:
        """Refuse options of other kinds."""
        if self.cipher is not None and not cipher:
            raise ParameterInvalid(f"{kind} objects take no cipher options")
        if self.rsa is not None and not rsa:
            raise ParameterInvalid(f"{kind} objects take no rsa options")

    def changed(self, change: KeyOptions) -> KeyOptions:
        """With the parts that the change sets in place of these; an export rule that restricts nothing is none."""
        given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None}
        if change.export is not None and not change.export.wrapped:
            given["export"] = None
        return msgspec.structs.replace(self, **given)

    def encoded(self) -> bytes:
        """Canonical bytes for the blob's binding: empty when nothing is set."""
        return b"" if self == NO_OPTIONS else msgspec.json.encode(self, order="sorted")

    def stored(self) -> dict[str, Any]:
        """As the row keeps it."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value


NO_OPTIONS = KeyOptions()


def options_of(stored: dict[str, Any]) -> KeyOptions:
    """From the row. What does not fit is a damaged row: the binding would not open either."""
    return msgspec.convert(stored, KeyOptions) if stored else NO_OPTIONS
