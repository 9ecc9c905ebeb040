"""The login of an app by its name in an account, on the wire."""

from __future__ import annotations

from typing import Any

from kms.api.wire.base import WireError, uuid_of
from kms.operations.sign_on.by_app_name import AppNameCredential

BY_APP_NAME = "auth-by-app-name"


def app_name_credential(account: Any, name: Any, password: Any) -> AppNameCredential:
    if not isinstance(account, str) or not isinstance(name, str) or not isinstance(password, str):
        raise WireError(f"Invalid request: {BY_APP_NAME} takes acct_id, name and password")
    return AppNameCredential(uuid_of(account, "acct_id"), name, password)
