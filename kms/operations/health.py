"""Is the server able to serve: the database answers and the token passes its probe. It touches no key, so no record."""

from __future__ import annotations

from django.db import DatabaseError, connection

from kms.audit.trust import trust
from kms.hsm.errors import ModuleUnavailable
from kms.hsm.module import ModuleStatus
from kms.objects import keystore


def check() -> ModuleStatus:
    """The token's facts; raises ModuleUnavailable, ModuleSealed or RecordUntrusted."""
    trust.demand()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        raise ModuleUnavailable("the database is not available") from error
    return keystore.module().status()
