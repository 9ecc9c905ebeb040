"""New security objects, made or imported; and trying out what a key does."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
