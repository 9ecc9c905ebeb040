"""What kinds of security objects are offered, with the words and the advice that stand beside them.

It is a menu: what may be made, and of which size, the API decides. A test holds it against the server's own registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise

# What a key may be used for: the API's word, its name and what that means.
OPERATIONS: Mapping[str, tuple[Text, Text]] = {
    "ENCRYPT": (_("Encrypt"), _("Turn readable data into ciphertext.")),
    "DECRYPT": (_("Decrypt"), _("Turn ciphertext back into readable data.")),
    "SIGN": (_("Sign"), _("Make digital signatures.")),
    "VERIFY": (_("Verify"), _("Check digital signatures.")),
    "WRAPKEY": (_("Wrap keys"), _("Encrypt other keys, so that they can leave the server.")),
    "UNWRAPKEY": (_("Unwrap keys"), _("Bring in keys that were encrypted under this one.")),
    "MACGENERATE": (_("Make MACs"), _("Make codes that show that a message is unchanged.")),
    "MACVERIFY": (_("Verify MACs"), _("Check message authentication codes.")),
    "DERIVEKEY": (_("Derive keys"), _("Make further keys from this one.")),
    "AGREEKEY": (_("Agree on keys"), _("Make a shared key with the owner of another key.")),
    "TRANSFORM": (_("Transform"), _("Make child keys of a key tree.")),
    "ENCAPSULATE": (_("Encapsulate"), _("Make a shared key for the owner of this one.")),
    "DECAPSULATE": (_("Decapsulate"), _("Get back a shared key that was made for this one.")),
    "EXPORT": (_("Export"), _("Let the key itself leave the server in the clear.")),
    "APPMANAGEABLE": (_("Managed by apps"), _("Apps may change and destroy it, not only people.")),
    "HIGHVOLUME": (_("High volume"), _("A mark for other systems; it changes nothing here.")),
}
MANAGEMENT = ("EXPORT", "APPMANAGEABLE")


@dataclass(frozen=True, slots=True)
class Size:
    """One choice of size, curve or parameter set. ``operations`` where it can do less than its kind."""

    value: str
    label: Text
    note: Text = ""
    advice: str = ""
    operations: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    label: Text
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """``sized`` says what ``sizes`` are: bits ("key_size"), a curve, a parameter set, or the shape of a secret."""

    name: str
    label: Text
    about: Text
    icon: str
    sized: str
    sizes: tuple[Size, ...]
    operations: tuple[str, ...]
    defaults: tuple[str, ...]
    presets: tuple[Preset, ...] = ()
    legacy: bool = False

    @property
    def first(self) -> str:
        """The size that is advised."""
        return next((size.value for size in self.sizes if size.advice == "best"), self.sizes[0].value)

    def size_named(self, value: str) -> Size | None:
        return next((size for size in self.sizes if size.value == value), None)

    def possible(self, value: str) -> tuple[str, ...]:
        """What a key of this size can do at all."""
        size = self.size_named(value)
        return self.operations if size is None or size.operations is None else (*size.operations, *MANAGEMENT)


_CIPHER = ("ENCRYPT", "DECRYPT", "WRAPKEY", "UNWRAPKEY", "DERIVEKEY", "MACGENERATE", "MACVERIFY", *MANAGEMENT)
_DATA = Preset(_("Encrypt data"), ("ENCRYPT", "DECRYPT", "APPMANAGEABLE"))
_WRAP = Preset(_("Wrap keys"), ("WRAPKEY", "UNWRAPKEY", "APPMANAGEABLE"))
_SIGN = Preset(_("Sign"), ("SIGN", "VERIFY", "APPMANAGEABLE"))
_AUTHENTICATE = Preset(_("Authenticate messages"), ("MACGENERATE", "MACVERIFY", "APPMANAGEABLE"))
_SIGN_ONLY, _AGREE_ONLY = ("SIGN", "VERIFY"), ("AGREEKEY",)

KINDS: tuple[Kind, ...] = (
    Kind(
        "AES",
        "AES",
        _("Encrypts data and wraps keys. The usual choice."),
        "lock",
        "key_size",
        (
            Size("256", _("256 bits"), _("Also safe against quantum computers."), "best"),
            Size("192", _("192 bits")),
            Size("128", _("128 bits")),
        ),
        _CIPHER,
        ("ENCRYPT", "DECRYPT", "WRAPKEY", "UNWRAPKEY", "DERIVEKEY", "MACGENERATE", "MACVERIFY", "APPMANAGEABLE"),
        (_DATA, _WRAP, _AUTHENTICATE),
    ),
    Kind(
        "RSA",
        "RSA",
        _("A key pair that signs, or encrypts small data."),
        "key-round",
        "key_size",
        (
            Size("3072", _("3072 bits"), _("128 bits of security."), "best"),
            Size("4096", _("4096 bits"), _("Slower; a little stronger.")),
            Size("8192", _("8192 bits"), _("Very slow.")),
            Size("2048", _("2048 bits"), _("Not for use after 2030 (NIST SP 800-57)."), "legacy"),
        ),
        ("SIGN", "VERIFY", "ENCRYPT", "DECRYPT", "WRAPKEY", "UNWRAPKEY", *MANAGEMENT),
        ("SIGN", "VERIFY", "ENCRYPT", "DECRYPT", "WRAPKEY", "UNWRAPKEY", "APPMANAGEABLE"),
        (_SIGN, _DATA, _WRAP),
    ),
    Kind(
        "EC",
        _("Elliptic curve"),
        _("A small, fast key pair that signs or agrees on keys."),
        "git-branch",
        "elliptic_curve",
        (
            Size("NistP256", "NIST P-256", _("Understood everywhere."), "best"),
            Size("NistP384", "NIST P-384"),
            Size("NistP521", "NIST P-521"),
            Size("Ed25519", "Ed25519", _("Signs only."), "", _SIGN_ONLY),
            Size("X25519", "X25519", _("Agrees on keys only."), "", _AGREE_ONLY),
            Size("SecP256K1", "secp256k1", _("For blockchains.")),
            Size("NistP224", "NIST P-224", _("112 bits of security."), "legacy"),
        ),
        ("SIGN", "VERIFY", "AGREEKEY", *MANAGEMENT),
        ("SIGN", "VERIFY", "AGREEKEY", "APPMANAGEABLE"),
        (_SIGN, Preset(_("Agree on keys"), ("AGREEKEY", "APPMANAGEABLE"))),
    ),
    Kind(
        "HMAC",
        "HMAC",
        _("Shows that messages are unchanged, by a shared key."),
        "hash",
        "key_size",
        (
            Size("256", _("256 bits"), _("For HMAC-SHA-256."), "best"),
            Size("384", _("384 bits"), _("For HMAC-SHA-384.")),
            Size("512", _("512 bits"), _("For HMAC-SHA-512.")),
            Size("160", _("160 bits"), _("For HMAC-SHA-1."), "legacy"),
        ),
        ("MACGENERATE", "MACVERIFY", "DERIVEKEY", *MANAGEMENT),
        ("MACGENERATE", "MACVERIFY", "APPMANAGEABLE"),
        (_AUTHENTICATE,),
    ),
    Kind(
        "MLDSA",
        "ML-DSA",
        _("Signatures that withstand quantum computers (FIPS 204)."),
        "shield-check",
        "mldsa",
        (
            Size("MlDsa65", "ML-DSA-65", _("As strong as AES-192."), "best"),
            Size("MlDsa87", "ML-DSA-87", _("As strong as AES-256.")),
            Size("MlDsa44", "ML-DSA-44", _("As strong as SHA-256 collisions.")),
        ),
        ("SIGN", "VERIFY", *MANAGEMENT),
        ("SIGN", "VERIFY", "APPMANAGEABLE"),
        (_SIGN,),
    ),
    Kind(
        "MLKEM",
        "ML-KEM",
        _("Key exchange that withstands quantum computers (FIPS 203)."),
        "shield-check",
        "mlkem",
        (
            Size("MlKem768", "ML-KEM-768", _("As strong as AES-192."), "best"),
            Size("MlKem1024", "ML-KEM-1024", _("As strong as AES-256.")),
        ),
        ("ENCAPSULATE", "DECAPSULATE", *MANAGEMENT),
        ("ENCAPSULATE", "DECAPSULATE", "APPMANAGEABLE"),
        (Preset(_("Exchange keys"), ("ENCAPSULATE", "DECAPSULATE", "APPMANAGEABLE")),),
    ),
    Kind(
        "SECRET",
        _("Secret"),
        _("A password, PIN or token that the console makes up and the server keeps."),
        "fingerprint",
        "secret",
        (
            Size("password-24", _("Password of 24 characters"), _("Letters and digits, without look-alikes."), "best"),
            Size("password-40", _("Password of 40 characters")),
            Size("token-32", _("Token of 256 bits"), _("As base64url, for programs.")),
            Size("pin-6", _("PIN of 6 digits"), _("Only where tries are counted."), "legacy"),
            Size("pin-12", _("PIN of 12 digits"), _("Only where tries are counted.")),
        ),
        ("DERIVEKEY", *MANAGEMENT),
        ("EXPORT", "APPMANAGEABLE"),
    ),
    Kind(
        "DES3",
        _("Triple DES"),
        _("Only for old systems: NIST disallows it for encryption since 2024."),
        "history",
        "key_size",
        (
            Size("168", _("168 bits, three keys"), _("112 bits of security."), "legacy"),
            Size("112", _("112 bits, two keys"), _("About 80 bits of security."), "legacy"),
        ),
        _CIPHER,
        ("ENCRYPT", "DECRYPT", "WRAPKEY", "UNWRAPKEY", "DERIVEKEY", "MACGENERATE", "MACVERIFY", "APPMANAGEABLE"),
        (_DATA, _WRAP),
        legacy=True,
    ),
)
_BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}


def kind_named(name: str) -> Kind | None:
    return _BY_NAME.get(name)
