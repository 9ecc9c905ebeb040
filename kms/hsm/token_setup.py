"""Initialising an empty token, so that no PIN is ever on a command line.

It must not know master keys or blobs: those come after, through ``Pkcs11Module.provision_master_keys``.
"""

from __future__ import annotations

from pathlib import Path

import pkcs11
from pkcs11 import TokenFlag, exceptions

from kms.hsm.errors import ModuleUnavailable
from kms.hsm.file_lock import default_lock_file, exclusive
from kms.hsm.library import Library
from kms.secret import SecretBytes


def initialise_token(
    library: str, label: str, so_pin: SecretBytes, user_pin: SecretBytes, *, lock_file: Path | None = None
) -> bool:
    """Give a free slot a token named ``label`` with both PINs. False when a token of that name exists already.

    C_InitToken, C_Login as security officer, C_InitPIN: PKCS#11 v2.40 §5.5 and §5.6.
    """
    if len(label.encode()) > 32:
        raise ModuleUnavailable("a token label has at most 32 bytes")
    shared = Library.at(library)
    with shared.lock, shared.workshop, exclusive(lock_file or default_lock_file()):
        try:
            shared.start()
            made = _initialise(shared, label, so_pin, user_pin)
        except pkcs11.PKCS11Error as error:
            shared.stop()
            raise ModuleUnavailable(f"the token was not initialised ({type(error).__name__})") from None
        if shared.users <= 0:
            shared.stop()
        return made


def _initialise(library: Library, label: str, so_pin: SecretBytes, user_pin: SecretBytes) -> bool:
    try:
        library.token(label)
    except exceptions.NoSuchToken:
        pass
    else:
        return False
    library.init_token(_free_slot(library), so_pin.reveal(), label)
    session = library.token(label).open(rw=True)
    try:
        library.login(session, so_pin.reveal(), security_officer=True)
        session.init_pin(user_pin.reveal().decode())
        library.logout(session)
    finally:
        session.close()
    return True


def _free_slot(library: Library) -> int:
    for slot in library.binding.get_slots(token_present=True):
        if not slot.get_token().flags & TokenFlag.TOKEN_INITIALIZED:
            return int(slot.slot_id)
    raise exceptions.TokenNotPresent("no slot holds an uninitialised token")
