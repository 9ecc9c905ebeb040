"""Which passwords are taken, in which form they are hashed, and that an older hash is made anew."""

from __future__ import annotations

import os
import threading
import unicodedata
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, identify_hasher, make_password
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts import passwords
from accounts.credentials import BasicCredential, user_of
from accounts.errors import NotAuthenticated
from accounts.models import User
from tests.kit.tenants import PASSWORD, new_user, unique
from tests.kit.threads import at_once

WEAK = {
    "short": ("kX9#vQ2!mZ7", "at least 12"),
    "empty": ("", "at least 12"),
    "long": ("k9 " * 86, "at most 256"),
    "common": ("1234567890qwerty", "guess"),
    "repeated": ("a" * 40, "guess"),
    "repeated word": ("password" * 4, "guess"),
    "keyboard": ("qwertyuiopasdfgh", "guess"),
    "sequence": ("abcdefghijklmnop", "guess"),
    "date": ("july19701970", "guess"),
    "dressed up": ("P@ssw0rd1234", "guess"),
    "ours": ("KeysteadKeystead", "guess"),
    "the address": ("gertrude.frobisher@example.org", "similar"),
    "the name": ("GertrudeFrobisher", "similar"),
}
STRONG = [
    PASSWORD,
    "all lower case words, unrelated",
    "9471 8830 2246 0017 3",
    "ключи лежат под ковриком зимой",
    "鍵は冬の間マットの下にある秘密です",
    "kX9#vQ2!mZ7pL",
    "🦒🍵🪣🧲🦑🪁🧿🛟🪗🫐🥌🪬",
]


def someone() -> User:
    return User(email="gertrude.frobisher@example.org", first_name="Gertrude", last_name="Frobisher")


@pytest.mark.parametrize(("text", "why"), WEAK.values(), ids=WEAK)
def test_what_a_guesser_tries_is_refused_with_a_reason_that_does_not_repeat_it(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        passwords.checked(text, someone())
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("text", STRONG)
def test_any_characters_will_do_if_they_are_hard_to_guess(text: str) -> None:
    assert passwords.checked(text, someone()) == unicodedata.normalize("NFKC", text)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=300))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        taken = passwords.checked(text, someone())
    except ValueError:
        return
    assert passwords.MIN_LENGTH <= len(taken) <= passwords.MAX_LENGTH


@pytest.mark.parametrize("length", [12, 256])
def test_the_limits_are_as_they_are_said(length: int) -> None:
    text = ("kX9#vQ2!mZ7p" + "".join(chr(0x4E00 + 37 * n) for n in range(300)))[:length]
    assert passwords.checked(text, someone()) == text
    wrong = text[:-1] if length == 12 else text + "x"
    with pytest.raises(ValueError, match=r"at (least|most)"):
        passwords.checked(wrong, someone())


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_a_password_is_the_same_whatever_keyboard_it_is_typed_on(form: str) -> None:
    """SP 800-63B-4 §3.1.1.2: normalised before it is hashed."""
    text = "Größe ﬁndet Ångström № 7"
    user = new_user()
    user.set_password(unicodedata.normalize("NFD", text))
    user.save()
    typed: Any = form
    assert user_of(BasicCredential(user.email, unicodedata.normalize(typed, text))).id == user.id
    assert user.check_password(unicodedata.normalize(typed, text))
    with pytest.raises(NotAuthenticated):
        user_of(BasicCredential(user.email, text.replace("ö", "o")))


def test_a_password_that_is_too_long_costs_no_more() -> None:
    """U+FDFA becomes 18 characters: a megabyte of it is not made 18."""
    huge = "\ufdfa" * 500_000
    assert passwords.normalised(huge) is huge
    with pytest.raises(NotAuthenticated):
        user_of(BasicCredential(f"{unique('nobody')}@example.org", huge))


def test_what_is_judged_is_short_because_judging_long_texts_takes_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed."""
    judged = []
    real = passwords.zxcvbn

    def counting(text: str, **options: Any) -> Any:
        judged.append(text)
        return real(text, **options)

    monkeypatch.setattr(passwords, "zxcvbn", counting)
    passwords.checked("kX9#vQ2!mZ7p" * 21, someone())
    assert [len(text) for text in judged] == [24]


def test_passwords_are_hashed_by_argon2id_with_the_parameters_of_rfc_9106() -> None:
    encoded = make_password(PASSWORD)
    assert identify_hasher(encoded).algorithm == "argon2"
    assert encoded.startswith("argon2$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_hash_of_an_older_rule_is_made_anew_when_its_password_is_shown_and_not_before() -> None:
    user = new_user()
    User.objects.filter(pk=user.pk).update(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    with pytest.raises(NotAuthenticated):
        user_of(BasicCredential(user.email, PASSWORD + "!"))
    assert User.objects.get(pk=user.pk).password.startswith("pbkdf2_sha256$")
    user_of(BasicCredential(user.email, PASSWORD))
    assert User.objects.get(pk=user.pk).password.startswith("argon2$argon2id$")
    user_of(BasicCredential(user.email, PASSWORD))


def test_no_more_are_hashed_at_once_than_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 64 MiB; somebody who logs in a thousand times at once must not take it a thousand times."""
    running, most, lock = 0, 0, threading.Lock()
    plain = Argon2PasswordHasher.verify

    def counted(hasher: Argon2PasswordHasher, password: str, encoded: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return bool(plain(hasher, password, encoded))
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(Argon2PasswordHasher, "verify", counted)
    encoded = make_password(PASSWORD)
    assert all(at_once(8, lambda _: check_password(PASSWORD, encoded)))
    assert 1 <= most <= max(2, os.cpu_count() or 2)
