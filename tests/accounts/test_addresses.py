"""One person, one spelling; and no two people whose addresses look the same (abuse 3)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import addresses
from accounts.credentials import BasicCredential, user_of
from accounts.errors import NotAuthenticated
from accounts.models import User
from kms.crypto.errors import ParameterInvalid
from kms.operations.errors import Conflict
from kms.operations.executor import execute
from kms.operations.invitations import InviteUser
from tests.kit.tenants import PASSWORD, Tenant, new_user, unique

# What becomes the same address, and what only looks like it. The first letter of the address is an "a".
TWINS = {
    "capitals": str.upper,
    "title": str.title,
    "blanks": lambda a: f" \t{a}\n ",
    "no-break space": lambda a: f"\u00a0{a}\u3000",
    "full width": lambda a: "\uff41" + a[1:],
    "full width capitals": lambda a: "\uff21" + a[1:],
    "mathematical": lambda a: "\U0001d41a" + a[1:],
    "circled": lambda a: "\u24d0" + a[1:],
    "full width sign": lambda a: a.replace("@", "\uff20"),
}
LOOK_ALIKES = {
    "cyrillic": lambda a: "\u0430" + a[1:],
    "greek": lambda a: "\u03b1" + a[1:],
    "latin alpha": lambda a: "\u0251" + a[1:],
    "accent": lambda a: "\u00e1" + a[1:],
    "combining": lambda a: "a\u0301" + a[1:],
    "zero width": lambda a: a[0] + "\u200b" + a[1:],
    "soft hyphen": lambda a: a[0] + "\u00ad" + a[1:],
    "joiner": lambda a: a[0] + "\u200d" + a[1:],
    "right to left": lambda a: "\u202e" + a,
    "byte order": lambda a: "\ufeff" + a,
    "cyrillic domain": lambda a: a.replace("example", "ex\u0430mple"),
    "dotted capital i": lambda a: "\u0130" + a[1:],
    "inner blank": lambda a: a[0] + " " + a[1:],
    "quoted": lambda a: '"' + a.replace("@", '"@'),
}


def person() -> User:
    return new_user(f"{unique('a')}@example.org")


@pytest.mark.parametrize("spelling", TWINS.values(), ids=TWINS)
def test_another_spelling_is_the_same_person(tenant: Tenant, spelling: object) -> None:
    user = person()
    spelt = spelling(user.email)  # type: ignore[operator]  # the parameters are functions
    assert user_of(BasicCredential(spelt, PASSWORD)).id == user.id
    assert execute(tenant.alice, InviteUser(spelt, "member")).user.id == user.id
    with pytest.raises(Conflict, match="already"):
        execute(tenant.alice, InviteUser(user.email, "member"))


@pytest.mark.parametrize("spelling", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_what_only_looks_the_same_is_nobody_and_can_be_nobody(tenant: Tenant, spelling: object) -> None:
    user = person()
    spelt = spelling(user.email)  # type: ignore[operator]  # the parameters are functions
    with pytest.raises(NotAuthenticated):
        user_of(BasicCredential(spelt, PASSWORD))
    with pytest.raises(ParameterInvalid, match="not an e-mail address"):
        execute(tenant.alice, InviteUser(spelt, "member"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "@", "a@", "@b.org", "a@b", "a b@c.org", "a@b.org, c@d.org", "a@b.org\nBcc: c@d.org", "<a@b.org>"),
        *("a@[127.0.0.1]", "a" * 250 + "@b.org", "a@b.org\0", "a\u0001@b.org", "A <a@b.org>", "a@b..org", "é@b.org"),
    ],
)
def test_what_is_no_address_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="is not an e-mail address") as caught:
        addresses.checked(text)
    assert len(text) < 3 or text not in str(caught.value)


@pytest.mark.parametrize("text", ["a@b.org", "a.b+c@example.co.uk", "admin@localhost", "x@xn--bcher-kva.example"])
def test_what_is_one_is_taken(text: str) -> None:
    assert addresses.checked(text) == text


@given(st.text())
def test_the_one_spelling_is_its_own(text: str) -> None:
    once = addresses.normalised(text)
    if once.isascii():
        assert addresses.normalised(once) == once


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_an_address_that_is_taken_has_one_spelling(text: str) -> None:
    try:
        taken = addresses.checked(text + "@example.org")
    except ValueError:
        return
    assert taken == taken.lower().strip() == unicodedata.normalize("NFKC", taken)
    assert taken.isascii()
    assert taken.isprintable()
