"""Joins rows and the token: opens keys for whoever holds a Grant, makes and re-binds blobs. It decides nothing.

It must not know principals' rights, commands, audit or the wire.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from uuid import UUID

from accounts.bootstrap import deployment
from kms.crypto.algorithm import Key, LentKey, token_key
from kms.crypto.registry import algorithm_of
from kms.hsm.errors import MechanismRefused
from kms.hsm.module import CryptographicModule, KeySpec, StoredKey, Usage, WrapMechanism
from kms.objects.snapshot import ObjectSnapshot
from kms.secret import SecretBytes
from policies.grant import Grant

# Protection levels: never outside the token; released to callers who may; used by this process, never released.
TOKEN, SEALED, SOFTWARE = "token", "sealed", "software"

_factory: Callable[[], CryptographicModule] | None = None
_module: CryptographicModule | None = None
_deployment: UUID | None = None
_lock = threading.RLock()
_PAGE_BYTES = 4096
_page: tuple[int, bytes] = (0, b"")


class GrantMismatch(Exception):
    """A key was to be opened on a grant made for something else: a programming error, never a caller's."""


def install(factory: Callable[[], CryptographicModule]) -> None:
    """Say how to reach the token. The composition root calls this once; nothing connects before first use."""
    global _factory, _module
    with _lock:
        _factory, _module = factory, None


def module() -> CryptographicModule:
    global _module
    if _module is None:
        with _lock:
            if _module is None:
                if _factory is None:
                    raise RuntimeError("no cryptographic module is installed")
                _module = _factory()
    return _module


def deployment_id() -> UUID:
    global _deployment
    if _deployment is None:
        _deployment = deployment().id
    return _deployment


def in_token(spec: KeySpec) -> bool:
    """Whether keys of this shape are used inside the token: the algorithm can, and the token in use offers it."""
    return algorithm_of(spec.kind).token_capable and module().supports(spec)


def protection_for(spec: KeySpec, *, releasable: bool) -> str:
    """The strongest level that a new object can have; ``releasable`` when it may be exported or hides nothing."""
    if releasable:
        return SEALED
    return TOKEN if in_token(spec) else SOFTWARE


def open_key(grant: Grant, found: ObjectSnapshot, usage: Usage) -> Key:
    """The object's key as a session object in the token, or its material lent where the token lacks the algorithm."""
    _check(grant, found)
    return _open(found, usage)


def _open(found: ObjectSnapshot, usage: Usage) -> Key:
    if found.protection != TOKEN and not in_token(found.spec):
        return LentKey(found.spec, module().lend(found.blob, binding=found.binding))
    return module().open(
        found.spec,
        found.blob,
        binding=found.binding,
        usage=usage,
        cache_key=found.cache_key + usage.value.to_bytes(2, "big"),
    )


def open_new(made: ObjectSnapshot, usage: Usage) -> Key:
    """For whoever has just made the object, in the same call, to compute its check value."""
    return _open(made, usage)


def material(grant: Grant, found: ObjectSnapshot) -> SecretBytes:
    """The bytes of a sealed object. Material that never leaves the token raises MechanismRefused."""
    _check(grant, found)
    if found.protection != SEALED:
        raise MechanismRefused("the object's material never leaves the token")
    return module().unseal(found.blob, binding=found.binding)


def lend(grant: Grant, found: ObjectSnapshot) -> SecretBytes:
    """The bytes of any object that is not in the token, for one computation in this process."""
    _check(grant, found)
    if found.protection == TOKEN:
        raise MechanismRefused("the object's material never leaves the token")
    return module().lend(found.blob, binding=found.binding)


def generate(spec: KeySpec, *, binding: bytes, protection: str) -> StoredKey:
    if protection == TOKEN:
        return module().generate(spec, binding=binding)
    held = module().generate_material(spec) if in_token(spec) else algorithm_of(spec.kind).generate_material(spec)
    stored = store(spec, held, binding=binding, protection=protection)
    return StoredKey(stored.blob, algorithm_of(spec.kind).public_of(held))


def store(spec: KeySpec, held: SecretBytes, *, binding: bytes, protection: str) -> StoredKey:
    """Keep material that a caller brought."""
    if protection == TOKEN:
        return module().import_key(spec, held, binding=binding)
    return StoredKey(module().seal(held, binding=binding, confined=protection == SOFTWARE))


def unwrap(
    grant: Grant, wrapping: ObjectSnapshot, mechanism: WrapMechanism, wrapped: bytes, spec: KeySpec, *, binding: bytes
) -> StoredKey:
    """Unwrap inside the token; the result is never in the clear here."""
    opened = token_key(open_key(grant, wrapping, Usage.WRAP | Usage.UNWRAP))
    return module().unwrap_import(spec, opened, mechanism, wrapped, binding=binding)


def rebind(blob: bytes, *, binding: bytes, to: bytes) -> bytes:
    """The same material, bound to changed fields."""
    return module().rebind(blob, binding=binding, to=to)


def carry(
    spec: KeySpec, blob: bytes, *, binding: bytes, to: bytes, protection: str, releasable: bool
) -> tuple[bytes, str]:
    """The blob for changed fields and its level. Material that may not be released any more moves into the token."""
    if protection != SEALED or releasable:
        return rebind(blob, binding=binding, to=to), protection
    held, level = unseal(blob, binding=binding), protection_for(spec, releasable=False)
    return store(spec, held, binding=to, protection=level).blob, level


def random(length: int) -> bytes:
    """Bytes from the token's generator for public use (IVs), fetched by the page: a call costs more than its bytes.

    A page belongs to one process: a forked child must not hand out what its parent will.
    """
    global _page
    with _lock:
        pid, page = _page
        if pid != os.getpid() or len(page) < length:
            pid, page = os.getpid(), module().random(max(_PAGE_BYTES, length))
        _page = (pid, page[length:])
        return page[:length]


def authenticate(blob: bytes, *, binding: bytes) -> None:
    """Raise BlobRejected unless the blob is ours and bound to this."""
    module().authenticate(blob, binding=binding)


def seal(held: SecretBytes, *, binding: bytes) -> bytes:
    return module().seal(held, binding=binding)


def unseal(blob: bytes, *, binding: bytes) -> SecretBytes:
    return module().unseal(blob, binding=binding)


def _check(grant: Grant, found: ObjectSnapshot) -> None:
    if grant.target != found.id:
        raise GrantMismatch(f"granted for {grant.target}, opened for {found.id}")
