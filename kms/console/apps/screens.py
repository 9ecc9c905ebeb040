"""Apps: who they are, what they may use, and what they prove themselves with."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
