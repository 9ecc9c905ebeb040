"""Between blobs and token objects: sealing, unsealing, wrapping a fresh key, opening a stored one.

It must not know caches, locks, retries or what callers do with a key.
"""

from __future__ import annotations

import os
from typing import Any

import pkcs11
from pkcs11 import Mechanism, MechanismFlag
from pkcs11.mechanisms import GCMParams

from kms.hsm import blob as blobs
from kms.hsm.blob import Blob, Version
from kms.hsm.diagnosis import Suspect
from kms.hsm.errors import BlobRejected, DataRejected, MechanismRefused
from kms.hsm.key_material import HMAC_FLOOR_BYTES, SECRET_KINDS, material_bytes
from kms.hsm.module import KeySpec
from kms.hsm.sessions import Desk
from kms.hsm.token_objects import LOCKED, Key, create, unwrap
from kms.secret import SecretBytes

WHOLE_TAG = blobs.TAG_BYTES * 8


def seal(desk: Desk, version: Version, content: bytes, binding: bytes, *, generation: int = 0) -> bytes:
    """Under the current generation unless one is named. Random IVs: 2^32 blobs per generation (SP 800-38D §8.3)."""
    generation = generation or desk.masters.current
    iv = os.urandom(blobs.IV_BYTES)
    params = GCMParams(iv, blobs.aad(version, generation, binding), WHOLE_TAG)
    sealed = desk.masters.seals[generation].encrypt(content, mechanism=Mechanism.AES_GCM, mechanism_param=params)
    return Blob(version, generation, iv, sealed).to_bytes()


def _unseal(desk: Desk, blob: Blob, binding: bytes) -> bytes:
    key = desk.masters.seals.get(blob.generation)
    if key is None:
        raise BlobRejected(f"the token has no seal-{blob.generation}")
    params = GCMParams(blob.iv, blobs.aad(blob.version, blob.generation, binding), WHOLE_TAG)
    try:
        return bytes(key.decrypt(blob.sealed, mechanism=Mechanism.AES_GCM, mechanism_param=params))
    except pkcs11.PKCS11Error as error:
        raise Suspect(error, BlobRejected) from error


def unseal(desk: Desk, blob: bytes, binding: bytes, *, confined: bool = False) -> SecretBytes:
    """``confined``: the bytes stay in this process, so a confined blob opens too."""
    parsed = blobs.parse(blob)
    content = _unseal(desk, parsed, binding)
    if parsed.version is Version.SEALED or (confined and parsed.version is Version.CONFINED):
        return SecretBytes(content)
    raise MechanismRefused("this blob holds a key that never leaves the token")


def rebind(desk: Desk, blob: bytes, binding: bytes, to: bytes) -> bytes:
    """The GCM layer anew. The generation stays, because the wrapped key inside is still under that generation's KEK."""
    parsed = blobs.parse(blob)
    return seal(desk, parsed.version, _unseal(desk, parsed, binding), to, generation=parsed.generation)


def authenticate(desk: Desk, blob: bytes, binding: bytes) -> None:
    _unseal(desk, blobs.parse(blob), binding)


def store(desk: Desk, key: Key, binding: bytes) -> bytes:
    """A wrapped blob of an extractable session object."""
    kek = desk.masters.keks[desk.masters.current]
    return seal(desk, Version.WRAPPED, kek.key.wrap_key(key, mechanism=kek.mechanism), binding)


def kwp_keeps_length(spec: KeySpec) -> bool:
    """Whether a key may go through SoftHSM's C_WrapKey, which zero-pads to 8 bytes and authenticates that length.

    A private key is DER and carries its own length, and an AES key is a multiple of 8. An HMAC key up to 64 bytes is
    padded to 64 by us anyway; a longer one with a ragged length would come back as another key.
    """
    return spec.kind != "HMAC" or spec.size // 8 <= HMAC_FLOOR_BYTES or spec.size % 64 == 0


def open_object(desk: Desk, spec: KeySpec, blob: bytes, binding: bytes, rights: int) -> Key:
    """The stored key as a session object of ``desk``: sensitive, not extractable, with ``rights`` only."""
    parsed = blobs.parse(blob)
    content = _unseal(desk, parsed, binding)
    if parsed.version is not Version.WRAPPED:
        if spec.kind in SECRET_KINDS and len(content) != material_bytes(spec):
            raise DataRejected(f"the sealed bytes are no {spec.kind} key of {spec.size} bits")
        return create(desk.session, spec, content, template=LOCKED, rights=rights)
    if spec.kind in ("AES", "DES3") and len(content) != material_bytes(spec) + 8:
        raise BlobRejected(f"the blob holds no {spec.kind} key of {spec.size} bits")
    kek = desk.masters.keks.get(parsed.generation)
    if kek is None:
        raise BlobRejected(f"the token has no kek-{parsed.generation}")
    try:
        return unwrap(kek.key, (kek.mechanism, spec), content, template=LOCKED, rights=rights)
    except pkcs11.PKCS11Error as error:
        raise Suspect(error, BlobRejected) from error


def encryptor(key: Any) -> Any:
    """One-block ECB of an object with the ENCRYPT right."""
    return lambda block: key.encrypt(block, mechanism=Mechanism.AES_ECB)


ENCRYPT_ONLY = int(MechanismFlag.ENCRYPT)
