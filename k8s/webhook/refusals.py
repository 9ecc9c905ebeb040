"""Why a pod is not admitted: one sentence, which `kubectl` shows and a ReplicaSet keeps among its events."""

from __future__ import annotations

from http import HTTPStatus


class Refused(Exception):
    """``status``: 422 for what the author has to change, 503 for what may go well another time."""

    def __init__(self, sentence: str, status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY) -> None:
        super().__init__(sentence)
        self.status = status
