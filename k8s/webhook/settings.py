"""What the operator says of every pod: which agent, which server, which audience. Nothing of one pod's is here."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from k8s.delivery import Server

ALWAYS_EXEMPT = frozenset({"kube-system", "kube-public", "kube-node-lease"})
NATIVE_SIDECARS = (1, 29)


class InjectionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``version`` is the cluster's. ``unknown_user`` is the agent's where nobody tells the application's."""

    image: str
    namespace: str
    server: Server
    audience: str
    cluster: UUID | None = None
    token_seconds: int = 600
    pull_policy: str = ""
    resources: dict[str, Any] = {}
    volume_size: str = "16Mi"
    log_level: str = "INFO"
    unknown_user: int = 65532
    version: tuple[int, int] = NATIVE_SIDECARS

    @property
    def exempt(self) -> frozenset[str]:
        return ALWAYS_EXEMPT | {self.namespace}

    @property
    def native_sidecars(self) -> bool:
        return self.version >= NATIVE_SIDECARS
