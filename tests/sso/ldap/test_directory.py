"""A real directory is asked: whose password it is, in which groups they are, and what it must not be talked into."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.sso import ldap, ldap_connection
from accounts.sso.kind import ProviderFailed, SettingInvalid
from accounts.sso.ldap_settings import Directory, canonical_dn, directory, parse
from tests.kit.tenants import unique
from tests.kit.tls import new_authority
from tests.sso.ldap.slapd import GROUPS, PASSWORD, PEOPLE, SECRETS, SERVICE_PASSWORD, Slapd, settings_of


def asked(slapd: Slapd, secrets: Mapping[str, bytes] = SECRETS, **changes: Any) -> Directory:
    return directory(parse(settings_of(slapd, **changes), frozenset(secrets)), secrets)


CONSTRUCT: dict[str, Any] = {
    "resolution": "construct",
    "domains": {"example.org": "uid={}," + PEOPLE},
}
ANONYMOUS: dict[str, Any] = {"service_dn": ""}


def resolutions(slapd: Slapd) -> Iterator[Directory]:
    """Every way from an address to an entry, with a service account and without."""
    yield asked(slapd)
    yield asked(slapd, {}, **ANONYMOUS)
    yield asked(slapd, **CONSTRUCT)
    yield asked(slapd, {}, **CONSTRUCT, **ANONYMOUS)
    yield asked(slapd, resolution="upn")


def new_person(slapd: Slapd, **fields: Any) -> tuple[str, str]:
    """Name and address."""
    name = unique("p")
    slapd.person(name, userPrincipalName=f"{name}@example.org", classes=["extensibleObject"], **fields)
    return name, f"{name}@example.org"


# -- who it is -----------------------------------------------------------------------------------------------------


def test_every_resolution_finds_the_same_person(slapd: Slapd) -> None:
    _, address = new_person(slapd)
    found = [ldap.person(settings, address, PASSWORD) for settings in resolutions(slapd)]
    assert None not in found
    assert len({person.subject for person in found if person}) == 1


def test_no_resolution_takes_another_password_or_another_persons(slapd: Slapd) -> None:
    _, address = new_person(slapd)
    new_person(slapd, password="somebody else's")
    for settings_ in resolutions(slapd):
        for wrong in ("wrong", "somebody else's", SERVICE_PASSWORD, PASSWORD + " ", PASSWORD.upper()):
            assert ldap.person(settings_, address, wrong) is None


def test_an_empty_password_is_refused_though_the_directory_would_take_it(slapd: Slapd) -> None:
    """RFC 4513 §5.1.2: such a bind succeeds as nobody. The text ends at NUL where C reads it."""
    name, address = new_person(slapd)
    with ldap_connection.conversation(asked(slapd).endpoint) as connection:
        connection.simple_bind_s(f"uid={name},{PEOPLE}", "")  # slapd of the tests takes them, as old ones do
    for settings_ in resolutions(slapd):
        for empty in ("", "\0", "\0" + PASSWORD, PASSWORD + "\0"):
            assert ldap.person(settings_, address, empty) is None


SPELLINGS = [
    *("*", "*@example.org", "p*@example.org", ")(uid=*", "*)(objectClass=*", "x)(|(mail=*", "\\2a@example.org"),
    *("a@example.org,ou=services", "a,ou=x@example.org", "a+cn=b@example.org", '"a b"@example.org', "a=b@example.org"),
    *(
        "\0@example.org",
        "a\0b@example.org",
        "a\n@example.org",
        "\uff41@example.org",
        "\u0430@example.org",
        "",
        "@",
        "@example.org",
    ),
]


def test_no_address_reaches_into_a_filter_or_a_name(slapd: Slapd) -> None:
    new_person(slapd)
    for settings_ in resolutions(slapd):
        for address in SPELLINGS:
            assert ldap.person(settings_, address, PASSWORD) is None, address


@given(text=st.text(max_size=40))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_escaped_in_a_search_for_an_app(slapd: Slapd, text: str) -> None:
    """Names of apps are free text; a star in one finds the entry that is named so, and no other."""
    assert ldap.program(asked(slapd, url=slapd.url), text.replace("=", ""), PASSWORD) is None


@pytest.mark.parametrize("local", ["o'brien", "a+b", "#hash", "a.b", "a!b", "a&b"])
def test_odd_but_right_addresses_work_in_names_and_filters(slapd: Slapd, local: str) -> None:
    name = f"{local}{unique('')}"
    address = f"{name}@example.org"
    slapd.person(name, mail=address)
    for changes in ({}, CONSTRUCT):
        found = ldap.person(asked(slapd, **changes), address, PASSWORD)
        assert found is not None
        assert found.email == address


def test_who_is_found_twice_is_nobody(slapd: Slapd) -> None:
    shared = f"{unique('twin')}@example.org"
    slapd.person(unique("p"), mail=shared)
    slapd.person(unique("p"), mail=shared)
    slapd.person(unique("p"), mail=shared)
    assert ldap.person(asked(slapd), shared, PASSWORD) is None


def test_the_entrys_own_mail_must_be_the_address(slapd: Slapd) -> None:
    """A constructed name finds an entry whatever its mail is."""
    name = unique("p")
    slapd.person(name, mail="another@example.org")
    assert ldap.person(asked(slapd, **CONSTRUCT), f"{name}@example.org", PASSWORD) is None
    assert ldap.person(asked(slapd, **CONSTRUCT), f"{name}@elsewhere.example", PASSWORD) is None


def test_only_entries_of_the_class_are_people(slapd: Slapd) -> None:
    _, address = new_person(slapd)
    assert ldap.person(asked(slapd, user_object_class="posixAccount"), address, PASSWORD) is None


def test_a_renamed_entry_is_the_same_person_and_its_successor_is_not(slapd: Slapd) -> None:
    name, address = new_person(slapd)
    before = ldap.person(asked(slapd), address, PASSWORD)
    moved = slapd.rename(f"uid={name},{PEOPLE}", f"uid={unique('new')}")
    after = ldap.person(asked(slapd), address, PASSWORD)
    assert before is not None
    assert after is not None
    assert after.subject == before.subject
    slapd.delete(moved)
    slapd.person(name)
    successor = ldap.person(asked(slapd), address, PASSWORD)
    assert successor is not None
    assert successor.subject != before.subject


def test_a_changed_password_holds_at_once_and_a_removed_one_never(slapd: Slapd) -> None:
    name, address = new_person(slapd)
    slapd.change(f"uid={name},{PEOPLE}", userPassword="the next")
    assert ldap.person(asked(slapd), address, PASSWORD) is None
    assert ldap.person(asked(slapd), address, "the next") is not None
    slapd.change(f"uid={name},{PEOPLE}", userPassword=None)
    for password in ("the next", PASSWORD, "x"):
        assert ldap.person(asked(slapd), address, password) is None


# -- groups --------------------------------------------------------------------------------------------------------


def test_groups_of_every_kind_are_found_by_one_spelling(slapd: Slapd) -> None:
    name = unique("p")
    dn = slapd.person(name, classes=["posixAccount"], uidNumber="7", gidNumber="7", homeDirectory=f"/home/{name}")
    wanted = {
        canonical_dn(slapd.group(unique("G"), [dn])),
        canonical_dn(slapd.group(unique("U"), [dn], kind="groupOfUniqueNames")),
        canonical_dn(slapd.group(unique("X"), [name], kind="posixGroup", gidNumber="9")),
    }
    slapd.group(unique("other"), kind="posixGroup", gidNumber="9", memberUid=["somebody"])
    found = ldap.person(asked(slapd), f"{name}@example.org", PASSWORD)
    assert found is not None
    assert found.groups == wanted


def test_a_name_is_no_member_of_a_posix_group_unless_it_is_an_account(slapd: Slapd) -> None:
    """A person may choose a uid like an account's where nothing forbids it."""
    name, address = new_person(slapd)
    slapd.group(unique("X"), [name], kind="posixGroup", gidNumber="9")
    found = ldap.person(asked(slapd), address, PASSWORD)
    assert found is not None
    assert found.groups == frozenset()


