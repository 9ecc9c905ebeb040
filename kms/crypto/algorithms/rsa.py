"""RSA (RFC 8017): signatures by PKCS#1 v1.5 and PSS, encryption by OAEP and, where a key's owner allows it, v1.5.

The token computes with the private key; paddings of decryption are taken off here (rsa_padding says why).
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kms.crypto import rsa_padding
from kms.crypto.algorithm import (
    CipherParameters,
    Described,
    Encrypted,
    Key,
    LentKey,
    Message,
    SignatureParameters,
)
from kms.crypto.asymmetric import KeyPairs, described, load_either, load_public, refuse_variant
from kms.crypto.digest import digest_size
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import KeyOptions, PaddingRule
from kms.hsm.errors import DataRejected
from kms.hsm.module import KeySpec, OpenedKey, RsaPkcs1v15, RsaPss, RsaRaw, SignMechanism
from kms.secret import SecretBytes

# SP 800-131A rev 2 §3: generate from 2048 bits; older keys are imported to verify and decrypt what exists.
MIN_GENERATED, MIN_IMPORTED, MAX_BITS = 2048, 1024, 8192
HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA1": hashes.SHA1(),  # noqa: S303 - verification of old signatures; the token refuses nothing here either
    "SHA224": hashes.SHA224(),
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}
OAEP, PKCS1_V15, RAW_DECRYPT, PSS = "OAEP", "PKCS1_V15", "RAW_DECRYPT", "PSS"
_ENCRYPTION, _SIGNATURE = (OAEP, PKCS1_V15, RAW_DECRYPT), (PKCS1_V15, PSS)
# The vendor's defaults of a new key: OAEP alone, and any signature.
_ENCRYPTION_RULES, _SIGNATURE_RULES = (PaddingRule(OAEP),), (PaddingRule(),)
# RFC 8017 §A.2.1 defaults OAEP to SHA-1, where no collision helps an attacker.
_OAEP_HASH = "SHA1"
_REJECTION_DOMAIN = b"keystead RSA implicit rejection v1"


class Rsa(KeyPairs):
    kind = "RSA"
    operations = MANAGEMENT | {
        KeyOperation.SIGN,
        KeyOperation.VERIFY,
        KeyOperation.ENCRYPT,
        KeyOperation.DECRYPT,
        KeyOperation.WRAP,
        KeyOperation.UNWRAP,
    }
    defaults = frozenset(operations - {KeyOperation.EXPORT, KeyOperation.HIGH_VOLUME})
    public_operations = KeyPairs.public_operations | {KeyOperation.ENCRYPT, KeyOperation.WRAP}

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        if size is None:
            raise ParameterInvalid("an RSA key needs key_size: 2048 to 8192")
        if size % 256 or not MIN_GENERATED <= size <= MAX_BITS:
            raise ParameterInvalid(f"an RSA key is generated with 2048 to 8192 bits in steps of 256, not {size}")
        exponent = public_exponent if public_exponent is not None else 65537
        # FIPS 186-5 §A.1.1: odd, above 2^16, below 2^256.
        if exponent % 2 == 0 or not 2**16 < exponent < 2**32:
            raise ParameterInvalid(f"an RSA public exponent is odd and from 65537 to 2^32, not {exponent}")
        return KeySpec(self.kind, size, public_exponent=exponent)

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        key, public = load_either(material)
        if not isinstance(public, rsa.RSAPublicKey):
            raise ParameterInvalid("the value is not an RSA key")
        if not MIN_IMPORTED <= public.key_size <= MAX_BITS:
            raise ParameterInvalid(f"an RSA key has {MIN_IMPORTED} to {MAX_BITS} bits, not {public.key_size}")
        if public.key_size % 8:
            raise AlgorithmUnsupported(f"an RSA key of {public.key_size} bits is no whole number of bytes wide")
        if size is not None and size != public.key_size:
            raise ParameterInvalid(f"key_size is {size}, but the key has {public.key_size} bits")
        spec = KeySpec(self.kind, public.key_size, public_exponent=public.public_numbers().e)
        return described(spec, key, public)

    def check_options(self, options: KeyOptions, spec: KeySpec) -> None:
        options.refuse_specific(self.kind, rsa=True)
        if options.rsa is not None:
            _check_rules("encryption", options.rsa.encryption, _ENCRYPTION)
            _check_rules("signature", options.rsa.signature, _SIGNATURE)

    def padding_of(self, parameters: CipherParameters | SignatureParameters, options: KeyOptions) -> PaddingRule:
        if isinstance(parameters, CipherParameters):
            scheme = _encryption_scheme(options, parameters)
            return PaddingRule(OAEP, scheme.mgf_hash or _OAEP_HASH) if scheme.padding == OAEP else scheme
        mechanism = _sign_mechanism(options, parameters)
        return PaddingRule(PSS, mechanism.mgf_hash) if isinstance(mechanism, RsaPss) else PaddingRule(PKCS1_V15)

    # -- signatures ------------------------------------------------------------------------------------------------

    def sign(self, key: Key, parameters: SignatureParameters, message: Message, *, options: KeyOptions) -> bytes:
        mechanism = _sign_mechanism(options, parameters)
        return _held(key).sign(mechanism, message.hashed(mechanism.hash))

    def verify(
        self,
        public: bytes,
        parameters: SignatureParameters,
        message: Message,
        signature: bytes,
        *,
        options: KeyOptions,
    ) -> bool:
        mechanism = _sign_mechanism(options, parameters)
        digest = message.hashed(mechanism.hash)
        key = load_public(public)
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(signature, digest, _signature_padding(mechanism), Prehashed(HASHES[mechanism.hash]))
        except InvalidSignature:
            return False
        return True

    # -- encryption ------------------------------------------------------------------------------------------------

    def public_encrypt(
        self, public: bytes, parameters: CipherParameters, plaintext: bytes, *, options: KeyOptions
    ) -> Encrypted:
        scheme = _encryption_scheme(options, parameters)
        key = load_public(public)
        assert isinstance(key, rsa.RSAPublicKey)
        room, wrapping = _encryption_padding(scheme, key.key_size // 8, parameters.label)
        if len(plaintext) > room:
            raise ParameterInvalid(
                f"this key encrypts at most {max(room, 0)} bytes with {_named(scheme)}, not {len(plaintext)}"
            )
        return Encrypted(key.encrypt(plaintext, wrapping))

    def decrypt(self, key: Key, parameters: CipherParameters, ciphertext: bytes, *, options: KeyOptions) -> bytes:
        scheme = _encryption_scheme(options, parameters)
        opened = _held(key)
        width = opened.spec.size // 8
        if len(ciphertext) != width:
            raise DataRejected(f"a ciphertext of this key has {width} bytes, not {len(ciphertext)}")
        encoded = _decrypted_raw(opened, ciphertext)
        if scheme.padding == RAW_DECRYPT:
            return encoded
        if scheme.padding == PKCS1_V15:
            return _open_pkcs1_v15(opened, encoded, ciphertext)
        message = rsa_padding.open_oaep(encoded, scheme.mgf_hash or _OAEP_HASH, parameters.label or b"")
        if message is None:
            # One message for every cause: the first byte alone would do for Manger's attack.
            raise DataRejected("the ciphertext does not decrypt with this key, hash and label")
        return message


def _held(key: Key) -> OpenedKey:
    if isinstance(key, LentKey):
        raise AlgorithmUnsupported("RSA keys are used in the token, and the token in use offers no RSA")
    return key


# -- which padding -------------------------------------------------------------------------------------------------


def _check_rules(what: str, rules: tuple[PaddingRule, ...] | None, known: tuple[str, ...]) -> None:
    for rule in rules or ():
        if rule.padding is not None and rule.padding not in known:
            raise ParameterInvalid(f"an RSA {what} policy takes {', '.join(known)}, not {rule.padding}")
        if rule.mgf_hash is None:
            continue
        if rule.padding not in (OAEP, PSS):
            raise ParameterInvalid("only OAEP and PSS have a mask generation function")
        _check_hash(rule.padding, rule.mgf_hash)


def _check_hash(padding_name: str, hash_name: str) -> None:
    if hash_name not in HASHES:
        known = ", ".join(HASHES)
        raise AlgorithmUnsupported(f"{padding_name} with MGF1 over {hash_name} is not supported; use one of {known}")


def _chosen(
    rules: tuple[PaddingRule, ...], padding_name: str | None, mgf_hash: str | None, *, what: str, default: str
) -> PaddingRule:
    """The first rule that fits the request, with what the request says of its own. No rule that fits: refused."""
    for rule in rules:
        name = padding_name or rule.padding or default
        if rule.admits(name, mgf_hash or rule.mgf_hash):
            return PaddingRule(name, mgf_hash or rule.mgf_hash)
    allowed = ", ".join(_named(rule) for rule in rules) or "nothing"
    asked = _named(PaddingRule(padding_name, mgf_hash))
    raise ParameterInvalid(f"the key's {what} policy does not allow {asked}; it allows {allowed}")


def _named(rule: PaddingRule) -> str:
    name = rule.padding or "any padding"
    return name if rule.mgf_hash is None else f"{name} with MGF1 over {rule.mgf_hash}"


def _encryption_scheme(options: KeyOptions, parameters: CipherParameters) -> PaddingRule:
    """The policy holds for decryption as well: there it keeps a padding oracle away that nobody asked for."""
    for name, value in (
        ("mode", parameters.mode),
        ("iv", parameters.iv),
        ("ad", parameters.aad),
        ("tag_len", parameters.tag_bits),
        ("tag", parameters.tag),
        ("masked", parameters.masked or None),
    ):
        if value is not None:
            raise ParameterInvalid(f"RSA encryption takes no {name}: its mode is one of {', '.join(_ENCRYPTION)}")
    if parameters.padding not in (None, *_ENCRYPTION):
        raise ParameterInvalid(f"RSA encryption pads by {', '.join(_ENCRYPTION)}, not {parameters.padding}")
    if parameters.mgf_hash is not None:
        _check_hash(OAEP, parameters.mgf_hash)
    rules = options.rsa.encryption if options.rsa is not None else None
    scheme = _chosen(
        _ENCRYPTION_RULES if rules is None else rules,
        parameters.padding,
        parameters.mgf_hash,
        what="encryption",
        default=OAEP,
    )
    if parameters.label is not None and scheme.padding != OAEP:
        raise ParameterInvalid(f"{scheme.padding} takes no label")
    return scheme


def _sign_mechanism(options: KeyOptions, parameters: SignatureParameters) -> RsaPkcs1v15 | RsaPss:
    """The salt of PSS is as long as the hash (RFC 8017 §9.1 note 4), for verification too."""
    refuse_variant(parameters, "an RSA signature")
    if parameters.hash is None:
        raise ParameterInvalid("hash_alg is needed")
    if parameters.hash not in HASHES:
        raise AlgorithmUnsupported(f"RSA signatures with {parameters.hash} are not supported")
    if parameters.padding not in (None, *_SIGNATURE):
        raise ParameterInvalid(f"an RSA signature pads by {', '.join(_SIGNATURE)}, not {parameters.padding}")
    if parameters.mgf_hash is not None:
        _check_hash(PSS, parameters.mgf_hash)
    rules = options.rsa.signature if options.rsa is not None else None
    scheme = _chosen(
        _SIGNATURE_RULES if rules is None else rules,
        parameters.padding,
        parameters.mgf_hash,
        what="signature",
        default=PKCS1_V15,
    )
    if scheme.padding == PKCS1_V15:
        return RsaPkcs1v15(parameters.hash)
    if parameters.deterministic:
        raise AlgorithmUnsupported("PSS signatures are salted at random; PKCS1_V15 ones are deterministic")
    return RsaPss(parameters.hash, scheme.mgf_hash or parameters.hash, digest_size(parameters.hash))


def _signature_padding(mechanism: SignMechanism) -> padding.PKCS1v15 | padding.PSS:
    if isinstance(mechanism, RsaPss):
        return padding.PSS(padding.MGF1(HASHES[mechanism.mgf_hash]), mechanism.salt_length)
    return padding.PKCS1v15()


def _encryption_padding(
    scheme: PaddingRule, width: int, label: bytes | None
) -> tuple[int, padding.PKCS1v15 | padding.OAEP]:
    """How many bytes fit, and the padding. The wire names only MGF1's hash, which is OAEP's own too."""
    if scheme.padding == RAW_DECRYPT:
        raise ParameterInvalid("RAW_DECRYPT is for decryption only: encryption without padding hides nothing")
    if scheme.padding == PKCS1_V15:
        return rsa_padding.pkcs1_v15_room(width), padding.PKCS1v15()
    name = scheme.mgf_hash or _OAEP_HASH
    return rsa_padding.oaep_room(width, name), padding.OAEP(padding.MGF1(HASHES[name]), HASHES[name], label)


# -- decryption in the token ---------------------------------------------------------------------------------------


def _decrypted_raw(opened: OpenedKey, ciphertext: bytes) -> bytes:
    try:
        return opened.decrypt_raw(RsaRaw(), ciphertext)
    except DataRejected:
        # The one thing a token can find wrong with a whole ciphertext, and public: anyone can compare the two.
        raise DataRejected("the ciphertext is not below the key's modulus") from None


def _open_pkcs1_v15(opened: OpenedKey, encoded: bytes, ciphertext: bytes) -> bytes:
    """The draft derives its secret from the private exponent, which does not leave the token.

    What only this key can compute, and computes the same each time, serves as well: the raw decryption of a fixed
    number below every modulus of this width. Other keys get other secrets from the same number. Nobody else is given
    that decryption: as a v1.5 ciphertext the number counts as malformed, as an OAEP one its padding is wrong, a
    signature has another structure; and who may RAW_DECRYPT needs no padding oracle.
    """
    width = len(encoded)
    probe = b"\0" + rsa_padding.mgf1("SHA256", _REJECTION_DOMAIN, width - 1)
    secret = hashlib.sha256(opened.decrypt_raw(RsaRaw(), probe)).digest()
    return rsa_padding.open_pkcs1_v15(encoded, ciphertext, secret, malformed=int(ciphertext == probe))
