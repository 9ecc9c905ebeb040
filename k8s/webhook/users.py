"""As whom the agent runs: as the containers that read what it writes, so that files need no more than mode 0440."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from k8s.webhook.annotations import Wishes
from k8s.webhook.images.image import Image
from k8s.webhook.objects import Container, Pod

_LARGEST_ID = 2**31 - 1


@dataclass(frozen=True)
class AgentUser:
    """``shared``: the readers run as it too. Otherwise files must be readable by everybody in the pod."""

    uid: int
    gid: int
    shared: bool

    @property
    def file_mode(self) -> int:
        return 0o440 if self.shared else 0o444

    def security_context(self) -> dict[str, Any]:
        """What Pod Security's level `restricted` asks for; an application that is root itself has none of that."""
        return {
            "runAsUser": self.uid,
            "runAsGroup": self.gid,
            "runAsNonRoot": self.uid != 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }


def agent_user(
    pod: Pod, wishes: Wishes, receivers: Iterable[Container], images: Mapping[str, Image], unknown: int
) -> AgentUser:
    if wishes.owner is not None:
        uid, gid = wishes.owner
        return AgentUser(uid, uid if gid is None else gid, True)
    users = {_user(pod, container, images.get(container.name)) for container in receivers}
    if len(users) == 1 and (user := users.pop()) is not None:
        return AgentUser(*user, True)
    return AgentUser(unknown, unknown, False)


def user_in_spec(pod: Pod, container: Container) -> int | None:
    return _first("run_as_user", pod, container)


def _user(pod: Pod, container: Container, image: Image | None) -> tuple[int, int] | None:
    """None: nobody says, or only by a name that is in the image's /etc/passwd."""
    uid, gid = user_in_spec(pod, container), _first("run_as_group", pod, container)
    if uid is None:
        uid, of_image = _numbers(image.user) if image is not None else (None, None)
        gid = of_image if gid is None else gid
    # The group is the one of /etc/passwd, else 0: with another group the files are still the user's own.
    return None if uid is None else (uid, 0 if gid is None else gid)


def _first(name: str, pod: Pod, container: Container) -> int | None:
    for context in (container.security_context, pod.spec.security_context):
        found: int | None = None if context is None else getattr(context, name)
        if found is not None:
            return found
    return None


def _numbers(user: str) -> tuple[int | None, int | None]:
    """An image's USER: `UID`, `UID:GID`, a name, or nothing, which is root."""
    first, _, second = user.partition(":")
    return _number(first or "0") if first != "root" else 0, _number(second)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= _LARGEST_ID else None
