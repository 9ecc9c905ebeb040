"""Every row that a decision reads moves its subject's version when it changes, whoever changes it and however."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.db import connection

from accounts import codes
from accounts.clock import clock
from accounts.models import (
    Account,
    AccountRoleGrant,
    App,
    AppCredential,
    AppGroup,
    AppSubject,
    CodePurpose,
    ExternalGrant,
    ExternalIdentity,
    ExternalRole,
    ExternalRoleGroup,
    FactVersion,
    FidoCredential,
    Group,
    GroupMembership,
    GroupRoleGrant,
    IdentityProvider,
    KubernetesBinding,
    KubernetesCluster,
    Membership,
    OneTimeCode,
    RecoveryCode,
    Role,
    Session,
    TotpDevice,
    User,
)
from accounts.principal import AuthenticationMethod
from accounts.sealed_tables import SEALED
from accounts.sessions import issue
from kms.objects.models import SecurityObject
from policies.facts import read_versions
from policies.models import AccountPolicy, Approval, ApprovalRequest, GroupPolicy
from tests.architecture.source import ROOT
from tests.kit.clusters import bind, new_cluster
from tests.kit.tenants import Tenant, new_tenant

READERS = ("policies/facts.py", "policies/demand_rows.py", "kms/operations/caches.py", "kms/objects/snapshot.py")
# Table -> the column that names the subject whose facts the row is part of.
SUBJECTS = {
    "accounts_account": "id",
    "accounts_user": "id",
    "accounts_membership": "user_id",
    "accounts_groupmembership": "user_id",
    "accounts_group": "id",
    "accounts_app": "id",
    "accounts_appgroup": "app_id",
    "accounts_session": "id",
    "accounts_appcredential": "app_id",
    "accounts_totpdevice": "user_id",
    "accounts_fidocredential": "user_id",
    "accounts_externalrole": "account_id",
    "accounts_externalrolegroup": "account_id",
    "accounts_externalgrant": "user_id",
    "accounts_role": "account_id",
    "accounts_accountrolegrant": "user_id",
    "accounts_grouprolegrant": "user_id",
    "policies_accountpolicy": "account_id",
    "policies_grouppolicy": "account_id",
    "accounts_onetimecode": "user_id",
    "accounts_recoverycode": "user_id",
    "accounts_appsubject": "app_id",
    "accounts_identityprovider": "account_id",
    "accounts_externalidentity": "user_id",
    "policies_approvalrequest": "id",
    "policies_approval": "request_id",
    "objects_securityobject": "id",
    "accounts_kubernetescluster": "id",
    "accounts_kubernetesbinding": "cluster_id",
}


def _own_models() -> list[Any]:
    return [model for model in apps.get_models() if model.__module__.startswith(("accounts.", "policies.", "kms."))]


def models_read(path: str) -> set[str]:
    """The tables of the models that a module imports."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    return {model._meta.db_table for model in _own_models() if model.__name__ in imported}


