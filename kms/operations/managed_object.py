"""A security object as a row under change: how it is locked, bound, checked, saved and shown.

What creation and the rest of the life cycle share. It decides nothing and must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import App, Group
from accounts.principal import PrincipalKind
from kms.crypto.algorithm import Algorithm
from kms.crypto.algorithms.certificate import issued_by
from kms.crypto.errors import ParameterInvalid
from kms.crypto.key_formats import DEFAULT
from kms.crypto.operation import KeyOperation
from kms.crypto.options import KeyOptions
from kms.hsm.module import KeySpec
from kms.objects import keystore
from kms.objects.binding import binding_of
from kms.objects.models import HistoryItem, SecurityObject
from kms.objects.snapshot import bound_fields
from kms.objects.state import Cryptoperiod, KeyState, effective_state
from kms.objects.usage import Handling, handling_refusal
from kms.operations.authority import absent, group_target
from kms.operations.command import Call, ObjectRef, Resolved
from kms.operations.errors import InvalidRequest, NotFound
from kms.operations.naming import save_named
from kms.secret import SecretBytes
from policies.permissions import Permission

# How many rotations in a row a call follows a name through.
FOLLOWED = 8


@dataclass(frozen=True, slots=True)
class ObjectView:
    """An object for rendering. ``value``, in ``form``, only when it was exported; ``transient`` replaces the row's id.

    ``copies`` and ``subkeys`` are ids of objects made of it, ``chain`` those of a certificate's issuers, upwards.
    """

    row: SecurityObject
    state: KeyState
    value: SecretBytes | None = None
    form: str = DEFAULT
    transient: bytes | None = None
    copies: tuple[UUID, ...] = ()
    subkeys: tuple[UUID, ...] = ()
    chain: tuple[UUID, ...] = ()
    history: tuple[HistoryItem, ...] = ()


def save(row: SecurityObject, *, created: bool = False) -> None:
    save_named(row, constraint="object_name_unique_in_account", noun="A security object", created=created)


def state_of(row: SecurityObject, now: datetime) -> KeyState:
    return effective_state(KeyState(row.state), Cryptoperiod(row.activation_date, row.deactivation_date), now)


def chains_of(rows: Sequence[SecurityObject], *, longest: int = 8) -> Mapping[UUID, tuple[UUID, ...]]:
    """For each certificate of one account, those of the account that issued it, upwards to a self-signed one or to
    where they end: one query for each step up, however many rows there are.
    """
    chains: dict[UUID, list[UUID]] = {}
    ends = {row.id: row for row in rows if row.kind == "CERTIFICATE"}
    for _ in range(longest):
        ends = {
            start: end for start, end in ends.items() if "der" in end.attributes and not end.attributes["self_signed"]
        }
        issuers = _named_issuers(list(ends.values()))
        steps = {start: _issuer(end, issuers, {start, *chains.get(start, ())}) for start, end in ends.items()}
        ends = {start: issuer for start, issuer in steps.items() if issuer is not None}
        for start, issuer in ends.items():
            chains.setdefault(start, []).append(issuer.id)
    return {start: tuple(chain) for start, chain in chains.items()}


def _named_issuers(ends: Sequence[SecurityObject]) -> Sequence[SecurityObject]:
    """Certificates that bear the name of somebody's issuer, the oldest first."""
    if not ends:
        return ()
    named = SecurityObject.objects.filter(
        account_id=ends[0].account_id,
        kind=ends[0].kind,
        attributes__has_key="der",  # it goes with the material
        deletion_date__isnull=True,
        attributes__subject__in=sorted({end.attributes["issuer"] for end in ends}),
    )
    return list(named.order_by("created_at"))


def _issuer(end: SecurityObject, issuers: Sequence[SecurityObject], passed: set[UUID]) -> SecurityObject | None:
    """The first that is none of those passed already and whose signature is on the certificate."""
    named = (row for row in issuers if row.id not in passed and row.attributes["subject"] == end.attributes["issuer"])
    return next((row for row in named if issued_by(end.attributes, row.attributes)), None)


def view_of(row: SecurityObject, now: datetime) -> ObjectView:
    return ObjectView(row, state_of(row, now))


def locked_object(call: Call, ref: ObjectRef, *, deleted: bool = False) -> SecurityObject:
    """The caller's account's object, held for change; a deleted one only when asked for."""
    row = named_object(call, ref, SecurityObject.objects.select_for_update(), deleted=deleted)
    for _ in range(FOLLOWED):
        # The name may have gone to another row, in a rotation, while this call waited for the one that had it.
        if row is not None or ref.name is None or named_object(call, ref, SecurityObject.objects.all()) is None:
            break
        row = named_object(call, ref, SecurityObject.objects.select_for_update(), deleted=deleted)
    if row is None or ref.transient is not None:
        raise NotFound(absent("object"))
    return row


def named_object(
    call: Call, ref: ObjectRef, rows: QuerySet[SecurityObject], *, deleted: bool = False
) -> SecurityObject | None:
    """A tombstone gave its name back, so it is found by id only."""
    if ref.id is None:
        return rows.filter(account_id=call.account, name=ref.name, deletion_date__isnull=True).first()
    row = rows.filter(account_id=call.account, id=ref.id).first()
    return row if row is None or deleted or row.deletion_date is None else None


def check_handling(row: SecurityObject, handling: Handling, now: datetime) -> None:
    """Refuse what the object's state does not allow (usage.HANDLED_IN)."""
    refused = handling_refusal(handling, state_of(row, now))
    if refused is not None:
        raise InvalidRequest(refused.message, refused.code)


def row_binding(row: SecurityObject) -> bytes:
    """What the row's blob is bound to, as the row is now."""
    return binding_of(bound_fields(row, keystore.deployment_id()))


def checked_operations(
    algorithm: Algorithm,
    asked: frozenset[KeyOperation] | None,
    *,
    spec: KeySpec,
    options: KeyOptions,
    public_only: bool,
) -> frozenset[KeyOperation]:
    possible = algorithm.possible_operations(options, public_only=public_only) & algorithm.operations_of(spec)
    if asked is None:
        return algorithm.defaults & possible
    wrong = asked - possible
    if wrong:
        what = f"{spec.curve or algorithm.kind} {'public keys' if public_only else 'objects'}"
        what += " that tokenise" if options.tokenises else ""
        raise ParameterInvalid(f"{what} cannot have the operations {', '.join(sorted(wrong))}")
    return asked


def check_period(period: Cryptoperiod) -> None:
    if period.activation is None or period.deactivation is None:
        return
    if period.deactivation <= period.activation:
        raise ParameterInvalid("deactivation_date must be after activation_date")


def destination(call: Call, group: UUID | None) -> Resolved:
    """The group an object goes to: named, or the app's default."""
    group_id = group
    if group_id is None and call.principal.kind is PrincipalKind.APP:
        group_id = App.objects.filter(id=call.principal.id).values_list("default_group_id", flat=True).first()
    if group_id is None:
        raise ParameterInvalid("group_id is needed")
    row = Group.objects.filter(id=group_id, account_id=call.account).first()
    if row is None:
        raise NotFound(absent("group"))
    return Resolved(Permission.OBJECT_CREATE, group_target(row), row)
