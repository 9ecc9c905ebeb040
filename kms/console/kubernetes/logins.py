"""Logins of pods, from the record: who was refused by a cluster, who came in by a binding. None: not to be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kms.api.inside import Refused
from kms.console.audit.listing import shown
from kms.console.visit import Visit

_LATEST = 6
# Among how many of an app's own logins those of one binding are looked for.
_LOOKED_THROUGH = 100


def refused_by(visit: Visit, cluster_id: str) -> list[dict[str, Any]] | None:
    """Whose token the cluster has signed, and got them nowhere. A login that succeeds is recorded as about the app."""
    return _read(visit, {"object_id": cluster_id, "severity": "WARNING,ERROR,CRITICAL", "size": _LATEST})


def by_binding(visit: Visit, binding: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    found = _read(visit, {"object_id": binding["app_id"], "size": _LOOKED_THROUGH})
    if found is None:
        return None
    told = {"cluster": binding["cluster_id"], "namespace": binding["namespace"]}
    if binding["service_account"] != "*":
        told["service_account"] = binding["service_account"]
    return [entry for entry in found if told.items() <= entry["details"].items()][:_LATEST]


def _read(visit: Visit, wanted: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    try:
        found = visit.call("GetAllLogs", query={**wanted, "action_type": "AUTH"})
    except Refused:
        return None
    return shown(visit, found["hits"])
