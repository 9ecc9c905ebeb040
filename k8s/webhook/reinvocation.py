"""A pod that bears our mark: ours from an earlier call of the same request, or somebody's copy or invention.

The API server asks again when another webhook changed the pod after us. It must not know images: nothing is looked up.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from k8s.delivery import DELIVERY_VARIABLE, Delivery, decode
from k8s.webhook.annotations import Wishes
from k8s.webhook.objects import Container, Pod
from k8s.webhook.patch import AGENT, REFRESHER, RESERVED, volume_names
from k8s.webhook.plan import plan
from k8s.webhook.refusals import Refused
from k8s.webhook.settings import InjectionSettings
from k8s.webhook.vocabulary import PREFIX


def check_nothing_preset(pod: Pod) -> None:
    for kind, there in (("container", pod.all_containers), ("volume", pod.spec.volumes or [])):
        for each in there:
            if each.name.startswith(RESERVED):
                raise Refused(f"the pod names a {kind} {each.name!r}; names that begin with {RESERVED} are Keystead's")


def check_ours(pod: Pod, wishes: Wishes, settings: InjectionSettings) -> None:
    """Refused, unless the agent that is there delivers what the annotations ask for."""
    bare = _without_ours(pod)
    if not wishes.containers:
        # Another webhook may have added containers since: those were not ours to change, and are not now.
        wishes = replace(wishes, containers=tuple(each.name for each in pod.containers if _has_ours(each)))
    expected = plan(bare, wishes, settings, 0)
    ordered = _without_modes(expected.delivery)
    there = {each.name for each in pod.spec.volumes or []}
    agents = [AGENT, REFRESHER] if wishes.refresh else [AGENT]
    delivered = [_delivery(pod, name) for name in agents]
    whole = volume_names(wishes, expected, settings) <= there
    if not whole or any(each is None or _without_modes(each) != ordered for each in delivered):
        raise Refused(
            f"{PREFIX}status is the webhook's to set, and this pod is not as the webhook would make it now: "
            f"take the annotation out, and all containers and volumes whose names begin with {RESERVED}"
        )


def _without_ours(pod: Pod) -> Pod:
    spec = msgspec.structs.replace(
        pod.spec,
        containers=[_bare(each) for each in pod.containers if not each.name.startswith(RESERVED)],
        init_containers=[_bare(each) for each in pod.init_containers if not each.name.startswith(RESERVED)],
    )
    return msgspec.structs.replace(pod, spec=spec)


def _bare(container: Container) -> Container:
    mounts = [each for each in container.mounts if not each.name.startswith(RESERVED)]
    return msgspec.structs.replace(container, volume_mounts=mounts)


def _has_ours(container: Container) -> bool:
    return not container.name.startswith(RESERVED) and any(each.name.startswith(RESERVED) for each in container.mounts)


def _delivery(pod: Pod, agent: str) -> Delivery | None:
    for container in pod.all_containers:
        if container.name == agent:
            try:
                return decode(container.variables.get(DELIVERY_VARIABLE) or "")
            except (msgspec.MsgspecError, ValueError):
                return None
    return None


def _without_modes(delivery: Delivery) -> Delivery:
    """The mode that nobody asked for follows the image's user, which is not looked up again."""
    return msgspec.structs.replace(
        delivery, files=tuple(msgspec.structs.replace(each, mode=0) for each in delivery.files)
    )
