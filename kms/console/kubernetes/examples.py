"""What is copied to where pods are described: annotations, and the command that makes a token to try. Pure.

The words are those of k8s/webhook and of kubectl; nothing here is translated.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

ANY = "*"


def annotations_for(cluster: str, binding: Mapping[str, Any] | None, bindings: Sequence[Mapping[str, Any]]) -> str:
    """Of a pod template, for the pods of ``binding``. The app is named where several are bound to their account."""
    said = {
        "secret.db": "payments/db-password",
        "env.db": "DB_PASSWORD",
        "path.db": "/keystead/secrets/db",
        "cluster": cluster,
    }
    if binding is not None and len([each for each in bindings if _alike(each, binding)]) > 1:
        said["app"] = str(binding["app_id"])
    lines = ["metadata:", "  annotations:", *(f"    keystead.io/{name}: {value}" for name, value in said.items())]
    if binding is not None and binding["service_account"] != ANY:
        lines += ["spec:", f"  serviceAccountName: {binding['service_account']}"]
    return "\n".join(lines)


def exemplary(bindings: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The one that an example is best made of: it names a service account, if any does."""
    exact = [each for each in bindings if each["service_account"] != ANY]
    return next(iter([*exact, *bindings]), None)


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("namespace", "service_account"))


def token_command(audience: str, binding: Mapping[str, Any] | None) -> str:
    """Bound to a pod, as the tokens of projected volumes are."""
    namespace = "NAMESPACE" if binding is None else binding["namespace"]
    account = "SERVICE_ACCOUNT" if binding is None or binding["service_account"] == ANY else binding["service_account"]
    return (
        f"kubectl create token {account} --namespace {namespace} --audience {shlex.quote(audience)} "
        "--bound-object-kind Pod --bound-object-name POD"
    )
