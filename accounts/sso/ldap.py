"""What is asked of a directory: who somebody is, in which groups, and whether a password is theirs.

A login ends with a bind by the entry's own name, so the person found is the one whose password was shown. It must not
know rows, sessions, the wire or where secrets are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts import addresses
from accounts.models import ProviderKind
from accounts.sso.kind import Kind, ProviderFailed, SettingInvalid
from accounts.sso.ldap_connection import conversation, library
from accounts.sso.ldap_settings import (
    CLIENT_KEY,
    CONSTRUCT,
    PLACE,
    SERVICE_PASSWORD,
    UPN,
    Directory,
    canonical_dn,
    directory,
    parse,
    secrets_go_to,
)

MAX_PASSWORD = 1024
MAX_GROUPS, MAX_ASKED, MAX_FOUND = 1000, 100, 100

# Subjects that never go to another entry: OpenLDAP and 389 (RFC 4530), Active Directory ([MS-ADA3] 2.43).
_UUID, _GUID = "entryUUID", "objectGUID"
_NAMES = ("mail", "userPrincipalName", "uid", "givenName", "sn", "cn", "description", "objectClass", "memberOf")
_WANTED = (_UUID, _GUID, *_NAMES)
_MEMBERS = ("member", "uniqueMember", "memberUid")

# What a directory answers to a bind that it refuses (RFC 4511 §A.2); anything else is a directory that does not work.
_REFUSALS = frozenset({16, 19, 32, 34, 48, 49, 50, 53})


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry, with its attributes by lower-case name. ``dn`` is as the directory spells it."""

    dn: str
    attributes: Mapping[str, Sequence[bytes]]

    def texts(self, name: str) -> list[str]:
        return [value.decode(errors="replace") for value in self.attributes.get(name.lower(), ())]

    def text(self, name: str) -> str:
        return next(iter(self.texts(name)), "")

    @property
    def subject(self) -> str:
        """The entry's own id, as a UUID; empty when the directory shows none."""
        for name, order in ((_UUID, "text"), (_GUID, "bytes_le")):
            for value in self.attributes.get(name.lower(), ()):
                try:
                    return str(UUID(value.decode()) if order == "text" else UUID(bytes_le=bytes(value)))
                except ValueError:
                    return ""
        return ""


@dataclass(frozen=True, slots=True)
class Person:
    """Whose password was shown. ``groups`` are canonical names."""

    subject: str
    email: str
    groups: frozenset[str]
    first_name: str = ""
    last_name: str = ""


class TooManyFound(ProviderFailed):
    """A part of an answer is none."""


# -- logins --------------------------------------------------------------------------------------------------------


def person(settings: Directory, email: str, password: str) -> Person | None:
    """Whose address and password these are; None when they are nobody's."""
    try:
        address = addresses.checked(email)
    except ValueError:
        return None
    return _proven(settings, password, address=address, wanted=_by_address(settings, address))


def program(settings: Directory, name: str, password: str) -> Person | None:
    """The entry of an app: its name there is an account's name, or a distinguished name.

    Not a common name, which people may choose for themselves.
    """
    if not name or len(name) > 256 or not name.isprintable():
        return None
    by_name = None if "=" in name else _filter_of("|", [("uid", name), ("sAMAccountName", name)])
    return _proven(settings, password, address="", wanted=by_name, name=name)


def _proven(settings: Directory, password: str, *, address: str, wanted: str | None, name: str = "") -> Person | None:
    """An empty password binds as nobody and succeeds (RFC 4513 §5.1.2), and NUL ends a text in many a server."""
    if not password or "\0" in password or len(password) > MAX_PASSWORD:
        return None
    with conversation(settings.endpoint) as connection:
        conversing = _Conversing(connection, settings)
        found = conversing.candidate(wanted, name or _constructed(settings, address))
        # A name that nobody has is tried too: who does not exist costs a bind like who does.
        if not conversing.binds(found.dn if isinstance(found, Entry) else found, password):
            return None
        entry = conversing.own_entry(found)
        if entry is None or (address and not _has_address(settings, entry, address)):
            return None
        if not entry.subject:
            raise ProviderFailed("The directory shows neither entryUUID nor objectGUID")
        groups = conversing.groups_of(entry)
    return Person(entry.subject, address, groups, entry.text("givenName"), entry.text("sn"))


