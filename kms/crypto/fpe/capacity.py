"""Formats under which no text at all could be encrypted safely, told when they are read rather than at the first text.

The numbers are upper bounds: a format that passes may still have texts that are too short, which are refused then.
"""

from __future__ import annotations

from math import prod

from kms.crypto.errors import ParameterInvalid
from kms.crypto.ff1 import MIN_DOMAIN, shortest_length
from kms.crypto.fpe.calendar import YEARS, calendar
from kms.crypto.fpe.domain import allowed_numbers
from kms.crypto.fpe.format import MIN_VALID
from kms.crypto.fpe.parts import DateRole, Either, Encrypted, Literal, Part, Repeated, Series, leaves

# Alphabets have two characters at least, so twenty of them make more than the million that is asked for.
ENOUGH = MIN_DOMAIN.bit_length()


def check_capacity(root: Part) -> None:
    """ParameterInvalid when even the longest text has too few combinations, or too few that the constraints allow."""
    combinations = _most(root, valid=False)
    if combinations < MIN_DOMAIN:
        sizes = {part.alphabet.size for part in leaves(root)}
        needed = f": {shortest_length(sizes.pop())} characters that are not preserved" if len(sizes) == 1 else ""
        raise ParameterInvalid(
            f"the format has at most {combinations:,} combinations to encrypt; "
            f"FF1 needs at least {MIN_DOMAIN:,} (SP 800-38G revision 1){needed}"
        )
    valid = _most(root, valid=True)
    if valid < MIN_VALID:
        raise ParameterInvalid(
            f"the constraints leave at most {valid:,} values to encrypt; at least {MIN_VALID:,} are needed"
        )


def _most(part: Part, *, valid: bool) -> int:
    """Of the longest text the combinations, or with ``valid`` those that fit numbers and dates; no more than enough."""
    if isinstance(part, Literal):
        return 1
    if isinstance(part, Encrypted):
        return _most_of_encrypted(part, valid=valid)
    if isinstance(part, Repeated):
        return _power(_most(part.part, valid=valid), part.at_most)
    found = [_most(child, valid=valid) for child in part.parts]
    if isinstance(part, Either):
        return max(found)
    return min(MIN_DOMAIN, prod(found) * (_most_dates(part) if valid else 1))


def _most_of_encrypted(part: Encrypted, *, valid: bool) -> int:
    longest = part.lengths[-1]
    free = longest - len(part.preserve.places(longest))
    if valid and part.date is not None:
        return 1  # counted with the whole date
    if valid and free == longest and (part.number is not None or part.role is not None):
        counts = (allowed_numbers(part, length) for length in {part.min_length, longest})
        return min(MIN_DOMAIN, max(numbers.stop - numbers.start for numbers in counts))
    return _power(part.alphabet.size, free)


def _power(base: int, times: int) -> int:
    return min(MIN_DOMAIN, prod([base] * min(times, ENOUGH)))


def _most_dates(part: Series) -> int:
    """How many dates there are under the part's own date rule; 1 without one."""
    if part.date is None:
        return 1
    roles = part.date.roles
    dates = calendar(
        YEARS if DateRole.YEAR in roles else range(1),
        range(1, 13),
        range(1, 32) if DateRole.DAY in roles else None,
        after=part.date.after,
        before=part.date.before,
    )
    return dates.size
