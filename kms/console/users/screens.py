"""Users: who is in the account, in which roles and groups."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
