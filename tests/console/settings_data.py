"""What the settings show in the world of the sweeps: a provider, a role of its groups, receivers, policies."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from accounts.clock import clock
from kms.audit.models import LogSink
from kms.audit.sealer import Sealer
from kms.objects import keystore
from kms.objects.cryptographic_policy import CryptographicPolicy, KindRule
from kms.operations.accounts import UpdateAccount
from kms.operations.demanding import PolicyChange
from kms.operations.executor import execute
from kms.operations.external_roles import CreateExternalRole, Given
from kms.operations.object_policies import CryptographicChange
from kms.operations.providers import CreateProvider
from kms.operations.record_key import record_signer
from kms.secret import SecretBytes
from tests.kit.tenants import Tenant

_PLACE = {"tls": {"mode": "disabled"}, "use_fqdn": False, "format": "json"}


def settings_of(tenant: Tenant) -> dict[str, uuid.UUID]:
    provider = execute(
        tenant.alice,
        CreateProvider(
            "oidc",
            "Example login",
            {"issuer": "https://login.example.org", "client_id": "keystead", "groups_claim": "groups"},
            {"client_secret": SecretBytes(b"a secret of no use")},
        ),
    )
    role = execute(
        tenant.alice,
        CreateExternalRole("key-operators", provider.id, "oidc", {tenant.group.id: Given("auditor")}, "member"),
    )
    _policy(tenant)
    Sealer(keystore.deployment_id(), record_signer).turn(clock.now())
    return {"provider_id": provider.id, "external_role_id": role.row.id, "sink_id": _receivers(tenant)}


def _policy(tenant: Tenant) -> None:
    """Short RSA keys and the legacy ciphers are not allowed; everything else is."""
    kinds = {kind: KindRule() for kind in ("AES", "EC", "HMAC", "SECRET", "OPAQUE", "CERTIFICATE", "MLDSA", "MLKEM")}
    allowed = CryptographicPolicy({**kinds, "RSA": KindRule(least=2048)})
    change = PolicyChange(cryptographic=CryptographicChange(allowed))
    execute(tenant.alice, UpdateAccount(tenant.account.id, policy=change))


def _receivers(tenant: Tenant) -> uuid.UUID:
    """One that has everything, one that does not answer. They are off for every shipper: nothing is called."""
    now = clock.now()
    good = _sink(tenant, "syslog", {"host": "127.0.0.1", "port": 6514, "facility": 1}, delivered_at=now)
    _sink(
        tenant,
        "splunk",
        {"host": "127.0.0.1", "port": 8088, "index": "main"},
        delivered_at=now - timedelta(hours=5),
        attempts=9,
        not_before=now + timedelta(days=1),
        last_error="the receiver does not answer",
        lagging_since=now - timedelta(hours=4),
    )
    return good.id


def _sink(tenant: Tenant, kind: str, config: dict[str, Any], **fields: Any) -> LogSink:
    return LogSink.objects.create(account=tenant.account, kind=kind, config={**_PLACE, **config}, position=0, **fields)
