"""Roles: what may be done, by whom, and what a change of that would have changed."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
