"""A database's superuser changes what decisions rest on: nothing is decided on it, and nothing makes it good again.

Swept over every table that is sealed and every column of it, so that a new one joins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection, models, transaction
from psycopg.types.json import Jsonb

from accounts import row_seals
from accounts.models import Account, App, AppGroup, Deployment, FactVersion, Membership
from accounts.row_seals import RowsForged, verified
from accounts.sealed_tables import SEALED
from kms.audit.models import AuditRecord
from kms.hsm.module import Kept
from kms.objects import keystore
from kms.operations.accounts import GetAccount
from kms.operations.executor import execute
from kms.operations.row_key import row_key
from policies.facts import read_versions
from tests.architecture.test_fact_versions import ROWS
from tests.audit.helpers import Root, unseen
from tests.kit.objects import encrypt
from tests.kit.tenants import Tenant, new_tenant


def another(field: models.Field[Any, Any], value: Any) -> Any:
    """A value that the column takes, and has not."""
    given: tuple[tuple[Any, Callable[[], Any]], ...] = (
        (models.ForeignKey, lambda: another(getattr(field, "target_field"), value)),  # noqa: B009 - what the stubs miss
        (models.BooleanField, lambda: not value),
        (models.UUIDField, uuid4),
        (models.BinaryField, lambda: bytes([bytes(value or b"\0")[0] ^ 1]) + bytes(value or b"")[1:]),
        (models.DateTimeField, lambda: "2031-02-03T04:05:06Z"),
        (models.GenericIPAddressField, lambda: "203.0.113.7"),
        (models.IntegerField, lambda: (value or 0) + 1),
        (models.JSONField, lambda: Jsonb({"changed": [1, True]})),
    )
    for kind, make in given:
        if isinstance(field, kind):
            return make()
    if hasattr(field, "base_field"):
        return [*(value or []), another(field.base_field, None)]
    return "x" if value != "x" else "y"


def columns(name: str) -> dict[str, models.Field[Any, Any]]:
    return {column: field for column, field in SEALED[name].fields.items() if not field.primary_key}


# -- one row at a time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_was_edited_in_any_column_is_not_used(name: str, root: Root, tenant: Tenant) -> None:
    rows, subject = ROWS[name](tenant)
    (row,) = rows.values("pk", *(field.attname for field in columns(name).values()))[:1]
    key = rows.model._meta.pk.column
    edited = 0
    with unseen(root):
        for column, field in columns(name).items():
            change = f"UPDATE {name} SET {column} = %s WHERE {key} = %s"  # noqa: S608 - a table of ours
            before = row[field.attname]
            try:
                root.execute(change, [another(field, before), row["pk"]])
            except psycopg.errors.IntegrityError:
                continue  # the table's own rules refuse it
            with pytest.raises(RowsForged):
                verified([subject])
            restored = Jsonb(before) if isinstance(field, models.JSONField) and before is not None else before
            root.execute(change, [restored, row["pk"]])
            verified([subject])
            edited += 1
    assert edited >= len(columns(name)) - 2


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_was_taken_away_or_put_in_is_missed_or_noticed(name: str, root: Root, tenant: Tenant) -> None:
    rows, subject = ROWS[name](tenant)
    table, key = SEALED[name], rows.model._meta.pk.column
    pk = rows.values_list("pk", flat=True)[0]
    with unseen(root):
        root.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {name} WHERE {key} = %s", [pk])  # noqa: S608 - a table of ours
        root.execute(f"DELETE FROM {name} WHERE {key} = %s", [pk])  # noqa: S608 - a table of ours
        with pytest.raises(RowsForged):
            verified([subject])
        root.execute(f"INSERT INTO {name} SELECT * FROM kept")  # noqa: S608 - a table of ours
        verified([subject])
        # For somebody who has no such row: the subject's column leads to a newcomer.
        stranger = uuid4()
        root.execute(f"UPDATE {name} SET {table.subjects[0]} = %s WHERE {key} = %s", [stranger, pk])  # noqa: S608 - a table of ours
        with pytest.raises(RowsForged):
            verified([stranger])
        moved = stranger if table.subjects[0] == key else pk
        root.execute(f"UPDATE {name} SET {table.subjects[0]} = %s WHERE {key} = %s", [subject, moved])  # noqa: S608 - a table of ours
        root.execute("DROP TABLE kept")
    verified([subject])


@pytest.mark.parametrize("name", ROWS)
def test_what_is_read_back_is_what_django_reads(name: str, tenant: Tenant) -> None:
    rows, subject = ROWS[name](tenant)
    plain = rows.order_by("pk")[0]
    found = {row.pk: row for row in verified([subject]).of(rows.model, subject)}[plain.pk]
    for field in plain._meta.concrete_fields:
        ours, djangos = getattr(found, field.attname), getattr(plain, field.attname)
        if isinstance(djangos, memoryview):
            djangos = bytes(djangos)
        assert ours == djangos, field.attname
        assert type(ours) is type(djangos), field.attname


# -- as callers see it ---------------------------------------------------------------------------------------------


def _promote(root: Root, tenant: Tenant) -> UUID:
    membership = Membership.objects.get(user_id=tenant.alice.id)
    root.execute("UPDATE accounts_membership SET role = 'auditor' WHERE id = %s", [membership.pk])
    return tenant.alice.id


def test_a_trigger_that_saw_it_takes_the_seal_off_at_once(root: Root, tenant: Tenant) -> None:
    execute(tenant.alice, GetAccount(tenant.account.id))
    subject = _promote(root, tenant)
    assert FactVersion.objects.get(subject=subject).seal is None
    with pytest.raises(RowsForged):
        execute(tenant.alice, GetAccount(tenant.account.id))
    entry = AuditRecord.objects.filter(actor_id=tenant.alice.id).latest("sequence")
    assert (entry.outcome, entry.reason) == ("failed", "rows-forged")


def test_calls_of_the_data_plane_stop_with_the_version(root: Root, tenant: Tenant) -> None:
    """What a process remembers is good while the version is; then it reads, and finds no seal."""
    key = tenant.key()
    encrypt(tenant, key)
    root.execute("UPDATE accounts_app SET rate_limit = 7 WHERE id = %s", [tenant.app.id])
    with pytest.raises(RowsForged):
        encrypt(tenant, key)


def test_an_object_that_was_edited_is_not_used_and_others_are(root: Root, tenant: Tenant) -> None:
    key, other = tenant.key(), tenant.key()
    with unseen(root):
        root.execute("UPDATE objects_securityobject SET description = 'mine' WHERE id = %s", [key.id])
    with pytest.raises(RowsForged):
        encrypt(tenant, key)
    encrypt(tenant, other)


def test_a_change_of_ours_makes_no_forged_row_good(root: Root, tenant: Tenant) -> None:
    """A subject whose rows were forged cannot be changed: the seal would cover the forgery."""
    with unseen(root):
        root.execute("UPDATE accounts_app SET role = 'admin' WHERE id = %s", [tenant.app.id])
    with pytest.raises(RowsForged):
        AppGroup.objects.filter(app_id=tenant.app.id).update(permissions=[])
    with pytest.raises(RowsForged), transaction.atomic():
        AppGroup.objects.filter(app_id=tenant.app.id).delete()
    assert AppGroup.objects.filter(app_id=tenant.app.id).exists()
    with pytest.raises(RowsForged):
        verified([tenant.app.id])


def test_the_number_of_our_transaction_written_there_by_somebody_else_is_no_seal(root: Root, tenant: Tenant) -> None:
    """So far it looks like a change of ours; when we commit, it was not ours before."""

    def ours() -> None:
        with transaction.atomic():
            App.objects.filter(id=new_tenant().app.id).update(description="so that there is a number")
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_xact_id()::text::bigint")
                (number,) = cursor.fetchone()
            with unseen(root):
                _promote(root, tenant)
            root.execute(forge, [number, tenant.alice.id])
            assert verified([tenant.alice.id]).of(Membership, tenant.alice.id)[0].role == "auditor"

    forge = "UPDATE accounts_factversion SET seal = NULL, moved_in = %s, version = version + 1 WHERE subject = %s"
    with pytest.raises(RowsForged):
        ours()
    with pytest.raises(RowsForged):
        verified([tenant.alice.id])


def test_a_seal_of_another_subject_or_version_is_none(root: Root, tenant: Tenant) -> None:
    other = new_tenant()
    for forged in (
        "SET seal = (SELECT seal FROM accounts_factversion WHERE subject = %(other)s)",
        "SET version = version + 1",
        "SET version = version - 1",
        "SET seal = '\\x'",
        "SET seal = substring(seal for 16)",
    ):
        subject = new_tenant().account.id
        change = f"UPDATE accounts_factversion {forged} WHERE subject = %(subject)s"
        root.execute(change, {"other": other.account.id, "subject": subject})
        with pytest.raises(RowsForged):
            verified([subject])


def test_a_subject_whose_version_is_gone_has_no_rows(root: Root, tenant: Tenant) -> None:
    root.execute("DELETE FROM accounts_factversion WHERE subject = %s", [tenant.alice.id])
    with pytest.raises(RowsForged):
        verified([tenant.alice.id])
    assert verified([uuid4()]).versions  # nobody is nobody


def test_a_column_that_came_later_leaves_older_seals_as_they_are(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release adds a column with a default; the rows that another release sealed are those with the default."""
    table = SEALED["accounts_app"]
    older = replace(table)
    older.__dict__["fields"] = {name: field for name, field in table.fields.items() if name != "rate_limit"}
    monkeypatch.setitem(SEALED, "accounts_app", older)
    tenant = new_tenant()
    monkeypatch.setitem(SEALED, "accounts_app", replace(table, later=(("rate_limit", None),)))
    verified([tenant.app.id])
    monkeypatch.setitem(SEALED, "accounts_app", table)
    with pytest.raises(RowsForged):
        verified([tenant.app.id])
    monkeypatch.setitem(SEALED, "accounts_app", replace(table, later=(("rate_limit", None),)))
    App.objects.filter(id=tenant.app.id).update(rate_limit=5)
    verified([tenant.app.id])


