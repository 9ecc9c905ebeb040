"""What is counted. Each webhook has a registry of its own, so that several may live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reviews = Counter(
            "keystead_webhook_reviews",
            "Reviews by how they ended: injected, unchanged, exempt, refused, malformed, failed",
            ["verdict"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "keystead_webhook_review_seconds", "How long they took", buckets=_SECONDS, registry=self.registry
        )

    def reviewed(self, verdict: str, seconds: float) -> None:
        self._reviews.labels(verdict).inc()
        self._seconds.observe(seconds)
