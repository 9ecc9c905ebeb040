"""The JSON patch (RFC 6902) that puts a plan into a pod. Pure: a pod's JSON and a plan in, operations out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from k8s.delivery import (
    API_KEY_FILE,
    DELIVERY_VARIABLE,
    ENVIRONMENT_DIRECTORY,
    ENVIRONMENTS,
    LAUNCHER_DIRECTORY,
    TOKEN_FILE,
    VOLUMES,
    Delivery,
    encode,
)
from k8s.webhook.annotations import Auth, Wishes
from k8s.webhook.images.image import Image
from k8s.webhook.launching import wrapped
from k8s.webhook.objects import Container, Pod
from k8s.webhook.plan import Plan
from k8s.webhook.settings import InjectionSettings
from k8s.webhook.users import AgentUser
from k8s.webhook.vocabulary import INJECTED, PREFIX, STATUS

Json = dict[str, Any]

AGENT = "keystead-agent"
REFRESHER = "keystead-agent-refresh"
RESERVED = "keystead-"
_BIN, _TOKEN, _API_KEY = "keystead-bin", "keystead-token", "keystead-api-key"  # names of volumes, and no secrets
_LONGEST_LABEL = 63


def patch(
    pod: Pod, wishes: Wishes, planned: Plan, images: Mapping[str, Image], user: AgentUser, settings: InjectionSettings
) -> list[Json]:
    volumes = _volumes(wishes, planned, settings)
    fetching, refreshing = _agents(wishes, planned, user, settings)
    operations = _appended("/spec/volumes", pod.spec.volumes, volumes)
    # Containers are pointed at by their place, so the agents come in front of them last.
    for place, containers in (("initContainers", pod.init_containers), ("containers", pod.containers)):
        for index, container in enumerate(containers):
            operations += _container(f"/spec/{place}/{index}", container, planned, images.get(container.name))
    native = settings.native_sidecars
    operations += _prepended(pod, [fetching, *refreshing] if native else [fetching])
    if not native:
        operations += _appended("/spec/containers", pod.spec.containers, refreshing)
    return [*operations, _status()]


def volume_names(wishes: Wishes, planned: Plan, settings: InjectionSettings) -> set[str]:
    return {each["name"] for each in _volumes(wishes, planned, settings)}


def volume_of(container: str) -> str:
    """The name of the volume with a container's variables: a DNS label, and another for every container."""
    name = f"keystead-environment-{container}"
    if len(name) <= _LONGEST_LABEL:
        return name
    return f"keystead-environment-{hashlib.sha256(container.encode()).hexdigest()[:32]}"


def literal_delivery(delivery: Delivery) -> str:
    """Kubernetes would replace `$(NAME)` in a variable's value; in JSON a `$` can be written otherwise."""
    return encode(delivery).replace("$", "\\u0024")


def _volumes(wishes: Wishes, planned: Plan, settings: InjectionSettings) -> list[Json]:
    memory = {"emptyDir": {"medium": "Memory", "sizeLimit": settings.volume_size}}
    volumes: list[Json] = [{"name": _BIN, "emptyDir": {"sizeLimit": "16Mi"}}] if planned.delivery.launcher else []
    volumes += [{"name": f"keystead-files-{each.number}", **memory} for each in planned.directories]
    volumes += [{"name": volume_of(name), **memory} for name in planned.with_variables]
    return [*volumes, _credential_volume(wishes, settings)]


def _credential_volume(wishes: Wishes, settings: InjectionSettings) -> Json:
    if wishes.auth is Auth.API_KEY:
        assert wishes.api_key_secret is not None, "annotations are read that way"
        name, key = wishes.api_key_secret
        item = {"key": key, "path": API_KEY_FILE.rpartition("/")[2]}
        return {"name": _API_KEY, "secret": {"secretName": name, "items": [item], "defaultMode": 0o444}}
    token = {
        "audience": settings.audience,
        "expirationSeconds": settings.token_seconds,
        "path": TOKEN_FILE.rpartition("/")[2],
    }
    return {"name": _TOKEN, "projected": {"sources": [{"serviceAccountToken": token}], "defaultMode": 0o444}}


def _agents(wishes: Wishes, planned: Plan, user: AgentUser, settings: InjectionSettings) -> tuple[Json, list[Json]]:
    mounts = [_mount(f"keystead-files-{each.number}", f"{VOLUMES}/{each.number}") for each in planned.directories]
    mounts += [_mount(volume_of(name), f"{ENVIRONMENTS}/{name}") for name in planned.with_variables]
    name, file = (_API_KEY, API_KEY_FILE) if wishes.auth is Auth.API_KEY else (_TOKEN, TOKEN_FILE)
    mounts.append(_mount(name, file.rpartition("/")[0], read_only=True))
    launcher = [_mount(_BIN, LAUNCHER_DIRECTORY)] if planned.delivery.launcher else []
    made: Json = {
        "image": settings.image,
        **({"imagePullPolicy": settings.pull_policy} if settings.pull_policy else {}),
        "env": [{"name": DELIVERY_VARIABLE, "value": literal_delivery(planned.delivery)}],
        "resources": settings.resources,
        "securityContext": user.security_context(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    fetching = {"name": AGENT, **made, "args": ["fetch"], "volumeMounts": [*launcher, *mounts]}
    if not wishes.refresh:
        return fetching, []
    always = {"restartPolicy": "Always"} if settings.native_sidecars else {}
    return fetching, [{"name": REFRESHER, **made, **always, "args": ["refresh"], "volumeMounts": mounts}]


def _container(place: str, container: Container, planned: Plan, image: Image | None) -> list[Json]:
    mounts = [
        _mount(f"keystead-files-{each.number}", each.path, read_only=True)
        for each in planned.directories
        if container.name in each.containers
    ]
    if container.name in planned.with_variables:
        mounts.append(_mount(volume_of(container.name), ENVIRONMENT_DIRECTORY, read_only=True))
    if not planned.launched(container.name):
        return _appended(f"{place}/volumeMounts", container.volume_mounts, mounts)
    mounts.append(_mount(_BIN, LAUNCHER_DIRECTORY, read_only=True))
    command, args = wrapped(container, planned, image)
    return [
        *_appended(f"{place}/volumeMounts", container.volume_mounts, mounts),
        _add(f"{place}/command", command),
        *([_add(f"{place}/args", args)] if args else []),
    ]


def _mount(name: str, path: str, *, read_only: bool = False) -> Json:
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def _prepended(pod: Pod, agents: list[Json]) -> list[Json]:
    if pod.spec.init_containers is None:
        return [_add("/spec/initContainers", agents)]
    return [_add("/spec/initContainers/0", agent) for agent in reversed(agents)]


def _appended(path: str, there: list[Any] | None, more: Iterable[Json]) -> list[Json]:
    added = list(more)
    if not added:
        return []
    # `add` to a member that is there replaces it (RFC 6902 §4.1): so it does for one that is null.
    return [_add(path, added)] if there is None else [_add(f"{path}/-", each) for each in added]


def _status() -> Json:
    # A pod that is given anything has annotations: they asked for it.
    return _add(f"/metadata/annotations/{_escaped(PREFIX + STATUS)}", INJECTED)


def _escaped(name: str) -> str:
    """RFC 6901 §3."""
    return name.replace("~", "~0").replace("/", "~1")


def _add(path: str, value: Any) -> Json:
    return {"op": "add", "path": path, "value": value}
