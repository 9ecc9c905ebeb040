"""Where a call's targets are looked up and its grants are made: the only file that constructs a Grant.

Both planes use it; they differ in what ``find_object`` may ask and in who checks versions. It must not know the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from accounts.errors import NotAuthenticated
from accounts.models import Group
from accounts.principal import Principal, PrincipalKind
from kms.objects.models import SecurityObject
from kms.objects.snapshot import ObjectSnapshot, guards_of_object
from kms.objects.usage import refusal
from kms.operations import judging, transient
from kms.operations.caches import caches
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Resolved
from kms.operations.errors import AccessDenied, ApprovalRequired, NotFound
from policies.decision import AccessRequest, Allow, Deny, Forbid, Target, decide
from policies.grant import Grant
from policies.permissions import Permission

# Reasons that say "we do not know you (any more)" rather than "you may not".
UNAUTHENTICATED = frozenset(
    {
        "anonymous",
        "session-expired",
        "session-ended",
        "session-idle",
        "certificate-mismatch",
        "principal-gone",
    }
)


class Authority:
    """Looks up and decides for one call; ``versions`` collects what the decisions rested on."""

    def __init__(self, *, load: bool, locked: bool = False) -> None:
        """``load``: the database may be asked. ``locked``: and its answer is held until the transaction ends."""
        self._load = load
        self._locked = locked
        self.versions: dict[UUID, int] = {}

    def account(self, principal: Principal) -> UUID:
        if principal.kind is PrincipalKind.ANONYMOUS:
            raise NotAuthenticated("anonymous", "Authentication is required")
        if principal.account is None:
            raise AccessDenied("no-account-selected", "No account is selected; select one first")
        return principal.account

    def resolve_object(self, call: Call, need: ObjectNeed) -> Resolved:
        """The object with its state, usage and policies as forbids: "may I" and "can this key" have one answer."""
        snapshot = self._find(call, need.ref)
        forbids: tuple[Forbid, ...] = ()
        if need.operation is not None:
            refused = refusal(need.operation, snapshot.usable, call.now)
            forbids = () if refused is None else (Forbid(refused.code, refused.message),)
            forbids += judging.forbids_of_use(call.facts.demands, snapshot, need.operation, need.use)
        target = object_target(snapshot, forbids)
        return Resolved(self._permission(call, need, target, snapshot), target, snapshot)

    def _permission(self, call: Call, need: ObjectNeed, target: Target, snapshot: ObjectSnapshot) -> Permission:
        """The permission that is asked for; the lesser one where only that is held."""
        if need.masking is None or not snapshot.options.tokenises:
            return need.permission
        whole, masked = (
            decide(AccessRequest(call.principal, permission, target, call.now), call.facts)
            for permission in (need.permission, need.masking)
        )
        return need.masking if isinstance(whole, Deny) and isinstance(masked, Allow) else need.permission

    def authorise(self, call: Call, resolved: Resolved) -> Grant:
        """Decide and grant, or raise."""
        target = resolved.target
        call.touched.append(target)
        if "permission" not in call.details:
            call.details["permission"] = resolved.permission
        decision = decide(
            AccessRequest(call.principal, resolved.permission, target, call.now, call.approved), call.facts
        )
        if isinstance(decision, Allow):
            grant = Grant(call.principal, resolved.permission, target.id, decision.reason)
            call.grants.append(grant)
            return grant
        if isinstance(decision, Deny) and not decision.visible:
            raise NotFound(absent(target.kind), decision.reason)
        if isinstance(decision, Deny) and decision.reason in UNAUTHENTICATED:
            raise NotAuthenticated(decision.reason, decision.message)
        if isinstance(decision, Deny):
            raise AccessDenied(decision.reason, decision.message)
        raise ApprovalRequired(decision.reason, decision.policies)

    def _find(self, call: Call, ref: ObjectRef) -> ObjectSnapshot:
        account = self.account(call.principal)
        if ref.transient is not None:
            return transient.open_transient(ref.transient, account, call.now)
        found = caches.locked_object(account, ref) if self._locked else caches.object(account, ref, load=self._load)
        if found is None:
            raise NotFound(absent("object"))
        self.versions[found.snapshot.id] = found.version
        return found.snapshot


def object_target(found: ObjectSnapshot | SecurityObject, forbids: tuple[Forbid, ...] = ()) -> Target:
    """An object, as a snapshot or as its row, with its own quorum."""
    if isinstance(found, ObjectSnapshot):
        account, group, guards = found.account, found.group, found.guards
    else:
        account, group, guards = found.account_id, found.group_id, guards_of_object(found)
    return Target("object", found.id, account, (group,), Permission.OBJECT_GET, forbids, guards)


def account_target(call: Call) -> Target:
    return Target("account", call.account, call.account)


def resolve_on_account(permission: Permission) -> Callable[[Call, Command], Sequence[Resolved]]:
    """For what needs a right on the selected account and no row of it."""

    def resolve(call: Call, _command: Command) -> Sequence[Resolved]:
        return (Resolved(permission, account_target(call)),)

    return resolve


def resolve_on_record(permission: Permission) -> Callable[[Call, Command], Sequence[Resolved]]:
    """For what the operator of the host does with the whole record."""

    def resolve(_call: Call, _command: Command) -> Sequence[Resolved]:
        return (Resolved(permission, Target("record")),)

    return resolve


def group_target(row: Group) -> Target:
    return Target("group", row.id, row.account_id, (row.id,), Permission.GROUP_GET)


_NOUNS = {
    "object": "The security object does not exist",
    "group": "The group does not exist",
    "app": "The app does not exist",
    "user": "The user does not exist in this account",
    "role": "The role does not exist",
    "cluster": "The Kubernetes cluster does not exist",
    "binding": "The binding does not exist",
    "account": "The account does not exist",
    "approval": "The request for approval does not exist",
    "session": "The session does not exist or has ended",
}


def absent(kind: str) -> str:
    """The one sentence for what is absent and for what is invisible."""
    return _NOUNS.get(kind, "Not found")