def test_what_many_share_is_read_once_at_a_version_and_again_at_the_next(tenant: Tenant, root: Root) -> None:
    """An account's roles and policies are not read for each call; what was changed unseen is not read either."""
    account = tenant.account.id
    at = read_versions([account])
    first = verified([account], at=at).first(Account, account)
    with unseen(root):
        root.execute("UPDATE accounts_account SET second_factor = 'x' WHERE id = %s", [account])
    again = verified([account], at=at).first(Account, account)
    assert first is not None
    assert again is not None
    assert again.second_factor == first.second_factor
    with pytest.raises(RowsForged):
        verified([account])
    root.execute("UPDATE accounts_account SET enabled = true WHERE id = %s", [account])
    with pytest.raises(RowsForged):
        verified([account], at=read_versions([account]))


def test_what_a_transaction_has_changed_is_not_remembered(tenant: Tenant) -> None:
    account = tenant.account.id
    with transaction.atomic():
        Account.objects.filter(id=account).update(organization="never")
        at = read_versions([account])
        assert verified([account], at=at).first(Account, account).organization == "never"  # type: ignore[union-attr]  # it is there
        transaction.set_rollback(True)
    Account.objects.filter(id=account).update(organization="in the end")
    assert read_versions([account]) == at  # the same number, of another change
    assert verified([account], at=at).first(Account, account).organization == "in the end"  # type: ignore[union-attr]  # it is there


