"""Structured tokenisation: text that keeps its format when it is encrypted."""

from kms.crypto.fpe.format import Format
from kms.crypto.fpe.reading import parse

__all__ = ["Format", "parse"]
