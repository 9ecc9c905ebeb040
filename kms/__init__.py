"""Keystead: do it, and record it."""

__version__ = "0.1.0"
