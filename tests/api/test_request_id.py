"""A caller may name its call; the record and the answer then bear that name, through either edge."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from kms.audit.models import AuditRecord
from tests.kit.tenants import Tenant

NAMED = "7d3c5e8a-1f42-4b6d-9c0e-5a8f2b714d96"
NO_NAMES = [
    "",
    "7",
    "x" * 36,
    NAMED.replace("-", ""),
    f"{{{NAMED}}}",
    f"urn:uuid:{NAMED}",
    f"{NAMED}, {NAMED}",
    f"{NAMED}\t\xe9",
    str(UUID(int=0)),
]


def _called(edge: httpx.Client, tenant: Tenant, name: str) -> tuple[str, str]:
    """The name in the answer, and the one in the record."""
    answer = edge.post(
        "/crypto/v1/encrypt",
        json={"key": {"kid": str(tenant.key().id)}, "alg": "AES", "mode": "GCM", "plain": ""},
        auth=tenant.api_key(),
        headers=[(b"X-Request-Id", name.encode("latin-1"))],
    )
    assert answer.status_code == 200, answer.text
    entry = AuditRecord.objects.filter(account_id=tenant.account.id).latest("sequence")
    return answer.headers["X-Request-Id"], str(entry.request_id)


@pytest.fixture(params=["lean", "django"])
def edge(request: pytest.FixtureRequest, client: httpx.Client, django_client: httpx.Client) -> httpx.Client:
    return client if request.param == "lean" else django_client


@pytest.mark.parametrize("name", [NAMED, NAMED.upper()])
def test_a_callers_uuid_names_the_call(edge: httpx.Client, tenant: Tenant, name: str) -> None:
    assert _called(edge, tenant, name) == (NAMED, NAMED)


@pytest.mark.parametrize("name", NO_NAMES)
def test_anything_else_is_ignored(edge: httpx.Client, tenant: Tenant, name: str) -> None:
    shown, recorded = _called(edge, tenant, name)
    assert shown == recorded
    assert UUID(recorded).version == 4
    assert recorded not in name.lower()