def _constructed(settings: Directory, address: str) -> str:
    local, _, domain = address.rpartition("@")
    form = settings.domains.get(domain)
    return _nobody(settings) if form is None else form.replace(PLACE, str(library().dn.escape_dn_chars(local)))


def _nobody(settings: Directory) -> str:
    return f"cn=nobody,{settings.base_dn}"


def _by_address(settings: Directory, address: str) -> str | None:
    if settings.resolution == CONSTRUCT:
        return None
    return _filter_of("&", [("objectClass", settings.user_object_class), (_address_attribute(settings), address)])


def _address_attribute(settings: Directory) -> str:
    return "userPrincipalName" if settings.resolution == UPN else "mail"


def _has_address(settings: Directory, entry: Entry, address: str) -> bool:
    return address in map(addresses.normalised, entry.texts(_address_attribute(settings)))


def _filter_of(how: str, parts: Iterable[tuple[str, str]], *, patterns: bool = False) -> str:
    """A filter (RFC 4515); attributes are ours or were checked, values are escaped. ``patterns`` leaves their stars."""
    escape = library().filter.escape_filter_chars

    def value(text: str) -> str:
        return "*".join(map(escape, text.split("*"))) if patterns else str(escape(text))

    return f"({how}" + "".join(f"({name}={value(text)})" for name, text in parts) + ")"


# -- membership, without anybody's password ------------------------------------------------------------------------


def members(settings: Directory, group: str, subjects: Collection[str]) -> frozenset[str]:
    """Which of these subjects the directory counts in a group now. Needs the service account."""
    with conversation(settings.endpoint) as connection:
        conversing = _Conversing(connection, settings)
        conversing.become_service()
        named, inside = conversing.people(subjects), conversing.members_of(group)
        wanted = canonical_dn(group)
    return frozenset(entry.subject for entry in named if _is_member(entry, wanted, inside))


def _is_member(entry: Entry, group: str, inside: Mapping[str, frozenset[str]]) -> bool:
    return (
        _canonical(entry.dn) in inside["dn"]
        or group in map(_canonical, entry.texts("memberOf"))
        or bool(inside["uid"].intersection(_posix_names(entry)))
    )


def _posix_names(entry: Entry) -> list[str]:
    """Groups that count names (RFC 2307) mean accounts that have them."""
    is_account = "posixaccount" in map(str.lower, entry.texts("objectClass"))
    return entry.texts("uid") if is_account else []


def _canonical(dn: str) -> str:
    """A name that is spelled wrongly is equal to none."""
    try:
        return canonical_dn(dn)
    except SettingInvalid:
        return ""


def found_entries(
    settings: Directory, filters: Sequence[tuple[str, str]], *, base: str, object_class: str, whole_subtree: bool
) -> list[Entry]:
    """Entries for an administrator to choose from; the attributes' names were checked."""
    ldap = library()
    scope = ldap.SCOPE_SUBTREE if whole_subtree else ldap.SCOPE_ONELEVEL
    wanted = _filter_of("&", [("objectClass", object_class or "*"), *filters], patterns=True)
    with conversation(settings.endpoint) as connection:
        conversing = _Conversing(connection, settings)
        conversing.become_service()
        return conversing.search(base, wanted, scope=scope, most=MAX_FOUND)


def probe(settings: Directory) -> None:
    """Connect, log in as the service, and look whether the base is there."""
    with conversation(settings.endpoint) as connection:
        conversing = _Conversing(connection, settings)
        conversing.become_service()
        if settings.service is not None and conversing.read(settings.base_dn) is None:
            raise ProviderFailed("The directory has no such base_dn")


# -- the conversation ----------------------------------------------------------------------------------------------


