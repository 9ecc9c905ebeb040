"""Why somebody may do something, or may not."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
