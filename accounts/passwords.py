"""Passwords: how they are spelt, hashed and judged. It knows no rows, and no way in.

SP 800-63B-4 §3.1.1.2: length, a list of common ones, no rules of composition, no expiry, any Unicode.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from zxcvbn import zxcvbn

MIN_LENGTH, MAX_LENGTH = 12, 256
LEAST_SCORE = 3  # of 0 to 4: "safely unguessable: moderate protection from offline slow-hash scenario", 10^8 guesses
# What follows cannot make a password weaker. Its time doubles every few characters: of the worst (digits and signs that
# could stand for letters), 24 take 0.2 s, 32 take 0.8 s, 72 take 9 s.
_JUDGED_CHARACTERS = 24
_OWN_WORDS = ("keystead", "fortanix", "password", "kms", "hsm")


def normalised(password: str) -> str:
    """The form that is hashed, whichever keyboard it was typed on (NFKC, SP 800-63B-4 §3.1.1.2).

    What is longer than a password may be is nobody's, and not worth the time.
    """
    return password if len(password) > MAX_LENGTH else unicodedata.normalize("NFKC", password)


class Argon2id(Argon2PasswordHasher):
    """RFC 9106 §4, the second recommended option: t=3, 64 MiB, p=4.

    Measured on the two cores of the build machine: 106 ms (Django's 100 MiB, t=2, p=8: 114 ms; OWASP's least, 19 MiB,
    t=2, p=1: 27 ms). Each holds 64 MiB for that long, so a process works at no more at once than it has cores: many
    logins together take their time, and not the machine's memory.
    """

    time_cost = 3
    memory_cost = 64 * 1024
    parallelism = 4
    at_once = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))

    def encode(self, password: str, salt: str) -> str:
        with self.at_once:
            encoded: str = super().encode(password, salt)
        return encoded

    def verify(self, password: str, encoded: str) -> bool:
        with self.at_once:
            return bool(super().verify(password, encoded))


class LengthValidator:
    """12 to 256 characters; every Unicode code point is one."""

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) < MIN_LENGTH:
            raise ValidationError(f"A password has at least {MIN_LENGTH} characters.", code="too-short")
        if len(password) > MAX_LENGTH:
            raise ValidationError(f"A password has at most {MAX_LENGTH} characters.", code="too-long")

    def get_help_text(self) -> str:
        return f"{MIN_LENGTH} to {MAX_LENGTH} characters, of any kind."


class GuessValidator:
    """What a guesser would soon try: words, names, dates, keyboard walks, repetitions (zxcvbn)."""

    def validate(self, password: str, user: Any = None) -> None:
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            return  # refused for that already
        judged = zxcvbn(password[:_JUDGED_CHARACTERS], user_inputs=[*_OWN_WORDS, *_words_of(user)])
        if judged["score"] < LEAST_SCORE:
            why = judged["feedback"]["warning"] or "Use more words, or less common ones"
            raise ValidationError(f"The password is too easy to guess. {why.rstrip('.')}.", code="guessable")

    def get_help_text(self) -> str:
        return "Not easy to guess: several uncommon words do well."


def _words_of(user: Any) -> Iterator[str]:
    for name in ("email", "first_name", "last_name"):
        yield from str(getattr(user, name, None) or "").replace("@", " ").replace(".", " ").split()


def checked(password: str, user: Any) -> str:
    """The password as it is hashed, if the policy takes it. ValueError has a sentence for the caller."""
    if len(password) > MAX_LENGTH:  # before it is made another, which could be shorter
        raise ValueError(f"A password has at most {MAX_LENGTH} characters.")
    text = normalised(password)
    try:
        validate_password(text, user)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    return text