def test_membership_is_asked_for_without_a_password(slapd: Slapd) -> None:
    people = [new_person(slapd) for _ in range(3)]
    found = [ldap.person(asked(slapd), address, PASSWORD) for _, address in people]
    subjects = [person.subject for person in found if person]
    group = slapd.group(unique("G"), [f"uid={people[0][0]},{PEOPLE}", f"uid={people[1][0]},{PEOPLE}"])
    assert ldap.members(asked(slapd), canonical_dn(group), subjects) == set(subjects[:2])
    slapd.take_out_of(group, f"uid={people[0][0]},{PEOPLE}")
    assert ldap.members(asked(slapd), canonical_dn(group), subjects) == {subjects[1]}
    assert ldap.members(asked(slapd), canonical_dn(f"cn=gone,{GROUPS}"), subjects) == frozenset()


def test_one_name_has_one_spelling() -> None:
    spellings = ["CN=Admins, OU=Groups,DC=example,DC=org", "cn=admins,ou=groups,dc=Example,dc=org"]
    assert len(set(map(canonical_dn, spellings))) == 1
    assert canonical_dn("cn=a\\,b,dc=org") != canonical_dn("cn=a,cn=b,dc=org")
    for wrong in ("", "admins", "cn=a,,dc=org", "cn=\0"):
        with pytest.raises(SettingInvalid):
            canonical_dn(wrong)


