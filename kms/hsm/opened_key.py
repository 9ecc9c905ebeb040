"""An opened key: what callers do with a key in the token, checked against its usage.

It must not know how keys are made or where blobs are kept; it opens again by itself when its handle has gone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import pkcs11
from pkcs11 import Mechanism

from kms.hsm.blob_keys import ENCRYPT_ONLY, encryptor, open_object
from kms.hsm.errors import DataRejected, MechanismRefused
from kms.hsm.handles import HandleCache
from kms.hsm.key_material import HMAC_FLOOR_BYTES, SECRET_KINDS
from kms.hsm.key_wrap import wrap_with_padding
from kms.hsm.mechanisms import (
    capabilities,
    check_ciphertext,
    check_material,
    check_plaintext,
    check_wrapped,
    cipher_call,
    digest_call,
    effective_usage,
    mac_call,
    sign_call,
    split_at_counter_end,
)
from kms.hsm.module import (
    AesCtr,
    AesKwp,
    CipherMechanism,
    KeySpec,
    MacMechanism,
    RsaRaw,
    SignMechanism,
    Usage,
    WrapMechanism,
)
from kms.hsm.sessions import Attachment, Connection
from kms.hsm.token_objects import Key, passing, shared_secret, unwrap_held, wrap_held
from kms.secret import SecretBytes

T = TypeVar("T")


class TokenKey:
    """OpenedKey over one session object of the main session.

    The handle belongs to one attachment. When that is over, or the cache evicted the handle, the next use opens the
    blob again; a handle of an older attachment is never used, as its number may name another key by now.
    """

    __slots__ = (
        "_attachment",
        "_binding",
        "_blob",
        "_cache",
        "_connection",
        "_handle",
        "_may_decrypt",
        "_may_encrypt",
        "_name",
        "_rights",
        "_usage",
        "spec",
    )

    def __init__(
        self,
        connection: Connection,
        cache: HandleCache[TokenKey],
        *,
        spec: KeySpec,
        blob: bytes,
        binding: bytes,
        usage: Usage,
        name: tuple[bytes, int],
    ) -> None:
        self._connection = connection
        self._cache = cache
        self.spec = spec
        self._blob = blob
        self._binding = binding
        self._usage = effective_usage(spec.kind, usage)
        self._rights = capabilities(self._usage)
        self._name = name
        # Read per call on the hot path, where an enum.Flag costs a microsecond.
        self._may_encrypt = Usage.ENCRYPT in self._usage
        self._may_decrypt = Usage.DECRYPT in self._usage
        self._attachment: Attachment | None = None
        self._handle: Key | None = None

    def __repr__(self) -> str:
        return f"<TokenKey {self.spec.kind}-{self.spec.size}>"

    def matches(self, spec: KeySpec, blob: bytes, binding: bytes) -> bool:
        """So that a cache hit can't bypass the binding: the blob was opened under these very bytes."""
        return self._blob == blob and self._binding == binding and self.spec == spec

    # -- the handle; all three run under the main session's lock ---------------------------------------------------

    def handle(self, attachment: Attachment) -> Key:
        if self._handle is not None and self._attachment is attachment:
            return self._handle
        peer = self._cache.get(self._name)
        if peer is not None and peer is not self and peer.matches(self.spec, self._blob, self._binding):
            return peer.handle(attachment)
        self._handle = open_object(attachment.main, self.spec, self._blob, self._binding, self._rights)
        self._attachment = attachment
        self._cache.put(self._name, self)
        return self._handle

    def release(self) -> None:
        handle, self._handle = self._handle, None
        attachment, self._attachment = self._attachment, None
        if handle is not None and attachment is not None and self._connection.is_current(attachment):
            with suppress(pkcs11.PKCS11Error):  # gone already is what was wanted
                handle.destroy()

    def forget(self) -> None:
        self._handle = None
        peer = self._cache.get(self._name)
        if peer is not None:
            peer._handle = None

    def _use(self, work: Callable[[Key], T], *, blame_data: bool = False) -> T:
        return self._connection.call(
            lambda attachment: work(self.handle(attachment)),
            verdict=DataRejected if blame_data else None,
            forget=self.forget,
        )

    def _require(self, usage: Usage) -> None:
        if usage not in self._usage:
            raise MechanismRefused(f"the key was not opened for {usage.name}")

    # -- ciphers ---------------------------------------------------------------------------------------------------

    def encrypt(self, mechanism: CipherMechanism, plaintext: bytes) -> bytes:
        if not self._may_encrypt:
            self._require(Usage.ENCRYPT)
        if type(mechanism) is AesCtr:
            return b"".join(self._encrypt(part, data) for part, data in split_at_counter_end(mechanism, plaintext))
        check_plaintext(mechanism, plaintext)
        return self._encrypt(mechanism, plaintext)

    def _encrypt(self, mechanism: CipherMechanism, data: bytes) -> bytes:
        name, param = cipher_call(mechanism)
        result: bytes = self._use(lambda key: key.encrypt(data, mechanism=name, mechanism_param=param))
        return result

    def decrypt(self, mechanism: CipherMechanism, ciphertext: bytes) -> bytes:
        if not self._may_decrypt:
            self._require(Usage.DECRYPT)
        if type(mechanism) is AesCtr:
            return b"".join(self._decrypt(part, data) for part, data in split_at_counter_end(mechanism, ciphertext))
        check_ciphertext(mechanism, ciphertext)
        return self._decrypt(mechanism, ciphertext)

    def _decrypt(self, mechanism: CipherMechanism, data: bytes) -> bytes:
        name, param = cipher_call(mechanism)
        result: bytes = self._use(lambda key: key.decrypt(data, mechanism=name, mechanism_param=param), blame_data=True)
        return result

    # -- signatures and MACs ---------------------------------------------------------------------------------------

    def sign(self, mechanism: SignMechanism, digest: bytes) -> bytes:
        self._require(Usage.SIGN)
        name, param, data = sign_call(self.spec, mechanism, digest)
        return self._use(lambda key: bytes(key.sign(data, mechanism=name, mechanism_param=param)))

    def mac(self, mechanism: MacMechanism, data: bytes) -> bytes:
        self._require(Usage.MAC)
        name = mac_call(self.spec, mechanism)
        return self._use(lambda key: bytes(key.sign(data, mechanism=name)))

    def digest(self, hash_name: str, prefix: bytes = b"") -> bytes:
        """C_DigestKey, which SoftHSM and Kryoptic grant for SHA-1 and SHA-2 also on sensitive keys.

        What it can't take is refused here: in SoftHSM a failed C_DigestKey leaves the session with an active operation,
        and the next call, which may be the probe, fails.
        """
        if self.spec.kind not in SECRET_KINDS:
            raise MechanismRefused(f"an {self.spec.kind} key has no digest")
        if self.spec.kind == "HMAC" and self.spec.size // 8 < HMAC_FLOOR_BYTES:
            raise MechanismRefused("the token holds this key padded")
        name = digest_call(hash_name)

        def work(attachment: Attachment) -> bytes:
            return bytes(attachment.main.session.digest(iter((prefix, self.handle(attachment))), mechanism=name))

        return self._connection.call(work, forget=self.forget)

    # -- private-key operations that return what only the caller's algorithm may see -------------------------------

    def decrypt_raw(self, mechanism: RsaRaw, ciphertext: bytes) -> bytes:
        self._require(Usage.DECRYPT)
        if self.spec.kind != "RSA":
            raise MechanismRefused(f"{type(mechanism).__name__} with an {self.spec.kind} key")
        width = self.spec.size // 8
        if len(ciphertext) != width:
            raise DataRejected(f"the ciphertext has {len(ciphertext)} bytes, not {width}")
        raw = self._use(
            lambda key: self._connection.library.decrypt(key, Mechanism.RSA_X_509, ciphertext, width), blame_data=True
        )
        return raw.rjust(width, b"\0")

    def agree(self, peer_point: bytes) -> SecretBytes:
        self._require(Usage.DERIVE)
        if self.spec.kind != "EC":
            raise MechanismRefused(f"an {self.spec.kind} key agrees on nothing")
        return self._use(lambda key: shared_secret(key, self.spec, peer_point), blame_data=True)

    # -- wrapping of held material ---------------------------------------------------------------------------------

    def wrap(self, mechanism: WrapMechanism, material: SecretBytes) -> bytes:
        self._require(Usage.WRAP)
        check_material(mechanism, len(material))
        if isinstance(mechanism, AesKwp) and len(material) % 8:
            return self._wrap_ragged(material)
        name = self.wrap_mechanism(mechanism)
        return self._use(lambda key: wrap_held(key, name, material))

    def _wrap_ragged(self, material: SecretBytes) -> bytes:
        """KWP of a length that is no multiple of 8, over the token's AES-ECB.

        SoftHSM 2.6.1 zero-pads the material first and then writes the padded length into RFC 5649's length field, so
        that nobody gets the true length back. The handle with the ENCRYPT right lives for this call only.
        """

        def work(attachment: Attachment) -> bytes:
            key = open_object(attachment.main, self.spec, self._blob, self._binding, ENCRYPT_ONLY)
            with passing(key):
                return wrap_with_padding(encryptor(key), material.reveal())

        return self._connection.call(work)

    def unwrap(self, mechanism: WrapMechanism, wrapped: bytes) -> SecretBytes:
        self._require(Usage.UNWRAP)
        check_wrapped(mechanism, len(wrapped))
        name = self.wrap_mechanism(mechanism)
        return self._use(lambda key: unwrap_held(key, name, wrapped), blame_data=True)

    def require_unwrap(self) -> None:
        self._require(Usage.UNWRAP)

    def wrap_mechanism(self, mechanism: WrapMechanism) -> Mechanism:
        return self._connection.kwp if isinstance(mechanism, AesKwp) else Mechanism.AES_KEY_WRAP