class _Conversing:
    """What is said in one conversation, by whom it is bound at the time."""

    def __init__(self, connection: Any, settings: Directory) -> None:
        self._ldap, self._connection, self._settings = library(), connection, settings

    def binds(self, dn: str, password: str) -> bool:
        try:
            self._connection.simple_bind_s(dn, password)
        except self._ldap.LDAPError as error:
            if _code(error) in _REFUSALS:
                return False
            raise ProviderFailed("The directory failed at a bind") from error
        return True

    def become_service(self) -> None:
        """Without a service account a conversation begins as nobody (RFC 4513 §5.1.1), or stays as it is."""
        if self._settings.service is not None and not self.binds(*self._settings.service):
            raise ProviderFailed("The directory refuses the service account")

    def candidate(self, wanted: str | None, name: str) -> Entry | str:
        """The one entry that matches, or the name to try where nothing is searched for."""
        if wanted is None:
            return name
        self.become_service()
        try:
            found = self.search(self._settings.base_dn, wanted, most=1)
        except TooManyFound:
            found = []
        return found[0] if found else _nobody(self._settings)

    def own_entry(self, found: Entry | str) -> Entry | None:
        """After the bind: who was found before it, or the entry of the constructed name."""
        self.become_service()
        return found if isinstance(found, Entry) else self.read(found)

    def read(self, dn: str) -> Entry | None:
        wanted = "(objectClass=*)"
        found = self.search(dn, wanted, scope=self._ldap.SCOPE_BASE, most=1)
        return found[0] if found else None

    def groups_of(self, entry: Entry) -> frozenset[str]:
        """The groups that count the entry among their members, and those that the entry says it is in."""
        parts = [("member", entry.dn), ("uniqueMember", entry.dn), *(("memberUid", u) for u in _posix_names(entry))]
        rows = self.search(self._settings.base_dn, _filter_of("|", parts), wanted=("1.1",), most=MAX_GROUPS)
        return frozenset(map(_canonical, (*(row.dn for row in rows), *entry.texts("memberOf")))) - {""}

    def people(self, subjects: Collection[str]) -> list[Entry]:
        """The entries with these ids, wherever they were moved to."""
        asked, found = sorted(subjects), list[Entry]()
        for start in range(0, len(asked), MAX_ASKED):
            some = asked[start : start + MAX_ASKED]
            either = "".join(f"({_UUID}={s})({_GUID}={_octets(UUID(s).bytes_le)})" for s in some)
            found += self.search(self._settings.base_dn, f"(|{either})", most=len(some))
        return found

    def members_of(self, group: str) -> dict[str, frozenset[str]]:
        """A group's members, by name and by account name."""
        entry = self._read_with(group, _MEMBERS)
        if entry is None:
            return {"dn": frozenset(), "uid": frozenset()}
        dns = [*entry.texts("member"), *entry.texts("uniqueMember"), *self._ranges(group, entry)]
        return {"dn": frozenset(map(_canonical, dns)) - {""}, "uid": frozenset(entry.texts("memberUid"))}

    def _ranges(self, group: str, entry: Entry | None) -> list[str]:
        """Active Directory gives 1500 values at a time ([MS-ADTS] 3.1.1.3.1.3.3)."""
        found: list[str] = []
        while entry is not None:
            name = next((name for name in entry.attributes if name.startswith("member;range=")), None)
            if name is None:
                break
            found += entry.texts(name)
            last = name.rpartition("-")[2]
            entry = None if last == "*" else self._read_with(group, (f"member;range={int(last) + 1}-*",))
        return found

    def _read_with(self, dn: str, attributes: Sequence[str]) -> Entry | None:
        found = self.search(dn, "(objectClass=*)", scope=self._ldap.SCOPE_BASE, wanted=attributes, most=1)
        return found[0] if found else None

    def search(
        self, base: str, filter_text: str, *, scope: int | None = None, wanted: Sequence[str] = _WANTED, most: int
    ) -> list[Entry]:
        """All that match, or TooManyFound."""
        ldap = self._ldap
        try:
            rows = self._connection.search_ext_s(
                base, ldap.SCOPE_SUBTREE if scope is None else scope, filter_text, list(wanted), sizelimit=most
            )
        except (ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX):
            return []
        except ldap.SIZELIMIT_EXCEEDED:
            raise TooManyFound(f"The directory has more than {most} such entries") from None
        except ldap.LDAPError as error:
            raise ProviderFailed("The directory failed at a search") from error
        # Continuation references have no name (RFC 4511 §4.5.3); they are not followed.
        found = [Entry(dn, {name.lower(): values for name, values in held.items()}) for dn, held in rows if dn]
        if len(found) > most:
            raise TooManyFound(f"The directory has more than {most} such entries")
        return found


def _octets(value: bytes) -> str:
    return "".join(f"\\{octet:02x}" for octet in value)


def _code(error: Any) -> int:
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return int(details.get("result", -1))


KIND = Kind(
    ProviderKind.LDAP,
    parse,
    lambda config, secrets: probe(directory(config, secrets)),
    secrets_go_to=secrets_go_to,
    secrets=frozenset({SERVICE_PASSWORD, CLIENT_KEY}),
)