# -- the connection ------------------------------------------------------------------------------------------------


def test_tls_comes_with_the_connection_or_is_started_in_it(slapd: Slapd) -> None:
    _, address = new_person(slapd)
    for changes in ({}, {"url": slapd.url}, {"url": slapd.url, "tls": {"mode": "opportunistic"}}):
        assert ldap.person(asked(slapd, **changes), address, PASSWORD) is not None


def test_a_certificate_that_is_not_trusted_or_of_another_name_ends_it(slapd: Slapd) -> None:
    other = Slapd(slapd.folder).authority
    for url in (slapd.url, slapd.tls_url):
        for changes in (
            {"url": url, "tls": {"mode": "required", "authorities": [other.pem]}},
            {"url": url, "tls": {"mode": "required", "authorities": []}},
            {"url": url.replace("localhost", "127.0.0.1")},
        ):
            with pytest.raises(ProviderFailed):
                ldap.person(asked(slapd, **changes), "a@example.org", PASSWORD)


def test_a_directory_that_asks_for_a_client_certificate_gets_ours(tmp_path: Any) -> None:
    own = Slapd(tmp_path, more="TLSVerifyClient demand")
    certificate, key = (file.read_text() for file in own.authority.server(tmp_path, "keystead"))
    shown = {"mode": "required", "authorities": [own.authority.pem], "client_certificate": certificate}
    secrets = {**SECRETS, "client_key": key.encode()}
    own.start()
    try:
        own.populate()
        own.person("eve")
        for url in (own.url, own.tls_url):
            assert ldap.person(asked(own, secrets, url=url, tls=shown), "eve@example.org", PASSWORD) is not None
            with pytest.raises(ProviderFailed):
                ldap.person(asked(own, url=url), "eve@example.org", PASSWORD)
    finally:
        own.stop()
    other = {**secrets, "client_key": Path(new_authority().server(tmp_path, "x")[1]).read_bytes()}
    with pytest.raises(SettingInvalid, match="do not go together"):
        asked(own, other, tls=shown)
    for wrong in (asked_for(own, SECRETS, shown), asked_for(own, secrets, {"mode": "disabled"})):
        with pytest.raises(SettingInvalid):
            wrong()


def asked_for(slapd: Slapd, secrets: Mapping[str, bytes], tls: Mapping[str, Any]) -> Callable[[], Directory]:
    return lambda: asked(slapd, secrets, url=slapd.url, tls=tls)


REFUSED_URLS = [
    *(
        "http://localhost",
        "ldapi:///var/run/ldapi",
        "ldap://",
        "ldap://u:p@localhost",
        "localhost",
        "file:///etc/passwd",
    ),
    *("ldap://localhost/dc=example??sub?(x=*)", "ldap://localhost#x", "ldap://local host", "ldap://10.0.0.1"),
    *("ldaps://169.254.169.254", "ldaps://[::1]", "ldaps://[::ffff:10.0.0.1]", "ldap://a ldap://b"),
]


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_settings_with_an_address_that_is_never_called_are_refused(slapd: Slapd, url: str) -> None:
    with pytest.raises(SettingInvalid):
        asked(slapd, url=url)


def test_no_password_crosses_a_public_network_in_clear(slapd: Slapd) -> None:
    for mode in ("disabled", "opportunistic"):
        with pytest.raises(SettingInvalid, match="public network"):
            asked(slapd, url="ldap://93.184.215.14", tls={"mode": mode})
        with pytest.raises(SettingInvalid, match="its mode is required"):
            asked(slapd, tls={"mode": mode})


