"""AES (FIPS 197): the modes of SP 800-38A, GCM (-38D), CCM (-38C), as a wrapping key KW and KWP (-38F), and FF1 (-38G).

A key with a format (``fpe``) tokenises and does nothing else: its format is its only mode.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from kms.crypto import fpe
from kms.crypto.algorithm import CipherParameters, Encrypted, Key, LentKey, Random, token_key
from kms.crypto.algorithms.block_cipher import BlockCipherKind
from kms.crypto.block_modes import CCM_NONCE, ccm_decrypt, ccm_encrypt
from kms.crypto.cipher_mode import (
    Mode,
    check_parameters,
    cipher_options,
    given_iv,
    given_tag,
    new_iv,
    new_tag_bits,
    with_block,
)
from kms.crypto.cipher_mode import check_options as check_cipher_options
from kms.crypto.errors import ParameterInvalid
from kms.crypto.keyed_cipher import KeyedCipher, LentCipher, TokenAes
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import CipherOptions, KeyOptions
from kms.hsm.module import AesGcm, AesKw, AesKwp, KeySpec, Usage, WrapMechanism
from kms.secret import SecretBytes

BLOCK = 16
# SP 800-38D §5.2.1.2 without the short tags of its appendix C.
GCM_TAG_BITS = (96, 104, 112, 120, 128)
# SP 800-38D §5.2.1.1 has no end; OpenSSL, and with it most tokens, takes 128 bytes. It has no floor either, but a short
# IV comes again soon, and one that does gives the key away: nothing new is encrypted under less than 8 bytes.
GCM_IV, GCM_FRESH_IV, GCM_SHORTEST_IV = range(1, 129), 12, 8
# SP 800-38C appendix B.2 warns of tags under 64 bits; the decrypting side would let a sender choose them.
CCM_TAG_BITS = (64, 80, 96, 112, 128)
# RFC 5116 §5.3; it leaves room for 16 MiB under one nonce.
CCM_FRESH_IV = 12
TOKENISATION = "FF1"
KEY_WRAP: dict[str, WrapMechanism] = {"KW": AesKw(), "KWP": AesKwp()}


class Aes(BlockCipherKind):
    kind = "AES"
    sizes = {128: 16, 192: 24, 256: 32}
    modes = {
        **with_block(BLOCK, "CBC", "CBCNOPAD", "CTR", "OFB", "CFB"),
        "ECB": Mode("ECB"),
        "GCM": Mode("GCM", GCM_IV, GCM_FRESH_IV, GCM_SHORTEST_IV, GCM_TAG_BITS, aad=True),
        "CCM": Mode("CCM", CCM_NONCE, CCM_FRESH_IV, tags=CCM_TAG_BITS, aad=True),
        "KW": Mode("KW"),
        "KWP": Mode("KWP"),
        TOKENISATION: Mode(TOKENISATION, aad=True, masks=True),
    }

    def cipher(self, key: Key) -> KeyedCipher:
        """Objects are always in the token; material that is no object yet has a check value all the same."""
        return LentCipher(AES(key.material.reveal())) if isinstance(key, LentKey) else TokenAes(key)

    def possible_operations(self, options: KeyOptions, *, public_only: bool = False) -> frozenset[KeyOperation]:
        if options.tokenises:
            return MANAGEMENT | {KeyOperation.ENCRYPT, KeyOperation.DECRYPT}
        return super().possible_operations(options, public_only=public_only)

    def check_options(self, options: KeyOptions, spec: KeySpec) -> None:
        options.refuse_specific(self.kind, cipher=True)
        wanted = cipher_options(options)
        if wanted.fpe is None:
            if wanted.mode == TOKENISATION:
                raise ParameterInvalid(f"{TOKENISATION} mode needs fpe, which says the format")
            check_cipher_options(self.kind, self.modes, wanted)
            return
        if wanted.mode not in (None, TOKENISATION):
            raise ParameterInvalid(f"a key with fpe has no other mode than {TOKENISATION}")
        check_cipher_options(self.kind, {TOKENISATION: self.modes[TOKENISATION]}, wanted)
        fpe.parse(wanted.fpe)

    def mode_of(self, parameters: CipherParameters, options: KeyOptions) -> Mode:
        if not options.tokenises:
            mode = super().mode_of(parameters, options)
            if mode.name == TOKENISATION:
                raise ParameterInvalid(f"{TOKENISATION} mode needs a key with fpe, which says the format")
            return mode
        if parameters.mode not in (None, TOKENISATION):
            raise ParameterInvalid(f"the key tokenises: its only mode is {TOKENISATION}")
        mode = self.modes[TOKENISATION]
        check_parameters(mode, parameters)
        return mode

    def cipher_usage(self, parameters: CipherParameters, options: KeyOptions) -> Usage:
        """KW and KWP are the token's only as wrapping of something it holds for that moment."""
        named = cipher_options(options).mode if parameters.mode is None else parameters.mode
        return Usage.WRAP | Usage.UNWRAP if named in KEY_WRAP else super().cipher_usage(parameters, options)

    def encrypt(
        self, key: Key, parameters: CipherParameters, plaintext: bytes, random: Random, *, options: KeyOptions
    ) -> Encrypted:
        mode, fixed = self.mode_of(parameters, options), cipher_options(options)
        if mode.name in KEY_WRAP:
            return Encrypted(token_key(key).wrap(KEY_WRAP[mode.name], _wrappable(mode, plaintext)))
        if mode.name == TOKENISATION:
            token = _format(fixed).encrypt(self.cipher(key), parameters.aad or b"", _text(plaintext))
            return Encrypted(token.encode())
        if not mode.tags:
            return super().encrypt(key, parameters, plaintext, random, options=options)
        tag_bits = new_tag_bits(mode, parameters, fixed)
        iv, aad = new_iv(mode, parameters, fixed, random) or b"", parameters.aad or b""
        if mode.name == "CCM":
            ciphertext, tag = ccm_encrypt(self.cipher(key), iv, plaintext, aad=aad, tag_length=tag_bits // 8)
            return Encrypted(ciphertext, iv, tag)
        sealed = token_key(key).encrypt(AesGcm(iv, aad, tag_bits), plaintext)
        split = len(sealed) - tag_bits // 8
        return Encrypted(sealed[:split], iv, sealed[split:])

    def decrypt(self, key: Key, parameters: CipherParameters, ciphertext: bytes, *, options: KeyOptions) -> bytes:
        mode, fixed = self.mode_of(parameters, options), cipher_options(options)
        if mode.name in KEY_WRAP:
            return token_key(key).unwrap(KEY_WRAP[mode.name], ciphertext).reveal()
        if mode.name == TOKENISATION:
            tweak, token = parameters.aad or b"", _text(ciphertext)
            return _format(fixed).decrypt(self.cipher(key), tweak, token, masked=parameters.masked).encode()
        if not mode.tags:
            return super().decrypt(key, parameters, ciphertext, options=options)
        iv, aad = given_iv(mode, parameters, fixed) or b"", parameters.aad or b""
        tag = given_tag(mode, parameters, fixed)
        if mode.name == "CCM":
            return ccm_decrypt(self.cipher(key), iv, ciphertext, tag, aad=aad)
        return token_key(key).decrypt(AesGcm(iv, aad, len(tag) * 8), ciphertext + tag)


def _format(options: CipherOptions) -> fpe.Format:
    return _parsed(msgspec.json.encode(options.fpe, order="sorted"))


@lru_cache(maxsize=256)
def _parsed(encoded: bytes) -> fpe.Format:
    """A format is checked for some milliseconds, and used for years."""
    return fpe.parse(msgspec.json.decode(encoded))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ParameterInvalid(f"{TOKENISATION} mode takes text in UTF-8") from None


def _wrappable(mode: Mode, data: bytes) -> SecretBytes:
    if mode.name == "KW" and (len(data) % 8 or len(data) < 16):
        raise ParameterInvalid(f"KW mode takes multiples of 8 bytes from 16 up, not {len(data)}; use KWP")
    if not data:
        raise ParameterInvalid("KWP mode takes at least 1 byte")
    return SecretBytes(data)
