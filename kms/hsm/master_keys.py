"""The two master keys of each generation: making them, finding them, refusing any that is not exactly as it should be.

It must not know blobs, callers' keys or recovery.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, exceptions

from kms.hsm.errors import ModuleSealed
from kms.hsm.module import KeySpec
from kms.hsm.token_objects import LOCKED, PASSING, Key, Template, generate_aes, passing, unwrap

_LABEL = re.compile(r"(kek|seal)-([1-9][0-9]{0,8})\Z")
_AES256 = KeySpec("AES", 256)

# SoftHSM's AES_KEY_WRAP_PAD is RFC 5649, as is everybody's AES_KEY_WRAP_KWP; PKCS#11 3.1 deprecates the first name.
_KWP_NAMES = (Mechanism.AES_KEY_WRAP_KWP, Mechanism.AES_KEY_WRAP_PAD)

_BOTH: Template = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.LOCAL: True,
    # A modifiable one could be given CKA_DECRYPT by any PIN holder, and then unwraps into the process.
    Attribute.MODIFIABLE: False,
    Attribute.SIGN: False,
    Attribute.VERIFY: False,
    Attribute.DERIVE: False,
}
_EXPECTED: dict[str, Template] = {
    # Never WRAP/UNWRAP and ENCRYPT/DECRYPT on one key: KWP is rounds of ECB (docs/hsm.md 5).
    "kek": {
        **_BOTH,
        Attribute.WRAP: True,
        Attribute.UNWRAP: True,
        Attribute.ENCRYPT: False,
        Attribute.DECRYPT: False,
    },
    "seal": {
        **_BOTH,
        Attribute.WRAP: False,
        Attribute.UNWRAP: False,
        Attribute.ENCRYPT: True,
        Attribute.DECRYPT: True,
    },
}
_UNWRAP_TEMPLATE = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}


class MasterKeysMissing(ModuleSealed):
    """The token has no complete generation yet: ``provision_master_keys`` makes one."""


class MasterKeyDeviates(ModuleSealed):
    """A master key could be misused. Nobody but an operator can mend that."""


@dataclass(frozen=True, slots=True, repr=False)
class Kek:
    key: Key
    mechanism: Mechanism


@dataclass(frozen=True, slots=True, repr=False)
class Masters:
    """Handles of one session, by generation."""

    keks: dict[int, Kek]
    seals: dict[int, Key]
    current: int


def kwp_mechanism(token: pkcs11.Token) -> Mechanism:
    offered = token.slot.get_mechanisms()
    for mechanism in _KWP_NAMES:
        if mechanism in offered:
            return mechanism
    raise MasterKeyDeviates("the token offers no AES key wrap with padding (RFC 5649)")


def _labelled(session: pkcs11.Session) -> dict[tuple[str, int], list[Key]]:
    found: dict[tuple[str, int], list[Key]] = {}
    # list() ends the search before the attributes are read: PKCS#11 allows one active search per session.
    for key in list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.TOKEN: True})):
        match = _LABEL.match(key[Attribute.LABEL])
        if match:
            found.setdefault((match[1], int(match[2])), []).append(key)
    return found


def find(session: pkcs11.Session, *, checked: bool) -> Masters:
    """Look the handles up, once per initialisation: a find costs 0.2 ms and grows with the objects in the token."""
    keks: dict[int, Kek] = {}
    seals: dict[int, Key] = {}
    for (role, generation), keys in _labelled(session).items():
        if len(keys) > 1:
            raise MasterKeyDeviates(f"the token has {len(keys)} keys named {role}-{generation}")
        if checked:
            _check(role, generation, keys[0])
        if role == "kek":
            keks[generation] = Kek(keys[0], _kek_mechanism(generation, keys[0]))
        else:
            seals[generation] = keys[0]
    complete = keks.keys() & seals.keys()
    if not complete:
        raise MasterKeysMissing("the token lacks the master keys")
    if checked:
        for generation in complete:
            _check_unwrap_template(session, generation, keks[generation])
    return Masters(keks, seals, max(complete))


def provision(session: pkcs11.Session, mechanism: Mechanism, generation: int) -> bool:
    """Make what is absent of a generation; say whether anything was made. The caller holds the file lock."""
    present = _labelled(session)
    if missing_kek := ("kek", generation) not in present:
        session.generate_key(
            KeyType.AES,
            256,
            label=f"kek-{generation}",
            id=b"kek" + generation.to_bytes(4, "big"),
            store=True,
            capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP,
            template={
                **LOCKED,
                Attribute.MODIFIABLE: False,
                Attribute.ALLOWED_MECHANISMS: [mechanism],
                Attribute.UNWRAP_TEMPLATE: _UNWRAP_TEMPLATE,
            },
        )
    if missing_seal := ("seal", generation) not in present:
        session.generate_key(
            KeyType.AES,
            256,
            label=f"seal-{generation}",
            id=b"seal" + generation.to_bytes(4, "big"),
            store=True,
            capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
            template={**LOCKED, Attribute.MODIFIABLE: False, Attribute.ALLOWED_MECHANISMS: [Mechanism.AES_GCM]},
        )
    return missing_kek or missing_seal


# -- the checks ----------------------------------------------------------------------------------------------------


def _read(key: Key, attribute: Attribute) -> object:
    try:
        return key[attribute]
    except (exceptions.AttributeTypeInvalid, exceptions.FunctionFailed):
        return None


def _check(role: str, generation: int, key: Key) -> None:
    name = f"{role}-{generation}"
    for attribute, wanted in _EXPECTED[role].items():
        if _read(key, attribute) is not wanted:
            raise MasterKeyDeviates(f"{name}: {attribute.name} is not {wanted}")
    if _read(key, Attribute.KEY_TYPE) is not KeyType.AES or _read(key, Attribute.VALUE_LEN) != 32:
        raise MasterKeyDeviates(f"{name} is not an AES-256 key")
    if role == "seal" and _read(key, Attribute.ALLOWED_MECHANISMS) != frozenset({int(Mechanism.AES_GCM)}):
        raise MasterKeyDeviates(f"{name}: ALLOWED_MECHANISMS is not exactly AES_GCM")
    if role == "kek":
        _kek_mechanism(generation, key)


def _kek_mechanism(generation: int, key: Key) -> Mechanism:
    """The one mechanism the key allows: a token that learns the other name later still opens its old blobs."""
    allowed = _read(key, Attribute.ALLOWED_MECHANISMS)
    for mechanism in _KWP_NAMES:
        if allowed == frozenset({int(mechanism)}):
            return mechanism
    raise MasterKeyDeviates(f"kek-{generation}: ALLOWED_MECHANISMS is not exactly AES key wrap with padding")


def _check_unwrap_template(session: pkcs11.Session, generation: int, kek: Kek) -> None:
    """Try what the template must forbid (docs/hsm.md 4).

    Tried instead of read: reading an array attribute needs preset pointers, which the binding leaves uninitialised, and
    the attempt also shows that the token enforces it.
    """
    with passing(generate_aes(session, 256, template=PASSING)) as key:
        wrapped = kek.key.wrap_key(key, mechanism=kek.mechanism)
    call = (kek.mechanism, _AES256)
    for forbidden in (Attribute.SENSITIVE, Attribute.EXTRACTABLE):
        template = {**LOCKED, forbidden: not LOCKED[forbidden]}
        try:
            with passing(unwrap(kek.key, call, wrapped, template=template, rights=0)):
                raise MasterKeyDeviates(f"kek-{generation} unwraps with {forbidden.name} {template[forbidden]}")
        except (exceptions.TemplateInconsistent, exceptions.AttributeValueInvalid):
            continue
    with passing(unwrap(kek.key, call, wrapped, template=LOCKED, rights=0)):
        pass
