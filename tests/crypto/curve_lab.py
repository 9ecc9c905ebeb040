"""What tests of asymmetric kinds share: keys of `cryptography` in DER, and keys opened as the corridor opens them."""

from __future__ import annotations

from secrets import token_bytes
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from kms.crypto.algorithm import Key, LentKey, SignatureParameters
from kms.crypto.registry import algorithm_of
from kms.hsm.module import Usage
from kms.objects import keystore
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Sign, Verify
from kms.operations.executor import execute
from kms.operations.queries import GetObject
from kms.secret import SecretBytes
from tests.kit.tenants import Tenant


def der(private: Any) -> bytes:
    """PKCS#8."""
    encoded: bytes = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return encoded


def spki(key: Any) -> bytes:
    """SubjectPublicKeyInfo of a public key, or of a private one's public half."""
    public = key.public_key() if hasattr(key, "public_key") else key
    encoded: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def opened(kind: str, material: bytes) -> Key:
    """The key in the token where it can be, else lent."""
    found = algorithm_of(kind).describe(SecretBytes(material), size=None, curve=None)
    if not keystore.in_token(found.spec):
        return LentKey(found.spec, found.material)
    name = token_bytes(16)
    stored = keystore.module().import_key(found.spec, found.material, binding=name)
    usage = Usage.SIGN | Usage.DERIVE
    return keystore.module().open(found.spec, stored.blob, binding=name, usage=usage, cache_key=name)


def public_of(tenant: Tenant, key: ObjectRef) -> Any:
    return load_der_public_key(bytes(execute(tenant.app, GetObject(key)).row.public_key))


def signed(tenant: Tenant, key: ObjectRef, data: bytes, **parameters: Any) -> bytes:
    result: bytes = execute(tenant.app, Sign(key, SignatureParameters(**parameters), data=data)).value
    return result


def holds(tenant: Tenant, key: ObjectRef, data: bytes, signature: bytes, **parameters: Any) -> bool:
    result: bool = execute(tenant.app, Verify(key, SignatureParameters(**parameters), signature, data=data)).value
    return result
