"""Approvals: what waits for whom, what exactly would run, and saying yes or no to it."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
