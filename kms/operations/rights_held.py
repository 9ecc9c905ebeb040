"""Who holds which rights in an account, as its rows are now: for a reader, in words, with every role by its name.

It must not know the wire or HTTP; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from accounts.models import Account, App, ExternalGrant, Group, Membership, Role
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from policies.explanation import Place, Source, SourceKind
from policies.models import AccountPolicy, GroupPolicy
from policies.quorum import Member, Quorum
from policies.sources import sources_of
from policies.stored import tree_of

Names = Mapping[str, str]


def rights_in(account: UUID) -> dict[str, Any]:
    """People, programs, and what needs whose approval."""
    names = _names(account)
    return {
        "people": list(_people(account, names)),
        "programs": list(_programs(account, names)),
        "quorums": list(_quorums(account, names)),
        "security": _security(account),
    }


def _names(account: UUID) -> Names:
    """What a quorum or a right may name, by id."""
    found: dict[str, str] = {}
    for kind in (Group, App, Role):
        rows = kind.objects.filter(account_id=account).values_list("id", "name")
        found.update((str(identity), name) for identity, name in rows)
    people = Membership.objects.filter(account_id=account).values_list("user_id", "user__email")
    found.update((str(identity), email) for identity, email in people)
    return found


def _people(account: UUID, names: Names) -> Iterator[dict[str, Any]]:
    rows = Membership.objects.filter(account_id=account).select_related("user").order_by("user__email")
    for row in rows.iterator():
        principal = Principal(PrincipalKind.USER, row.user_id, account, AuthenticationMethod.NONE)
        yield {
            "id": str(row.user_id),
            "name": row.user.email,
            "since": row.created_at.isoformat(),
            "enabled": row.enabled,
            "invited": row.invitation_pending,
            "rights": list(_rights(principal, names)),
        }


def _programs(account: UUID, names: Names) -> Iterator[dict[str, Any]]:
    for row in App.objects.filter(account_id=account).order_by("name").iterator():
        principal = Principal(PrincipalKind.APP, row.id, account, AuthenticationMethod.NONE)
        yield {
            "id": str(row.id),
            "name": row.name,
            "since": row.created_at.isoformat(),
            "enabled": row.enabled,
            "rights": list(_rights(principal, names)),
        }


def _rights(principal: Principal, names: Names) -> Iterator[dict[str, Any]]:
    """Each source by itself. What a directory gives holds in its own sessions alone."""
    for source in sources_of(principal):
        if source.kind is not SourceKind.MEMBERSHIP:
            yield _right(source, names)
    for provider in _directories(principal):
        for source in sources_of(replace(principal, provider=provider)):
            if source.kind is SourceKind.EXTERNAL_ROLE:
                yield _right(source, names)


def _directories(principal: Principal) -> Iterable[UUID]:
    owner = {"app_id": principal.id} if principal.kind is PrincipalKind.APP else {"user_id": principal.id}
    held = ExternalGrant.objects.filter(**owner, role__account=principal.account)
    return held.values_list("role__provider_id", flat=True).distinct()


def _right(source: Source, names: Names) -> dict[str, Any]:
    return {
        "by": source.kind.value,
        "role": source.name,
        "where": names.get(str(source.group), str(source.group)) if source.place is Place.GROUP else source.place.value,
        "permissions": sorted(source.permissions),
    }


def _quorums(account: UUID, names: Names) -> Iterator[dict[str, Any]]:
    own = AccountPolicy.objects.filter(account_id=account, quorum__isnull=False).first()
    if own is not None:
        yield {"where": "account", "quorum": _words(own.quorum, names), "guarded": sorted(own.guarded)}
    groups = GroupPolicy.objects.filter(account_id=account, quorum__isnull=False).select_related("group")
    for row in groups.order_by("group__name"):
        yield {"where": row.group.name, "quorum": _words(row.quorum, names), "guarded": sorted(row.guarded)}


def _words(stored: Any, names: Names) -> str:
    return _in_words(tree_of(stored), names)


def _in_words(quorum: Quorum, names: Names) -> str:
    """As one says it: 2 of (alice, whoever is Officer, 1 of (…)) with second factor."""
    members = (_member(each, names) if isinstance(each, Member) else _in_words(each, names) for each in quorum.members)
    asked = {"password": quorum.require_password, "second factor": quorum.require_second_factor}
    proofs = " and ".join(word for word, needed in asked.items() if needed)
    return f"{quorum.n} of ({', '.join(members)})" + (f" with {proofs}" if proofs else "")


def _member(member: Member, names: Names) -> str:
    name = names.get(str(member.id), str(member.id))
    return f"whoever is {name}" if member.kind.value == "role" else name


def _security(account: UUID) -> dict[str, Any]:
    row = Account.objects.get(id=account)
    return {
        "enabled": row.enabled,
        "password login": row.password_login,
        "second factor": row.second_factor,
        "seconds until a proof is stale": row.step_up_seconds,
        "seconds to undo a change": row.undo_seconds,
    }
