"""Statistics are the record, counted: what was done is there, what was refused is not, and nobody sees a stranger's."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from accounts.clock import clock
from accounts.models import Account
from accounts.principal import Principal
from kms.crypto.algorithm import CipherParameters
from kms.crypto.options import CipherOptions, KeyOptions
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Decrypt, Encrypt
from kms.operations.errors import AccessDenied, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.statistics import MAX_POINTS, Point, ReadStatistics, ReadUsage, Span, Subject, Usage
from policies.permissions import Permission
from tests.kit.tenants import Tenant, new_tenant

CBC = CipherParameters(mode="CBC")


def hour(points: int = 6) -> Span:
    now = clock.now()
    return Span(now - timedelta(minutes=59), now + timedelta(minutes=1), points)


def encrypt(app: Principal, key: ObjectRef, times: int) -> None:
    for _ in range(times):
        execute(app, Encrypt(key, "AES", CBC, b"sixteen bytes ok"))


def read(who: Principal, subject: Subject, one: UUID | None = None, **fields: int) -> list[Point]:
    found: list[Point] = execute(who, ReadStatistics(subject, hour(), one, **fields))
    return found


def totals(points: list[Point]) -> dict[UUID, int]:
    counted: dict[UUID, int] = {}
    for point in points:
        for subject, count in point.counts.items():
            counted[subject] = counted.get(subject, 0) + count
    return counted


@pytest.fixture
def busy(tenant: Tenant) -> tuple[Tenant, Principal, ObjectRef]:
    """An app that encrypted three times, beside one that did once."""
    key, quiet = tenant.key(), tenant.new_app()
    encrypt(tenant.app, key, 3)
    encrypt(quiet, key, 1)
    return tenant, quiet, key


def test_calls_are_counted_by_app_group_and_object(busy: tuple[Tenant, Principal, ObjectRef]) -> None:
    tenant, quiet, key = busy
    assert totals(read(tenant.alice, Subject.APP)) == {tenant.app.id: 3, quiet.id: 1}
    assert totals(read(tenant.alice, Subject.APP, quiet.id)) == {quiet.id: 1}
    assert totals(read(tenant.alice, Subject.GROUP, tenant.group.id)) == {tenant.group.id: 4}
    assert key.id is not None
    assert totals(read(tenant.alice, Subject.OBJECT, key.id)) == {key.id: 4}


def test_the_busiest_come_first_and_no_more_than_were_asked_for(busy: tuple[Tenant, Principal, ObjectRef]) -> None:
    tenant, _, _ = busy
    assert totals(read(tenant.alice, Subject.APP, top=1)) == {tenant.app.id: 3}


def test_points_cover_the_range_in_equal_parts_and_the_last_holds_what_just_happened(
    busy: tuple[Tenant, Principal, ObjectRef],
) -> None:
    tenant, _, _ = busy
    points = read(tenant.alice, Subject.APP)
    assert [later.begins - sooner.begins for sooner, later in pairwise(points)] == [timedelta(minutes=10)] * 5
    assert [point.total for point in points] == [0, 0, 0, 0, 0, 4]


def test_what_was_refused_is_not_counted(busy: tuple[Tenant, Principal, ObjectRef]) -> None:
    tenant, _, key = busy
    app = tenant.new_app([Permission.OBJECT_ENCRYPT])
    with pytest.raises(AccessDenied):
        execute(app, Decrypt(key, "AES", CipherParameters(mode="CBC", iv=bytes(16)), b"sixteen bytes ok"))
    assert app.id not in totals(read(tenant.alice, Subject.APP))


def test_the_range_ends_before_its_end(busy: tuple[Tenant, Principal, ObjectRef]) -> None:
    tenant, _, _ = busy
    past = Span(clock.now() - timedelta(hours=3), clock.now() - timedelta(hours=2))
    assert totals(execute(tenant.alice, ReadStatistics(Subject.APP, past))) == {}


def test_nobody_sees_what_strangers_do(busy: tuple[Tenant, Principal, ObjectRef]) -> None:
    tenant, quiet, key = busy
    stranger = new_tenant().alice
    for subject in Subject:
        assert totals(read(stranger, subject)) == {}
    assert key.id is not None
    for subject, one in ((Subject.APP, quiet.id), (Subject.GROUP, tenant.group.id), (Subject.OBJECT, key.id)):
        with pytest.raises(NotFound):
            read(stranger, subject, one)
    with pytest.raises(NotFound):
        execute(stranger, ReadUsage(tenant.account.id, hour()))


def test_a_member_sees_only_the_apps_and_groups_that_are_his(busy: tuple[Tenant, Principal, ObjectRef]) -> None:
    tenant, _, _ = busy
    member = tenant.member("member")
    for subject in (Subject.APP, Subject.GROUP):
        assert totals(read(member, subject)) == {}


def test_an_app_reads_its_own_statistics_and_no_other_apps(busy: tuple[Tenant, Principal, ObjectRef]) -> None:
    tenant, quiet, _ = busy
    assert totals(read(quiet, Subject.APP, quiet.id)) == {quiet.id: 1}
    with pytest.raises(NotFound):
        read(quiet, Subject.APP, tenant.app.id)


def test_an_accounts_usage_is_the_sum_and_is_for_administrators_and_auditors(
    busy: tuple[Tenant, Principal, ObjectRef],
) -> None:
    tenant, quiet, key = busy
    usage: Usage = execute(tenant.member("auditor"), ReadUsage(tenant.account.id, hour(), detailed=True))
    assert usage.by_action["object.encrypt"] == 4
    assert usage.objects == 1
    assert usage.top_apps == {tenant.app.id: 3, quiet.id: 1}
    assert key.id in usage.top_objects
    with pytest.raises(AccessDenied):
        execute(tenant.member("member"), ReadUsage(tenant.account.id, hour()))


def test_tokenising_is_counted_apart(tenant: Tenant) -> None:
    digits = {"radix": 10, "min_length": 6, "max_length": 19, "preserve": []}
    key = tenant.key(options=KeyOptions(cipher=CipherOptions(fpe=digits)))
    for mode in ("FF1", None):
        execute(tenant.app, Encrypt(key, "AES", CipherParameters(mode=mode), b"4012888888881881"))
    encrypt(tenant.app, tenant.key(), 2)
    usage: Usage = execute(tenant.alice, ReadUsage(tenant.account.id, hour()))
    assert usage.tokenising == {"object.encrypt": 2}
    assert usage.by_action["object.encrypt"] == 2


@pytest.mark.parametrize(("points", "minutes"), [(0, 60), (MAX_POINTS + 1, 60), (6, 0), (6, -1), (6, 60 * 24 * 367)])
def test_a_range_that_makes_no_sense_is_refused(tenant: Tenant, points: int, minutes: int) -> None:
    now = clock.now()
    with pytest.raises(InvalidRequest):
        execute(tenant.alice, ReadStatistics(Subject.APP, Span(now - timedelta(minutes=minutes), now, points)))


def test_a_new_account_has_used_nothing(tenant: Tenant) -> None:
    assert Account.objects.filter(id=tenant.account.id).exists()
    usage: Usage = execute(tenant.alice, ReadUsage(tenant.account.id, hour()))
    assert usage.total == 0
