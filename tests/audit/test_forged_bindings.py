"""Bindings that were changed past the server let no pod in, whether a row was edited or taken away."""

from __future__ import annotations

import pytest

from accounts.kubernetes import KubernetesCredential
from accounts.principal import ANONYMOUS
from accounts.row_seals import RowsForged
from kms.audit.models import AuditRecord
from kms.operations.executor import execute
from kms.operations.sessions import LogIn
from tests.audit.helpers import Root, unseen
from tests.kit.clusters import bind, new_cluster, pod_issuer
from tests.kit.tenants import Tenant


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE accounts_kubernetescluster SET issuer = 'x' WHERE id = %s",
        "UPDATE accounts_kubernetesbinding SET namespace = 'other' WHERE cluster_id = %s",
        "DELETE FROM accounts_kubernetesbinding WHERE cluster_id = %s AND service_account <> '*'",
    ],
)
def test_a_pod_comes_in_by_no_forged_row(change: str, root: Root, tenant: Tenant) -> None:
    """Without its own binding a pod would come in as another app, by the one of any service account."""
    cluster = new_cluster(tenant)
    bind(tenant, cluster, "shop", "payments")
    bind(tenant, cluster, "shop", "*", tenant.new_app().id)
    with unseen(root):
        root.execute(change, [cluster.id])
    with pytest.raises(RowsForged):
        execute(ANONYMOUS, LogIn(KubernetesCredential(pod_issuer().token(), cluster.id)))
    entry = AuditRecord.objects.get(action="session.create", details__email=str(cluster.id))
    assert (entry.outcome, entry.reason) == ("failed", "rows-forged")
