"""The one way a step fails."""

from __future__ import annotations


class ProvisionError(Exception):
    """A step could not be done. Printed without a traceback: what happened, and what the operator does about it."""

    def __init__(self, what: str, what_to_do: str) -> None:
        super().__init__(what, what_to_do)  # both, so that it survives the way back from another process
        self.what = what
        self.what_to_do = what_to_do
