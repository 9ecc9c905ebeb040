"""A real directory is asked: whose password it is, in which groups they are, and what it must not be talked into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.sso import ldap, ldap_connection
from accounts.sso.kind import SettingInvalid
from accounts.sso.ldap_settings import Directory, canonical_dn, directory, parse
from tests.kit.tenants import unique
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
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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


class ActiveDirectory:
    """What Active Directory answers where it differs: ids as octets, values in ranges ([MS-ADTS] 3.1.1.3.1.3.3)."""

    MEMBERS = tuple(f"CN=p{number},DC=example,DC=org".encode() for number in range(25))

    def search_ext_s(self, base: str, _scope: int, _filter: str, wanted: list[str], sizelimit: int) -> Any:
        asked_for = next((name for name in wanted if name.startswith("member")), "member")
        first = int(asked_for.partition("=")[2].partition("-")[0] or 0)
        some = self.MEMBERS[first : first + 10]
        last = "*" if first + 10 >= len(self.MEMBERS) else str(first + 9)
        referral = (None, ["ldap://elsewhere.example.org/DC=example,DC=org"])
        return [(base, {f"member;range={first}-{last}": list(some)}), referral]


def test_a_large_group_is_read_in_ranges_and_references_are_left_alone(slapd: Slapd) -> None:
    found = ldap._Conversing(ActiveDirectory(), asked(slapd)).members_of("CN=g,DC=example,DC=org")
    assert found["dn"] == {canonical_dn(member.decode()) for member in ActiveDirectory.MEMBERS}


def test_an_entry_is_known_by_its_id_however_that_is_written() -> None:
    known = UUID("12345678-9abc-def0-1234-56789abcdef0")
    assert ldap.Entry("", {"objectguid": [known.bytes_le]}).subject == str(known)
    assert ldap.Entry("", {"entryuuid": [str(known).upper().encode()]}).subject == str(known)
    nothings: list[dict[str, list[bytes]]] = [{}, {"objectguid": [b"short"]}, {"entryuuid": [b"x"]}, {"entryuuid": []}]
    for nothing in nothings:
        assert ldap.Entry("", nothing).subject == ""
