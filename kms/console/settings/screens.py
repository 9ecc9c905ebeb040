"""The account's settings, and the state of what it stands on: every screen of this room."""

from __future__ import annotations

from kms.console.screens import Screen
from kms.console.settings import (
    account,
    approvals,
    authentication,
    external_roles,
    log_export,
    policy_screens,
    providers,
    server,
)

SCREENS: tuple[Screen, ...] = (
    *account.SCREENS,
    *authentication.SCREENS,
    *providers.SCREENS,
    *external_roles.SCREENS,
    *policy_screens.SCREENS,
    *approvals.SCREENS,
    *log_export.SCREENS,
    *server.SCREENS,
)