# -- the key -------------------------------------------------------------------------------------------------------


def test_no_second_key_is_made_where_the_token_remembers_one(root: Root) -> None:
    """Without this, whoever takes the key away has everything sealed anew as it is then."""
    kept = bytes(Deployment.objects.get().row_key_sealed or b"")
    root.execute("UPDATE accounts_deployment SET row_key_sealed = NULL")
    try:
        with pytest.raises(RowsForged):
            row_key()
        assert Deployment.objects.get().row_key_sealed is None
    finally:
        root.execute("UPDATE accounts_deployment SET row_key_sealed = %s", [kept])
    assert row_key().fingerprint in keystore.module().recall(Kept.ROW_KEY)


def test_a_key_that_the_token_does_not_remember_is_not_taken() -> None:
    remembered = keystore.module().recall(Kept.ROW_KEY)[0]
    keystore.module().keep(bytes(32), Kept.ROW_KEY)
    try:
        with pytest.raises(RowsForged):
            row_key()
    finally:
        keystore.module().keep(remembered, Kept.ROW_KEY)
    assert row_key().fingerprint == row_seals.key().fingerprint


def test_what_is_rolled_back_leaves_nothing_to_seal(tenant: Tenant) -> None:
    with transaction.atomic():
        App.objects.filter(id=tenant.app.id).update(enabled=False)
        transaction.set_rollback(True)
    verified([tenant.app.id])
    assert App.objects.get(id=tenant.app.id).enabled
