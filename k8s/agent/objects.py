"""Security objects as the agent asks for them: what there is of one first, its value only when it is a new one.

It must not know files, formats or when it is asked.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from k8s.agent.values import ASYMMETRIC, Value
from k8s.client import Client, KeysteadError
from k8s.delivery import Source

_INFO, _EXPORT = "/crypto/v1/keys/info", "/crypto/v1/keys/export"
# The links of what was deleted lead on, and its number stays taken.
_INFO_OF_ANY = f"{_INFO}?show_deleted=true"
_TRADITIONAL = frozenset({"RSA", "EC"})  # what the server writes as PKCS#1 and SEC 1 unless it is asked for PKCS#8
MAX_VERSIONS = 1000


class NotDelivered(KeysteadError):
    """The server would give it away, or might; we do not."""


class _Links(msgspec.Struct, frozen=True):
    replaced: UUID | None = None


class Found(msgspec.Struct, frozen=True):
    """What the server says of an object, without its value."""

    kid: UUID
    obj_type: str
    enabled: bool = True
    state: str = ""
    public_only: bool = False
    links: _Links | None = None

    @property
    def identity(self) -> tuple[UUID, bool]:
        """Of an object the value is always the same; but of a pair the private half may be taken away."""
        return self.kid, self.public_only


class _Exported(msgspec.Struct, frozen=True):
    value: bytes

    def __repr__(self) -> str:
        return "_Exported(…)"


class Objects:
    def __init__(self, client: Client) -> None:
        self._client = client
        # What an object replaced when it was made; it stays so.
        self._replaced: dict[UUID, UUID | None] = {}

    def log_in(self) -> None:
        self._client.log_in()

    def found(self, source: Source) -> Found:
        """KeysteadError where the object is not there, or in no state to be delivered."""
        found = self._info({"kid": source.kid} if source.kid else {"name": source.name})
        if source.version:
            found = self._version(found, source.version)
        _check_state(found, chosen=bool(source.version or source.kid))
        return found

    def value(self, found: Found) -> Value:
        """An export, decided and recorded as one by the server."""
        if found.obj_type in _TRADITIONAL and not found.public_only:
            exported = self._client.get(f"/crypto/v1/keys/{found.kid}/export?format=pkcs8", _Exported)
        else:
            exported = self._client.call(_EXPORT, {"kid": found.kid}, _Exported)
        armoured = found.obj_type in ASYMMETRIC
        return Value(found.obj_type, exported.value, public=armoured and found.public_only)

    def _info(self, descriptor: dict[str, Any], path: str = _INFO) -> Found:
        return self._client.call(path, descriptor, Found)

    def _version(self, newest: Found, number: int) -> Found:
        """Back along the rotations to the oldest, which is 1."""
        lineage = [newest.kid]
        self._remember(newest)
        while (before := self._before(lineage[-1])) is not None:
            if before in lineage or len(lineage) == MAX_VERSIONS:
                raise NotDelivered(f"its versions are more than {MAX_VERSIONS}, or go in a circle")
            lineage.append(before)
        if number > len(lineage):
            raise NotDelivered(f"there is no version {number}: the newest is {len(lineage)}")
        wanted = lineage[-number]
        return newest if wanted == newest.kid else self._info({"kid": wanted})

    def _before(self, kid: UUID) -> UUID | None:
        if kid not in self._replaced:
            self._remember(self._info({"kid": kid}, _INFO_OF_ANY))
        return self._replaced[kid]

    def _remember(self, found: Found) -> None:
        self._replaced[found.kid] = found.links.replaced if found.links else None


def _check_state(found: Found, *, chosen: bool) -> None:
    """SP 800-57 §7.3: what is deactivated serves what was made with it. Nobody is given it for want of a newer one."""
    if not found.enabled:
        raise NotDelivered("the object is disabled")
    if found.state == "Active" or (found.state == "Deactivated" and chosen):
        return
    hint = "; rotate it, or ask for it by id or version" if found.state == "Deactivated" else ""
    raise NotDelivered(f"the object is {found.state or 'of an unknown state'}{hint}")
