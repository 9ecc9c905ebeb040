"""Secrets of a row of settings, by name: sealed together by the token, bound to the row and to how often they changed.

What each is for is its row's to know. It must not know the wire, nor where secrets are sent.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from kms.objects import keystore
from kms.objects.binding import secret_binding
from kms.secret import SecretBytes

Secrets = Mapping[str, SecretBytes]


class HasSecrets(Protocol):
    """A row with the two columns in which its secrets are kept."""

    id: UUID
    secret_sealed: bytes | memoryview | None
    secret_version: int


@dataclass(frozen=True, slots=True)
class NamedSecrets:
    """Of the rows of one kind, whose name is part of what secrets are bound to."""

    kind: str

    def opened(self, row: HasSecrets) -> dict[str, SecretBytes]:
        """For the moment in which they are used."""
        if row.secret_sealed is None:
            return {}
        text = keystore.unseal(bytes(row.secret_sealed), binding=self._binding(row)).reveal()
        return {name: SecretBytes(base64.b64decode(value)) for name, value in json.loads(text).items()}

    def seal(self, row: HasSecrets, secrets: Secrets) -> None:
        """All that the row has from now on. What was sealed before does not open any more; the caller saves the row."""
        row.secret_version += 1
        if not secrets:
            row.secret_sealed = None
            return
        text = json.dumps({name: base64.b64encode(secrets[name].reveal()).decode() for name in sorted(secrets)})
        row.secret_sealed = keystore.seal(SecretBytes(text.encode()), binding=self._binding(row))

    def _binding(self, row: HasSecrets) -> bytes:
        return secret_binding(keystore.deployment_id(), self.kind, row.id, row.secret_version)
