"""Security objects: the table, one object with everything that belongs to it, and what is done to it."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
