"""Quorum policies: the editor of the tree, and the same in plain English."""

from __future__ import annotations

from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = ()
