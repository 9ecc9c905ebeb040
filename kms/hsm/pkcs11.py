"""The one implementation of the cryptographic module: a PKCS#11 token.

It must not know the wire, accounts, Django or what a key is for; it holds no policy beyond what the token can enforce.
"""

from __future__ import annotations

from pathlib import Path

import pkcs11

from kms.hsm import blob_keys, new_keys
from kms.hsm.blob import Version
from kms.hsm.errors import BlobRejected, DataRejected, MechanismRefused, ModuleUnavailable
from kms.hsm.file_lock import default_lock_file
from kms.hsm.handles import HandleCache
from kms.hsm.key_material import check_spec
from kms.hsm.mechanisms import check_wrapped
from kms.hsm.module import Kept, KeySpec, ModuleStatus, OpenedKey, StoredKey, Usage, WrapMechanism
from kms.hsm.opened_key import TokenKey
from kms.hsm.sessions import Attachment, Connection
from kms.hsm.signing_pair import ATTESTATION, RECORD, SigningPair
from kms.hsm.token_memory import TokenMemory
from kms.secret import SecretBytes

HANDLE_LIFETIME_SECONDS = 600.0
_RANDOM_CHUNK = 4096


class Pkcs11Module:
    """CryptographicModule over the token ``token_label`` of the PKCS#11 ``library``.

    Nothing touches the library before the first call, and each process attaches for itself. ``lock_file`` serialises
    start-up and token-object writes between the processes of one machine.
    """

    def __init__(
        self,
        library: str,
        token_label: str,
        pin: SecretBytes,
        *,
        lock_file: Path | None = None,
        cache_size: int = 2000,
    ) -> None:
        self._connection = Connection(library, token_label, pin, lock_file or default_lock_file())
        self._cache: HandleCache[TokenKey] = HandleCache(cache_size, HANDLE_LIFETIME_SECONDS)
        self._attestation = SigningPair(self._connection, ATTESTATION)
        self._record = SigningPair(self._connection, RECORD)
        self._memory = TokenMemory(self._connection)
        self._connection.on_detach = self._cache.clear
        self._connection.on_pressure = self._cache.evict_half

    def __repr__(self) -> str:
        return f"<Pkcs11Module {self._connection!r}>"

    def supports(self, spec: KeySpec) -> bool:
        try:
            check_spec(spec)
        except MechanismRefused:
            return False
        return self._connection.attachment().offer.holds(spec)

    def _check(self, spec: KeySpec) -> None:
        check_spec(spec)
        if not self._connection.attachment().offer.holds(spec):
            raise MechanismRefused(f"the token offers no {spec.kind} key {spec.curve or f'of {spec.size} bits'}")

    # -- new keys --------------------------------------------------------------------------------------------------

    def generate(self, spec: KeySpec, *, binding: bytes) -> StoredKey:
        self._check(spec)
        return self._connection.call(lambda at: new_keys.generate(at.workshop, spec, binding), slow=True)

    def import_key(self, spec: KeySpec, material: SecretBytes, *, binding: bytes) -> StoredKey:
        self._check(spec)
        return self._connection.call(
            lambda at: new_keys.import_key(at.workshop, spec, material, binding), slow=True, verdict=DataRejected
        )

    def unwrap_import(
        self, spec: KeySpec, wrapping: OpenedKey, mechanism: WrapMechanism, wrapped: bytes, *, binding: bytes
    ) -> StoredKey:
        """On the main session, where the wrapping key's handle lives.

        HMAC keys of up to 64 bytes, or of a length that is no multiple of 8, pass through the process: the first need
        padding, the second would lose their length in SoftHSM's wrapping.
        """
        self._check(spec)
        if not isinstance(wrapping, TokenKey):
            raise MechanismRefused("the wrapping key is not in this token")
        if not new_keys.unwrapped_in_token(spec):
            return self.import_key(spec, wrapping.unwrap(mechanism, wrapped), binding=binding)
        wrapping.require_unwrap()
        check_wrapped(mechanism, len(wrapped))
        name = wrapping.wrap_mechanism(mechanism)

        def work(at: Attachment) -> StoredKey:
            return new_keys.take_over(at.main, spec, wrapping.handle(at), name, wrapped, binding)

        return self._connection.call(work, verdict=DataRejected, forget=wrapping.forget)

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        self._check(spec)
        return self._connection.call(lambda at: new_keys.generate_material(at.workshop, spec), slow=True)

    # -- sealed bytes ----------------------------------------------------------------------------------------------

    def seal(self, material: SecretBytes, *, binding: bytes, confined: bool = False) -> bytes:
        version = Version.CONFINED if confined else Version.SEALED
        return self._connection.call(lambda at: blob_keys.seal(at.main, version, material.reveal(), binding))

    def unseal(self, blob: bytes, *, binding: bytes) -> SecretBytes:
        return self._connection.call(lambda at: blob_keys.unseal(at.main, blob, binding), verdict=BlobRejected)

    def lend(self, blob: bytes, *, binding: bytes) -> SecretBytes:
        return self._connection.call(
            lambda at: blob_keys.unseal(at.main, blob, binding, confined=True), verdict=BlobRejected
        )

    def rebind(self, blob: bytes, *, binding: bytes, to: bytes) -> bytes:
        return self._connection.call(lambda at: blob_keys.rebind(at.main, blob, binding, to), verdict=BlobRejected)

    def authenticate(self, blob: bytes, *, binding: bytes) -> None:
        self._connection.call(lambda at: blob_keys.authenticate(at.main, blob, binding), verdict=BlobRejected)

    # -- use -------------------------------------------------------------------------------------------------------

    def open(self, spec: KeySpec, blob: bytes, *, binding: bytes, usage: Usage, cache_key: bytes) -> OpenedKey:
        name = (cache_key, usage.value)

        def work(at: Attachment) -> TokenKey:
            hit = self._cache.get(name)
            if hit is not None and hit.matches(spec, blob, binding):
                return hit
            check_spec(spec)
            key = TokenKey(self._connection, self._cache, spec=spec, blob=blob, binding=binding, usage=usage, name=name)
            key.handle(at)
            return key

        return self._connection.call(work, verdict=BlobRejected)

    def random(self, length: int) -> bytes:
        """In chunks, as real tokens cap one C_GenerateRandom."""
        chunks = [min(_RANDOM_CHUNK, length - start) for start in range(0, length, _RANDOM_CHUNK)]
        return b"".join(map(self._random_chunk, chunks))

    def _random_chunk(self, length: int) -> bytes:
        return self._connection.call(lambda at: at.main.session.generate_random(length * 8))

    # -- attestation -----------------------------------------------------------------------------------------------

    def attestation_certificate(self) -> bytes:
        return self._attestation.certificate()

    def attest(self, digest: bytes) -> bytes:
        return self._attestation.sign(digest)

    def record_certificate(self) -> bytes:
        return self._record.certificate()

    def sign_checkpoint(self, digest: bytes) -> bytes:
        return self._record.sign(digest)

    def keep(self, value: bytes, what: Kept = Kept.CHECKPOINT) -> None:
        self._memory.keep(value, what)

    def recall(self, what: Kept = Kept.CHECKPOINT) -> list[bytes]:
        return self._memory.recall(what)

    # -- health and life -------------------------------------------------------------------------------------------

    def status(self) -> ModuleStatus:
        at = self._connection.attachment()
        if not self._connection.probe(at):
            self._connection.recover(at, "the probe failed")
            at = self._connection.attachment()
            if not self._connection.probe(at):
                raise ModuleUnavailable("the known-answer probe fails")
        token: pkcs11.Token = at.token
        return ModuleStatus(
            label=token.label,
            manufacturer=token.manufacturer_id,
            model=token.model,
            firmware=".".join(map(str, token.firmware_version)),
            generation=at.main.masters.current,
            open_handles=len(self._cache),
            mechanisms=len(at.offer.mechanisms),
        )

    def provision_master_keys(self, generation: int = 1) -> bool:
        """Make ``kek-g`` and ``seal-g`` unless the token has them; true when one was made.

        Back the token up before anything is wrapped under a new generation.
        """
        return self._connection.provision_master_keys(generation)

    def close(self) -> None:
        """Give sessions and library back: tests and shutdown."""
        self._connection.close()