def triggers() -> dict[str, str]:
    """Table -> what its trigger takes as the subject's column, from the live database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid), tgenabled FROM pg_trigger "
            "WHERE tgname = 'fact_version' AND NOT tgisinternal"
        )
        found = {}
        for table, definition, enabled in cursor.fetchall():
            assert enabled == "O", f"the trigger of {table} is switched off"
            assert "AFTER INSERT OR DELETE OR UPDATE" in definition
            assert "FOR EACH ROW" in definition
            found[table] = definition.rpartition("('")[2].removesuffix("')")
    return found


def test_every_table_that_decisions_read_has_the_trigger() -> None:
    read = set().union(*map(models_read, READERS)) - {FactVersion._meta.db_table}
    assert len(read) >= 5
    assert read <= triggers().keys()


def test_triggers_take_the_column_that_names_the_subject() -> None:
    assert triggers() == SUBJECTS


def test_what_moves_a_version_is_what_is_sealed() -> None:
    assert {name: table.subjects[0] for name, table in SEALED.items()} == triggers()


def test_the_servers_role_cannot_switch_the_triggers_off() -> None:
    with connection.cursor() as cursor:
        for statement in ("ALTER TABLE accounts_app DISABLE TRIGGER ALL", "SET session_replication_role = replica"):
            with pytest.raises(Exception, match=r"must be owner|permission denied"):
                cursor.execute(statement)


# -- each table: a change bumps its subject, and nobody else's ------------------------------------------------------


def _session(tenant: Tenant) -> UUID:
    session, _ = issue(tenant.app, AuthenticationMethod.API_KEY, clock.now(), clock.now())
    return session.id


def _object(tenant: Tenant) -> UUID:
    made = tenant.key().id
    assert made is not None
    return made


def _totp(tenant: Tenant) -> Any:
    TotpDevice.objects.create(user_id=tenant.alice.id, name="phone", key_sealed=b"sealed")
    return TotpDevice.objects.filter(user_id=tenant.alice.id)


def _fido(tenant: Tenant) -> Any:
    FidoCredential.objects.create(
        user_id=tenant.alice.id, name="key", protocol="fido2", credential_id=uuid4().bytes, public_key=b"cose"
    )
    return FidoCredential.objects.filter(user_id=tenant.alice.id)


def _binding(tenant: Tenant) -> Row:
    cluster = new_cluster(tenant)
    return KubernetesBinding.objects.filter(id=bind(tenant, cluster, "shop", "payments").id), cluster.id


def _role(tenant: Tenant) -> ExternalRole:
    provider = IdentityProvider.objects.create(account=tenant.account, kind="ldap", name="directory")
    return ExternalRole.objects.create(account=tenant.account, provider=provider, name="operators")


def _mapping(tenant: Tenant) -> Any:
    role = _role(tenant)
    ExternalRoleGroup.objects.create(role=role, account=tenant.account, group=tenant.group)
    return ExternalRoleGroup.objects.filter(role=role)


def _external_grant(tenant: Tenant) -> Any:
    role = _role(tenant)
    ExternalGrant.objects.create(role=role, user_id=tenant.alice.id)
    return ExternalGrant.objects.filter(role=role)


def _own_role(tenant: Tenant, kind: str = "account") -> Role:
    return Role.objects.create(
        account=tenant.account, kind=kind, name=f"officer {uuid4()}", creator_kind="user", creator_id=tenant.alice.id
    )


def _account_role(tenant: Tenant) -> Any:
    membership = Membership.objects.get(user_id=tenant.alice.id, account=tenant.account)
    AccountRoleGrant.objects.create(membership=membership, user_id=tenant.alice.id, role=_own_role(tenant))
    return AccountRoleGrant.objects.filter(user_id=tenant.alice.id)


def _group_role(tenant: Tenant) -> Any:
    membership = GroupMembership.objects.get(user_id=tenant.alice.id, group=tenant.group)
    GroupRoleGrant.objects.create(membership=membership, user_id=tenant.alice.id, role=_own_role(tenant, "group"))
    return GroupRoleGrant.objects.filter(user_id=tenant.alice.id)


def _code(tenant: Tenant) -> Any:
    rows = OneTimeCode.objects.filter(user_id=tenant.alice.id)
    codes.make(CodePurpose.RESET_PASSWORD, User.objects.get(id=tenant.alice.id), clock.now(), email="a@example.org")
    return rows


def _recovery(tenant: Tenant) -> Any:
    RecoveryCode.objects.create(user_id=tenant.alice.id, digest=uuid4().bytes * 2)
    return RecoveryCode.objects.filter(user_id=tenant.alice.id)


def _subject(tenant: Tenant) -> Any:
    AppSubject.objects.create(app_id=tenant.app.id, issuer="https://issuer.example.org", subject=str(uuid4()))
    return AppSubject.objects.filter(app_id=tenant.app.id)


def _provider(tenant: Tenant) -> Any:
    IdentityProvider.objects.create(account=tenant.account, kind="ldap", name="directory")
    return IdentityProvider.objects.filter(account=tenant.account)


def _identity(tenant: Tenant) -> Any:
    provider = _provider(tenant).get()
    ExternalIdentity.objects.create(provider=provider, user_id=tenant.alice.id, subject="alice")
    return ExternalIdentity.objects.filter(provider=provider)


def _request(tenant: Tenant) -> ApprovalRequest:
    return ApprovalRequest.objects.create(
        account=tenant.account,
        requester_kind="user",
        requester_id=tenant.alice.id,
        requester_method="password",
        method="POST",
        operation="/crypto/v1/keys",
        body_sealed=b"sealed",
        digest=bytes(32),
        action="object.create",
        created_at=clock.now(),
        expires_at=clock.now(),
    )


def _vote(tenant: Tenant) -> Row:
    request = _request(tenant)
    Approval.objects.create(
        request=request, reviewer_kind="user", reviewer_id=tenant.alice.id, digest=bytes(32), created_at=clock.now()
    )
    return Approval.objects.filter(request=request), request.id


def _policies(tenant: Tenant, model: Any, **keys: Any) -> Any:
    model.objects.create(**keys)
    return model.objects.filter(account=tenant.account)


Row = tuple[Any, UUID]


def of(model: Any, row_id: UUID) -> Row:
    return model.objects.filter(id=row_id), row_id


ROWS: dict[str, Callable[[Tenant], Row]] = {
    "accounts_account": lambda t: (Account.objects.filter(id=t.account.id), t.account.id),
    "accounts_user": lambda t: (User.objects.filter(id=t.alice.id), t.alice.id),
    "accounts_membership": lambda t: (Membership.objects.filter(user_id=t.alice.id), t.alice.id),
    "accounts_groupmembership": lambda t: (GroupMembership.objects.filter(user_id=t.alice.id), t.alice.id),
    "accounts_group": lambda t: (Group.objects.filter(id=t.group.id), t.group.id),
    "accounts_app": lambda t: (App.objects.filter(id=t.app.id), t.app.id),
    "accounts_appgroup": lambda t: (AppGroup.objects.filter(app_id=t.app.id), t.app.id),
    "accounts_session": lambda t: of(Session, _session(t)),
    "accounts_appcredential": lambda t: (AppCredential.objects.filter(app_id=t.app.id), t.app.id),
    "accounts_totpdevice": lambda t: (_totp(t), t.alice.id),
    "accounts_fidocredential": lambda t: (_fido(t), t.alice.id),
    "accounts_externalrole": lambda t: (ExternalRole.objects.filter(id=_role(t).id), t.account.id),
    "accounts_externalrolegroup": lambda t: (_mapping(t), t.account.id),
    "accounts_externalgrant": lambda t: (_external_grant(t), t.alice.id),
    "accounts_role": lambda t: (Role.objects.filter(id=_own_role(t).id), t.account.id),
    "accounts_accountrolegrant": lambda t: (_account_role(t), t.alice.id),
    "accounts_grouprolegrant": lambda t: (_group_role(t), t.alice.id),
    "policies_accountpolicy": lambda t: (_policies(t, AccountPolicy, account=t.account), t.account.id),
    "policies_grouppolicy": lambda t: (_policies(t, GroupPolicy, group=t.group, account=t.account), t.account.id),
    "accounts_onetimecode": lambda t: (_code(t), t.alice.id),
    "accounts_recoverycode": lambda t: (_recovery(t), t.alice.id),
    "accounts_appsubject": lambda t: (_subject(t), t.app.id),
    "accounts_identityprovider": lambda t: (_provider(t), t.account.id),
    "accounts_externalidentity": lambda t: (_identity(t), t.alice.id),
    "policies_approvalrequest": lambda t: of(ApprovalRequest, _request(t).id),
    "policies_approval": _vote,
    "objects_securityobject": lambda t: of(SecurityObject, _object(t)),
    "accounts_kubernetescluster": lambda t: of(KubernetesCluster, new_cluster(t).id),
    "accounts_kubernetesbinding": _binding,
}


def test_the_sweep_below_covers_every_trigger() -> None:
    assert ROWS.keys() == triggers().keys()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_an_update_of_any_column_moves_the_subjects_version_and_no_other(row: Callable[[Tenant], Row]) -> None:
    tenant, stranger = new_tenant(), new_tenant()
    rows, subject = row(tenant)
    others = [stranger.account.id, stranger.alice.id, stranger.group.id, stranger.app.id]
    unmoved = read_versions(others)
    columns = [field.attname for field in rows.model._meta.concrete_fields if not field.primary_key]
    for column in columns:
        before = read_versions([subject])[subject]
        (value,) = rows.values_list(column, flat=True)
        assert rows.update(**{column: value}) == 1
        assert read_versions([subject])[subject] > before, column
    assert read_versions(others) == unmoved


def test_a_row_that_goes_from_one_subject_to_another_moves_both(tenant: Tenant) -> None:
    other = tenant.new_app(group=tenant.new_group())
    before = read_versions([tenant.app.id, other.id])
    AppGroup.objects.filter(app_id=tenant.app.id).update(app_id=other.id)
    after = read_versions([tenant.app.id, other.id])
    assert all(after[subject] > before[subject] for subject in before)


def test_a_deleted_subject_keeps_a_version_that_never_comes_back(tenant: Tenant) -> None:
    before = read_versions([tenant.app.id])[tenant.app.id]
    App.objects.filter(id=tenant.app.id).delete()
    assert read_versions([tenant.app.id])[tenant.app.id] > before


def test_a_change_that_is_rolled_back_moves_nothing(tenant: Tenant) -> None:
    from django.db import transaction

    before = read_versions([tenant.app.id])
    with transaction.atomic():
        App.objects.filter(id=tenant.app.id).update(enabled=False)
        assert read_versions([tenant.app.id]) != before
        transaction.set_rollback(True)
    assert read_versions([tenant.app.id]) == before
