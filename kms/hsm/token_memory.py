"""A few bytes that the token keeps: what must outlive the database, and be newer than any backup of it.

A private data object (PKCS#11 v2.40 §4.6). The newer is written before the older goes, so one is there whatever dies.
It must not know what the bytes mean.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pkcs11
from pkcs11 import Attribute, ObjectClass, exceptions

from kms.hsm.file_lock import exclusive
from kms.hsm.module import Kept
from kms.hsm.token_objects import Key, Template

if TYPE_CHECKING:
    from kms.hsm.sessions import Attachment, Connection


def _where(what: Kept) -> Template:
    return {Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: str(what), Attribute.TOKEN: True}


class TokenMemory:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def recall(self, what: Kept) -> list[bytes]:
        """What was kept last; two, when somebody died between writing the newer and taking the older away."""
        return self._connection.call(lambda at: [bytes(each[Attribute.VALUE]) for each in _kept(at, what)])

    def keep(self, value: bytes, what: Kept) -> None:
        def work(at: Attachment) -> None:
            with exclusive(self._connection.lock_file):
                before = _kept(at, what)
                at.main.session.create_object({**_where(what), Attribute.PRIVATE: True, Attribute.VALUE: value})
                os.sync()  # SoftHSM never calls fsync: the older must not go before the newer is on the disk
                for each in before:
                    with suppress(exceptions.ObjectHandleInvalid):  # another process took it away
                        each.destroy()

        self._connection.call(work)


def _kept(attachment: Attachment, what: Kept) -> list[Key]:
    session: pkcs11.Session = attachment.main.session
    # list() ends the search before anything is read: PKCS#11 allows one active search per session.
    return list(session.get_objects(_where(what)))
