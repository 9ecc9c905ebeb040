"""A tokenisation format at work: text in, token of the same format out, and back.

All that is encrypted in a text is enciphered together, as one number, by FF1 (SP 800-38G revision 1): small parts
would each be a small domain, and those are attacked. It must not know the wire, rows or rights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from kms.crypto import ff1
from kms.crypto.block_modes import BlockCipher
from kms.crypto.errors import ParameterInvalid
from kms.crypto.fpe.domain import Domain
from kms.crypto.fpe.matching import Piece, alike, match
from kms.crypto.fpe.parts import Part, leaves

HIDDEN = "*"
# Of FF1's domain of a million or a little more at least this many values fit, so that a walk takes some 100 steps at
# most; that one takes MAX_WALK happens once in 10^18, and only a layout that tokens rarely keep comes near it.
MIN_VALID = 10_000
MAX_WALK = 4096


@dataclass(frozen=True, slots=True)
class Format:
    """What ``parse`` makes. A token is a text of the same format, of the same length and layout."""

    root: Part

    def encrypt(self, cipher: BlockCipher, tweak: bytes, text: str) -> str:
        """The token. FF1's tweak is ``tweak`` and behind it the preserved characters in UTF-8.

        ParameterInvalid when the text does not fit the format, or leaves too few combinations to encrypt it safely.
        """
        domain, numerals = self._permuted(cipher, tweak, text, encrypting=True)
        return domain.text(numerals, ciphered=True)

    def decrypt(self, cipher: BlockCipher, tweak: bytes, text: str, *, masked: bool = False) -> str:
        """The text behind a token; with ``masked`` the characters that the format masks are asterisks."""
        domain, numerals = self._permuted(cipher, tweak, text, encrypting=False)
        return domain.text(numerals, ciphered=False, hidden=HIDDEN if masked else None)

    def _permuted(self, cipher: BlockCipher, tweak: bytes, text: str, *, encrypting: bool) -> tuple[Domain, list[int]]:
        pieces = match(self.root, text, ciphered=not encrypting)
        if pieces is None:
            raise ParameterInvalid("the text does not fit the format")
        domain = Domain(pieces, ciphered=not encrypting)
        number = domain.rank()
        _check_size(domain)
        if self._has_two_alphabets and not self._keeps_layout(domain, domain.numerals, pieces):
            raise ParameterInvalid("the format reads this text in one way and its tokens in another")
        shape = _shape(domain.size, domain.radix)
        whole_tweak = tweak + domain.preserved.encode()
        step = ff1.encrypt_number if encrypting else ff1.decrypt_number
        # Cycle walking (Black and Rogaway 2002): the permutation is walked until it is back among the values that fit.
        for _ in range(MAX_WALK):
            number = step(cipher, number, shape=shape, tweak=whole_tweak)
            if number < domain.size:
                numerals = domain.unrank(number)
                if self._keeps_layout(domain, numerals, pieces):
                    return domain, numerals
        raise ParameterInvalid("the format is too ambiguous: hardly any token would be read as this text is")

    def _keeps_layout(self, domain: Domain, numerals: list[int], pieces: list[Piece]) -> bool:
        """True when the format takes these numerals apart as it did the text, read as a text and read as a token.

        The parser never goes back, so that an alternative or a greedy part might swallow what stood elsewhere. The
        question has one answer in both directions, so decryption walks back exactly the way that encryption came.
        """
        sides = (False, True) if self._has_two_alphabets else (False,)
        return all(
            alike(pieces, match(self.root, domain.text(numerals, ciphered=side), ciphered=side)) for side in sides
        )

    @property
    def _has_two_alphabets(self) -> bool:
        return any(part.alphabet != part.cipher_alphabet for part in leaves(self.root))


def _check_size(domain: Domain) -> None:
    if domain.combinations < ff1.MIN_DOMAIN:
        radix = domain.radix
        shortest = f", here {ff1.shortest_length(radix)} characters" if radix is not None else ""
        raise ParameterInvalid(
            f"the text leaves {domain.combinations:,} combinations to encrypt; "
            f"FF1 needs at least {ff1.MIN_DOMAIN:,}{shortest} (SP 800-38G revision 1)"
        )
    if domain.size < MIN_VALID:
        raise ParameterInvalid(
            f"the format's constraints leave {domain.size:,} values for this text; at least {MIN_VALID:,} are needed"
        )


@lru_cache(maxsize=256)
def _shape(size: int, radix: int | None) -> ff1.Shape:
    """The domain of FF1 that the values are put in.

    Characters of one alphabet are their own numeral string, so a plain format is FF1 as everybody computes it.
    Otherwise the radix and length whose power is the least above: it is one part in thousands too large.
    """
    if radix is not None and size >= ff1.MIN_DOMAIN and radix in ff1.RADIXES:
        length = 1
        while radix**length < size:
            length += 1
        return ff1.shape_of(radix, length)
    wanted = max(size, ff1.MIN_DOMAIN)
    length = 2
    while ff1.RADIXES[-1] ** length < wanted:
        length += 1
    low, high = 1, ff1.RADIXES[-1]
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if middle**length >= wanted else (middle + 1, high)
    return ff1.shape_of(low, length)
