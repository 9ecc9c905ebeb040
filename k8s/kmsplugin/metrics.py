"""What is counted. Each plugin has a registry of its own, so that several may live in one process."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "keystead_kms_calls",
            "Calls by how they ended",
            ["method", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "keystead_kms_call_seconds", "How long they took", ["method"], buckets=_SECONDS, registry=self.registry
        )
        self._healthy_at = Gauge(
            "keystead_kms_last_healthy_timestamp_seconds", "When the key was last seen to work", registry=self.registry
        )
        self._key = Gauge("keystead_kms_key_info", "The key for new seeds", ["key_id"], registry=self.registry)

    def ended(self, method: str, code: str, seconds: float) -> None:
        self._calls.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)

    def healthy(self, key_id: str) -> None:
        self._healthy_at.set(time.time())
        self._key.clear()
        self._key.labels(key_id).set(1)
