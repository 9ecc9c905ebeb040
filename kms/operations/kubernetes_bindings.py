"""Bindings: as which app the pods of a service account come in. Create, list, get, delete; they are never changed.

Who makes one gives a way to be the app, so it needs what a new credential of the app needs, quorums included, beside
the right on the cluster. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.utils import IntegrityError

from accounts.kubernetes import ANY, MAX_LABEL, MAX_SUBDOMAIN, is_label, is_subdomain
from accounts.models import App, AppRole, KubernetesBinding, KubernetesCluster
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.operations.apps import app_target, permission_on
from kms.operations.authority import absent, account_target
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import Conflict, NotFound
from kms.operations.giving import give_to_administrative_app
from kms.operations.kubernetes_clusters import cluster_target, find_cluster, resolve_cluster
from kms.operations.quorum_places import guards_of_places
from policies.decision import Target
from policies.permissions import Permission
from policies.quorum import Member, MemberKind

# A login reads all of a cluster's.
MAX_BINDINGS = 1000
_MANAGE = Permission.AUTHENTICATION_MANAGE


@dataclass(frozen=True, slots=True)
class CreateBinding(Command):
    """``service_account`` is a name, or ``*`` for any in the namespace."""

    cluster: UUID
    namespace: str
    service_account: str
    app: UUID


@dataclass(frozen=True, slots=True)
class ListBindings(Command):
    """Every binding of the cluster, by namespace and service account."""

    cluster: UUID


@dataclass(frozen=True, slots=True)
class GetBinding(Command):
    cluster: UUID
    binding: UUID


@dataclass(frozen=True, slots=True)
class DeleteBinding(Command):
    """Sessions that it opened end."""

    cluster: UUID
    binding: UUID


# -- handlers ------------------------------------------------------------------------------------------------------


def create_binding(
    call: Call, command: CreateBinding, cluster: KubernetesCluster, app: App, *_more: None
) -> KubernetesBinding:
    _check(command)
    if app.role == AppRole.ADMIN:
        give_to_administrative_app(call)
    if KubernetesBinding.objects.filter(cluster=cluster).count() >= MAX_BINDINGS:
        raise Conflict("too-many-bindings", f"A Kubernetes cluster has at most {MAX_BINDINGS} bindings")
    row = KubernetesBinding(id=uuid4(), cluster=cluster, namespace=command.namespace, app=app)
    row.service_account = command.service_account
    row.creator_kind, row.creator_id = call.principal.kind, call.principal.id
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        if "a_binding_is_made_once" in str(error):
            raise Conflict("binding-exists", "The service account is bound to this app already") from error
        raise
    call.touched.insert(0, _target(row))
    return row


def list_bindings(call: Call, _command: ListBindings, cluster: KubernetesCluster) -> list[KubernetesBinding]:
    rows = list(cluster.bindings.order_by("namespace", "service_account", "app_id"))
    call.details["returned"] = len(rows)
    return rows


def get_binding(_call: Call, _command: GetBinding, row: KubernetesBinding) -> KubernetesBinding:
    return row


def delete_binding(call: Call, _command: DeleteBinding, row: KubernetesBinding) -> None:
    call.details.update(
        cluster=str(row.cluster_id),
        namespace=row.namespace,
        service_account=row.service_account,
        app=str(row.app_id),
    )
    row.delete()


def _check(command: CreateBinding) -> None:
    if not is_label(command.namespace):
        raise ParameterInvalid(
            f"namespace is one exact name: 1 to {MAX_LABEL} of a-z, 0-9 and -, neither first nor last a - (RFC 1123)"
        )
    if command.service_account != ANY and not is_subdomain(command.service_account):
        raise ParameterInvalid(
            f"service_account is one exact name, 1 to {MAX_SUBDOMAIN} of a-z, 0-9, - and . (RFC 1123), "
            f"or {ANY} for any in the namespace"
        )


# -- resolution ----------------------------------------------------------------------------------------------------


def _target(row: KubernetesBinding) -> Target:
    return Target("binding", row.id, row.cluster.account_id, (), _MANAGE)


def _resolve_creation(call: Call, command: CreateBinding) -> Sequence[Resolved]:
    """The cluster, the app as for a new credential, and for an administrative app what making one needs."""
    cluster = find_cluster(call, command.cluster, lock=True)
    app = App.objects.select_for_update(no_key=True).filter(id=command.app, account_id=call.account).first()
    if app is None:
        raise NotFound(absent("app"))
    needed = [Resolved(_MANAGE, cluster_target(cluster), cluster), _to_become(call, app)]
    if app.role == AppRole.ADMIN:
        needed.append(Resolved(Permission.ADMIN_APP_CREATE, account_target(call)))
    return needed


def _to_become(call: Call, app: App) -> Resolved:
    """As whoever resets the app's API key: with a quorum's leave where its groups or its places want one."""
    groups = list(app.group_memberships.values_list("group_id", flat=True))
    asked = permission_on(app, Permission.APP_SECRET_RESET)
    guards = guards_of_places(call, asked, Member(MemberKind.APP, app.id))
    return Resolved(asked, replace(app_target(app, groups), guards=guards), app)


def _resolve(*, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        find_cluster(call, command.cluster, lock=lock)
        rows = KubernetesBinding.objects.select_related("cluster")
        row = rows.filter(id=command.binding, cluster_id=command.cluster).first()
        if row is None:
            raise NotFound(absent("binding"))
        return (Resolved(_MANAGE, _target(row), row),)

    return resolve


def _describe(command: CreateBinding) -> Mapping[str, Detail]:
    return {
        "cluster": str(command.cluster),
        "namespace": command.namespace[:MAX_LABEL],
        "service_account": command.service_account[:MAX_SUBDOMAIN],
        "app": str(command.app),
    }


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CreateBinding, "binding.create", _resolve_creation, create_binding, describe=_describe),
    _operation(ListBindings, "binding.list", resolve_cluster(), list_bindings),
    _operation(GetBinding, "binding.get", _resolve(), get_binding),
    _operation(DeleteBinding, "binding.delete", _resolve(lock=True), delete_binding, irreversible=True),
)
