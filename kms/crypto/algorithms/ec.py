"""Elliptic curve keys: one kind for curves of three families, each with its own schemes (a file beside this one)."""

from __future__ import annotations

from kms.crypto.algorithm import Described, Key, Message, SignatureParameters
from kms.crypto.algorithms.edwards import Edwards
from kms.crypto.algorithms.montgomery import Montgomery
from kms.crypto.algorithms.weierstrass import Weierstrass
from kms.crypto.asymmetric import KeyPairs, PublicKey, described, load_either, load_public, private_der
from kms.crypto.curve_family import CurveFamily
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import KeyOptions
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

FAMILIES: tuple[CurveFamily, ...] = (Weierstrass(), Edwards(), Montgomery())
# Curve -> its size in bits.
CURVES = {curve: size for family in FAMILIES for curve, size in family.sizes.items()}
_FAMILY_OF = {curve: family for family in FAMILIES for curve in family.sizes}
# Curves that the wire can name and nothing here computes on.
_WITHOUT = {
    "SecP192K1": "neither the token nor the library has it, and 96 bits of security are too few",
    "SecP224K1": "neither the token nor the library has it",
    "Gost256A": "neither the token nor the library has GOST signatures",
}


class EllipticCurve(KeyPairs):
    kind = "EC"
    operations = MANAGEMENT | {KeyOperation.SIGN, KeyOperation.VERIFY, KeyOperation.AGREE}
    defaults = frozenset({KeyOperation.SIGN, KeyOperation.VERIFY, KeyOperation.AGREE, KeyOperation.APP_MANAGEABLE})
    # A public key alone is agreed *with*: the peer's.
    public_operations = KeyPairs.public_operations | {KeyOperation.AGREE}

    def operations_of(self, spec: KeySpec) -> frozenset[KeyOperation]:
        return MANAGEMENT | _FAMILY_OF[spec.curve or ""].operations

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        if curve is None:
            raise ParameterInvalid(f"an EC key needs elliptic_curve: one of {', '.join(CURVES)}")
        if curve not in CURVES:
            why = f": {_WITHOUT[curve]}" if curve in _WITHOUT else ""
            raise AlgorithmUnsupported(f"the curve {curve} is not supported{why}; use one of {', '.join(CURVES)}")
        if size is not None and size != CURVES[curve]:
            raise ParameterInvalid(f"the curve {curve} has {CURVES[curve]} bits, not {size}")
        return KeySpec(self.kind, CURVES[curve], curve)

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        curve = spec.curve or ""
        return private_der(_FAMILY_OF[curve].generate(curve))

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        key, public = load_either(material)
        name = _curve_of(public)
        if name is None:
            raise ParameterInvalid("the value is not an EC key on a supported curve")
        if curve is not None and curve != name:
            raise ParameterInvalid(f"elliptic_curve is {curve}, but the key is on {name}")
        if size is not None and size != CURVES[name]:
            raise ParameterInvalid(f"key_size is {size}, but the curve {name} has {CURVES[name]} bits")
        return described(KeySpec(self.kind, CURVES[name], name), key, public)

    def sign_needs_material(self, parameters: SignatureParameters) -> bool:
        """Tokens sign with fresh randomness; a signature by RFC 6979 is computed here."""
        return bool(parameters.deterministic)

    def sign(self, key: Key, parameters: SignatureParameters, message: Message, *, options: KeyOptions) -> bytes:
        return _FAMILY_OF[key.spec.curve or ""].sign(key, parameters, message)

    def verify(
        self,
        public: bytes,
        parameters: SignatureParameters,
        message: Message,
        signature: bytes,
        *,
        options: KeyOptions,
    ) -> bool:
        key = load_public(public)
        return _FAMILY_OF[_curve_of(key) or ""].verify(key, parameters, message, signature)

    def agree(self, key: Key, peer: bytes) -> SecretBytes:
        theirs = load_public(peer)
        own, name = key.spec.curve or "", _curve_of(theirs)
        if name != own:
            raise ParameterInvalid(f"the private key is on {own}, and the peer's key on {name or 'no curve'}")
        return _FAMILY_OF[own].agree(key, theirs)


def _curve_of(public: PublicKey) -> str | None:
    return next((name for family in FAMILIES if (name := family.curve_of(public)) is not None), None)
