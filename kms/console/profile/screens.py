"""One's own: second factors, sessions, password, how times and colours are shown."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
