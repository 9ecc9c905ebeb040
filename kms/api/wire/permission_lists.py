"""The catalogue of permissions on the wire. The vendor has no such route: it is ours (docs/divergences.md)."""

from __future__ import annotations

from collections.abc import Mapping

from kms.api.wire.base import Endpoint, Response
from kms.api.wire.flags import ACCOUNT_FLAGS, GROUP_FLAGS
from kms.api.wire.quorum_policies import PROTECTABLE
from kms.operations.permission_lists import ListPermissions
from policies.permissions import Permission, PermissionSpec, with_implied

_FLAG_OF = {permission: flag for flag, permission in {**ACCOUNT_FLAGS, **GROUP_FLAGS}.items()}
_GUARDABLE = frozenset(PROTECTABLE.values())


class WirePermission(Response, omit_defaults=False):
    """``flag`` is the word in a role; without one no role of the account's own can be given it by itself.

    ``implies`` has all that comes along, by name. ``guardable`` ones a group's quorum can name one by one.
    """

    name: str
    flag: str | None
    kind: str
    sentence: str
    implies: list[str]
    sensitive: bool
    guardable: bool


def _permissions(found: Mapping[Permission, PermissionSpec]) -> list[WirePermission]:
    return [
        WirePermission(
            name=name.value,
            flag=_FLAG_OF.get(name),
            kind=spec.scope.value,
            sentence=spec.sentence,
            implies=sorted(with_implied(frozenset([name])) - {name}),
            sensitive=spec.sensitive,
            guardable=name in _GUARDABLE,
        )
        for name, spec in found.items()
    ]


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ListPermissions", "GET", "/sys/v1/permissions", lambda _call: ListPermissions(), _permissions),
)
