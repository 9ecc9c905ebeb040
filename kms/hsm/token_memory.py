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
from kms.hsm.token_objects import Key, Template

if TYPE_CHECKING:
    from kms.hsm.sessions import Attachment, Connection


class TokenMemory:
    def __init__(self, connection: Connection, label: str) -> None:
        self._connection = connection
        self._where: Template = {Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: label, Attribute.TOKEN: True}

    def recall(self) -> list[bytes]:
        """What was kept last; two, when somebody died between writing the newer and taking the older away."""
        return self._connection.call(lambda at: [bytes(each[Attribute.VALUE]) for each in self._kept(at)])

    def keep(self, value: bytes) -> None:
        def work(at: Attachment) -> None:
            with exclusive(self._connection.lock_file):
                before = self._kept(at)
                at.main.session.create_object({**self._where, Attribute.PRIVATE: True, Attribute.VALUE: value})
                os.sync()  # SoftHSM never calls fsync: the older must not go before the newer is on the disk
                for each in before:
                    with suppress(exceptions.ObjectHandleInvalid):  # another process took it away
                        each.destroy()

        self._connection.call(work)

    def _kept(self, attachment: Attachment) -> list[Key]:
        session: pkcs11.Session = attachment.main.session
        # list() ends the search before anything is read: PKCS#11 allows one active search per session.
        return list(session.get_objects(self._where))
