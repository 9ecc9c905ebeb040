"""From one pod to its patch: the steps put together, with the one question that is asked of anybody: about images."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from k8s.webhook.annotations import Wishes, wishes
from k8s.webhook.images.image import Image, ImageUnknown
from k8s.webhook.objects import Container, Pod
from k8s.webhook.patch import literal_delivery, patch
from k8s.webhook.plan import Plan, plan
from k8s.webhook.refusals import Refused
from k8s.webhook.reinvocation import check_nothing_preset, check_ours
from k8s.webhook.settings import InjectionSettings
from k8s.webhook.users import agent_user, user_in_spec
from k8s.webhook.vocabulary import INJECTED, PREFIX, STATUS

# Of an image's reference, on a CPU's architecture ("" where the pod does not say). Raises ImageUnknown.
Lookup = Callable[[str, str], Awaitable[Image]]

_MIRROR = "kubernetes.io/config.mirror"
_ARCHITECTURE = "kubernetes.io/arch"
_LONGEST_VARIABLE = 120 * 1024  # Linux takes 128 KiB for one, its name included


@dataclass(frozen=True)
class Injection:
    """``operations`` empty: the pod is as it should be."""

    operations: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()


async def inject(pod: Pod, found: Mapping[str, str], settings: InjectionSettings, lookup: Lookup) -> Injection:
    """``found``: the pod's annotations of ours, without the prefix."""
    status = found.get(STATUS)
    wished = wishes({name: value for name, value in found.items() if name != STATUS})
    _check_pod(pod, wished, settings)
    if status == INJECTED:
        check_ours(pod, wished, settings)
        return Injection()
    if status is not None:
        raise Refused(f"{PREFIX}status is the webhook's to set: take it out")
    check_nothing_preset(pod)
    planned = plan(pod, wished, settings, 0o440)
    images, warnings = await _images(pod, wished, planned, lookup)
    receivers = [each for each in pod.all_containers if each.name in planned.receivers]
    user = agent_user(pod, wished, receivers, images, settings.unknown_user)
    planned = plan(pod, wished, settings, user.file_mode)
    _check_size(planned)
    operations = patch(pod, wished, planned, images, user, settings)
    return Injection(tuple(operations), (*planned.warnings, *warnings))


def _check_pod(pod: Pod, wished: Wishes, settings: InjectionSettings) -> None:
    selector = pod.spec.node_selector or {}
    if "windows" in (pod.spec.os.name if pod.spec.os else "", selector.get("kubernetes.io/os")):
        raise Refused("secrets are delivered to Linux pods only, and this one is for Windows")
    if _MIRROR in pod.annotations:
        raise Refused("a static pod is the kubelet's own and can't be given secrets: it runs before anybody is asked")
    names = [each.name for each in pod.all_containers]
    if not all(names) or len(set(names)) != len(names):
        raise Refused("every container of a pod needs a name of its own")
    if wished.refresh and not settings.native_sidecars and pod.spec.restart_policy not in ("", "Always"):
        version = ".".join(map(str, settings.version))
        raise Refused(
            f"{PREFIX}refresh would keep this pod running: its restartPolicy is {pod.spec.restart_policy}, and "
            f"Kubernetes {version} has no native sidecars (1.29 has): leave {PREFIX}refresh out"
        )


def _check_size(planned: Plan) -> None:
    length = len(literal_delivery(planned.delivery).encode(errors="replace"))
    if length > _LONGEST_VARIABLE:
        raise Refused(f"the annotations come to {length} bytes for the agent; it can be told {_LONGEST_VARIABLE}")


async def _images(pod: Pod, wished: Wishes, planned: Plan, lookup: Lookup) -> tuple[dict[str, Image], list[str]]:
    """Of the containers whose entrypoint or user only their image tells."""
    asked = [each for each in pod.all_containers if _asks(pod, wished, planned, each)]
    architecture = (pod.spec.node_selector or {}).get(_ARCHITECTURE, "")
    answers = await asyncio.gather(*(lookup(each.image, architecture) for each in asked), return_exceptions=True)
    images: dict[str, Image] = {}
    warnings: list[str] = []
    for container, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Image):
            images[container.name] = answer
            warnings += _about(container, planned, answer)
        elif isinstance(answer, ImageUnknown):
            warnings.append(_unknown(container, planned, answer))
        else:
            raise answer
    return images, warnings


def _asks(pod: Pod, wished: Wishes, planned: Plan, container: Container) -> bool:
    if container.name not in planned.receivers:
        return False
    return _needs_entrypoint(planned, container) or (wished.owner is None and user_in_spec(pod, container) is None)


def _needs_entrypoint(planned: Plan, container: Container) -> bool:
    return planned.launched(container.name) and not container.command


def _about(container: Container, planned: Plan, image: Image) -> Iterable[str]:
    if not _needs_entrypoint(planned, container):
        return
    if not image.entrypoint and not (container.args or image.cmd):
        raise Refused(f"container {container.name!r}: neither it nor image {container.image!r} says what to run")
    if "@" not in container.image:
        yield (
            f"container {container.name}: its command is the one that image {container.image} has now; "
            "name the image by digest, or set `command`, so that it stays so"
        )


def _unknown(container: Container, planned: Plan, why: ImageUnknown) -> str:
    if _needs_entrypoint(planned, container):
        raise Refused(
            f"container {container.name!r} has no `command`, and what its image {container.image!r} runs can't be "
            f"told: {why}. Set `command` to what the container is to run",
            HTTPStatus.SERVICE_UNAVAILABLE if why.passing else HTTPStatus.UNPROCESSABLE_ENTITY,
        )
    return (
        f"container {container.name}: as which user it runs can't be told ({why}), so all users of the pod can read "
        "its files; set `runAsUser`"
    )
