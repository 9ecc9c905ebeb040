"""The record: what happened, shown with the proof that it is what was written; and handed to an auditor."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
