"""E-mail addresses as names of people: one person, one spelling. Pure: it knows no rows and sends nothing.

Spellings that a person would take for the same name are the same (case, blanks around it, Unicode's compatibility
forms, UAX #15). Letters of other scripts that only look the same cannot be told apart by eye, so a new address is ASCII
(RFC 5321): an international domain is written in its A-labels (RFC 5890).
"""

from __future__ import annotations

import unicodedata

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

MAX_LENGTH = 254


def normalised(text: str) -> str:
    """The one spelling, of whatever was typed. What is too long to be an address is nobody's, and is left alone."""
    return text if len(text) > 2 * MAX_LENGTH else unicodedata.normalize("NFKC", text).strip().lower()


def checked(text: str) -> str:
    """The one spelling of an address that mail can be sent to. ValueError says what is wrong, without the address."""
    address = normalised(text)
    if not address.isascii():
        raise ValueError("is not an e-mail address in ASCII; write an international domain as xn--…")
    try:
        validate_email(address)
    except ValidationError:
        raise ValueError("is not an e-mail address") from None
    # RFC 5321 §4.1.2 says of quoted local parts that a host should not define mailboxes that need them.
    if len(address) > MAX_LENGTH or any(mark in address for mark in '"[]') or not address.isprintable():
        raise ValueError("is not an e-mail address")
    return address
