"""Joins rows and the token: opens keys for whoever holds a Grant, makes and re-binds blobs. It decides nothing.

It must not know principals' rights, commands, audit or the wire.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from uuid import UUID

from accounts.bootstrap import deployment
from kms.hsm.errors import MechanismRefused
from kms.hsm.module import CryptographicModule, KeySpec, OpenedKey, StoredKey, Usage, WrapMechanism
from kms.objects.snapshot import ObjectSnapshot
from kms.secret import SecretBytes
from policies.grant import Grant

TOKEN, SEALED = "token", "sealed"

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


def open_key(grant: Grant, found: ObjectSnapshot, usage: Usage) -> OpenedKey:
    """The object's key as a session object in the token."""
    _check(grant, found)
    return module().open(
        found.spec,
        found.blob,
        binding=found.binding,
        usage=usage,
        cache_key=found.cache_key + usage.value.to_bytes(2, "big"),
    )


def material(grant: Grant, found: ObjectSnapshot) -> SecretBytes:
    """The bytes of a sealed object. Material that never leaves the token raises MechanismRefused."""
    _check(grant, found)
    if found.protection != SEALED:
        raise MechanismRefused("the object's material never leaves the token")
    return module().unseal(found.blob, binding=found.binding)


def generate(spec: KeySpec, *, binding: bytes, protection: str) -> StoredKey:
    if protection == TOKEN:
        return module().generate(spec, binding=binding)
    return store(spec, module().generate_material(spec), binding=binding, protection=SEALED)


def store(spec: KeySpec, held: SecretBytes, *, binding: bytes, protection: str) -> StoredKey:
    """Keep material that a caller brought."""
    if protection == TOKEN:
        return module().import_key(spec, held, binding=binding)
    return StoredKey(module().seal(held, binding=binding))


def unwrap(
    grant: Grant, wrapping: ObjectSnapshot, mechanism: WrapMechanism, wrapped: bytes, spec: KeySpec, *, binding: bytes
) -> StoredKey:
    """Unwrap inside the token; the result is never in the clear here."""
    opened = open_key(grant, wrapping, Usage.WRAP | Usage.UNWRAP)
    return module().unwrap_import(spec, opened, mechanism, wrapped, binding=binding)


def rebind(blob: bytes, *, binding: bytes, to: bytes) -> bytes:
    """The same material, bound to changed fields."""
    return module().rebind(blob, binding=binding, to=to)


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