def test_a_name_is_judged_when_it_is_called(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name resolves to something else later: not one connection is made."""
    made: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: made.append(a))
    for address in ("10.1.2.3", "169.254.169.254", "192.168.0.1", "::1", "fe80::1", "::ffff:10.0.0.1"):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, found=found, **k: found)
        with pytest.raises(SettingInvalid):
            ldap.person(asked(slapd), "a@example.org", PASSWORD)
    assert made == []


@contextmanager
def talker(*, say: bytes, repeat: bool = False, wait: float = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Somebody who is no directory: accepts, hears, says something."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            peer, _ = listening.accept()
            with peer:
                heard.append(peer.recv(4096))
                time.sleep(wait)
                peer.sendall(say)
                while repeat:
                    peer.sendall(say)
                heard.append(peer.recv(4096))
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.close()
        thread.join(timeout=5)


def plain(slapd: Slapd, port: int) -> Directory:
    return asked(slapd, url=f"ldap://127.0.0.1:{port}", tls={"mode": "disabled"})


def test_somebody_who_never_stops_talking_is_cut_off(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search result of 2 GB begins; nothing of it is kept past the bound."""
    monkeypatch.setattr(ldap_connection, "MAX_BYTES", 1 << 20)
    endless = b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01\x64" + bytes(1 << 16)
    with talker(say=endless, repeat=True) as (port, _), pytest.raises(ProviderFailed):
        ldap.person(plain(slapd, port), "a@example.org", PASSWORD)


def test_somebody_who_says_nothing_is_not_waited_for_long(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldap_connection, "CONVERSATION_SECONDS", 0.3)
    began = time.monotonic()
    with talker(say=b"", wait=0.8) as (port, _), pytest.raises(ProviderFailed):
        ldap.person(plain(slapd, port), "a@example.org", PASSWORD)
    assert time.monotonic() - began < 2


# A bind's and StartTLS's answers: success (RFC 4511 §4.2.2, §4.12).
BIND_ANSWERED = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
TLS_ANSWERED = BIND_ANSWERED.replace(b"\x61", b"\x78")


@pytest.mark.parametrize(
    "say",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x30\x80",
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x0a\x04\x00\x04\x00",
        b"\xff" * 64,
        b"\x00",
    ],
    ids=["http", "indefinite length", "referral", "noise", "NUL"],
)
def test_what_is_not_an_answer_is_a_failure_and_never_a_login(
    slapd: Slapd, say: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ldap_connection, "CONVERSATION_SECONDS", 0.5)
    with talker(say=say) as (port, _), pytest.raises(ProviderFailed):
        ldap.person(plain(slapd, port), "a@example.org", PASSWORD)


def test_a_refused_or_forged_starttls_sends_nothing_in_clear(slapd: Slapd) -> None:
    """Refused, and accepted with an answer to the bind put behind it in clear."""
    refused = TLS_ANSWERED.replace(b"\x0a\x01\x00", b"\x0a\x01\x02")
    for say in (refused, TLS_ANSWERED + BIND_ANSWERED, b"\x30\x02\x02\x01"):
        with talker(say=say) as (port, heard), pytest.raises(ProviderFailed):
            ldap.person(asked(slapd, url=f"ldap://127.0.0.1:{port}"), "a@example.org", PASSWORD)
        assert all(SERVICE_PASSWORD.encode() not in text for text in heard)


def test_one_slow_directory_takes_few_places(slapd: Slapd) -> None:
    _, address = new_person(slapd)
    with ldap_connection._place("slow.example"), ldap_connection._place("slow.example"):
        with pytest.raises(ProviderFailed), ldap_connection._place("slow.example"):
            pass
        assert ldap.person(asked(slapd), address, PASSWORD) is not None
    with ldap_connection._place("slow.example"):
        pass


def test_a_directory_that_dies_fails_and_works_again_when_it_is_back(tmp_path: Any) -> None:
    own = Slapd(tmp_path)
    own.start()
    try:
        own.populate()
        own.person("eve")
        settings_ = asked(own)
        assert ldap.person(settings_, "eve@example.org", PASSWORD) is not None
        own.stop(kill=True)
        with pytest.raises(ProviderFailed):
            ldap.person(settings_, "eve@example.org", PASSWORD)
        own.start()
        assert ldap.person(settings_, "eve@example.org", PASSWORD) is not None
    finally:
        own.stop()
    assert [t for t in threading.enumerate() if t.name == "ldap"] == []


def test_a_service_account_that_is_refused_is_a_failure_not_a_wrong_password(slapd: Slapd) -> None:
    with pytest.raises(ProviderFailed):
        ldap.person(asked(slapd, {"service_password": b"old"}), "a@example.org", PASSWORD)


def test_trust_is_never_less_than_tls_1_2(slapd: Slapd) -> None:
    trust = asked(slapd).endpoint.trust
    assert trust is not None
    assert trust.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert trust.check_hostname
