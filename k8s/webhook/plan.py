"""Who gets what where: wishes laid over a pod's containers. It must not know patches, images or the API server."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from k8s.delivery import (
    ENVIRONMENT_DIRECTORY,
    LAUNCHER_DIRECTORY,
    Credential,
    Delivery,
    File,
    Variable,
)
from k8s.webhook.annotations import Auth, SecretWish, Wishes
from k8s.webhook.objects import Container, Pod
from k8s.webhook.refusals import Refused
from k8s.webhook.settings import InjectionSettings
from k8s.webhook.values import within
from k8s.webhook.vocabulary import PREFIX, nearest


@dataclass(frozen=True)
class Directory:
    """One volume: these files, at this path in these containers. Who gets other files there gets another volume."""

    number: int
    path: str
    keys: frozenset[str]
    containers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``on_change``: for each container what its launcher watches, as JSON. ``receivers``: who gets anything."""

    delivery: Delivery
    directories: tuple[Directory, ...]
    with_variables: tuple[str, ...]
    receivers: tuple[str, ...]
    on_change: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def launched(self, container: str) -> bool:
        return container in self.with_variables or container in self.on_change


def plan(pod: Pod, wishes: Wishes, settings: InjectionSettings, default_mode: int) -> Plan:
    given = _recipients(pod, wishes)
    directories = _directories(given)
    on_change = {name: found for name, got in given.items() if (found := tuple(_watched(got)))}
    with_variables = tuple(name for name, got in given.items() if any(each.variable for each in got))
    warnings = [
        sentence
        for container in pod.all_containers
        for sentence in _checked(container, given.get(container.name, []), directories, on_change)
    ]
    delivery = Delivery(
        server=settings.server,
        credential=_credential(wishes, settings),
        secrets={each.key: each.source for each in wishes.secrets if each.source is not None},
        files=tuple(_files(directories, wishes, default_mode)),
        variables=tuple(_variables(given)),
        launcher=bool(with_variables or on_change),
        log_level=settings.log_level,
    )
    receivers = tuple(name for name, got in given.items() if got)
    return Plan(
        delivery=delivery,
        directories=directories,
        with_variables=with_variables,
        receivers=receivers,
        on_change=on_change,
        warnings=tuple(warnings),
    )


def _recipients(pod: Pod, wishes: Wishes) -> dict[str, list[SecretWish]]:
    """Each container's secrets, in the pod's order of containers."""
    named = {each.name for each in pod.all_containers}
    ordinary = tuple(each.name for each in pod.containers)
    default = _known("containers", wishes.containers, named) or ordinary
    given: dict[str, list[SecretWish]] = {each.name: [] for each in pod.all_containers}
    for wish in wishes.secrets:
        recipients = _known(f"containers.{wish.key}", wish.containers, named) or default
        for name in recipients if wish.path or wish.variable else ():
            given[name].append(wish)
    return given


def _known(annotation: str, names: tuple[str, ...], known: set[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            near = nearest(name, known) or ", ".join(sorted(known))
            raise Refused(f"{PREFIX}{annotation}: the pod has no container {name!r}; it has {near}")
    return names


def _directories(given: Mapping[str, list[SecretWish]]) -> tuple[Directory, ...]:
    users: dict[tuple[str, frozenset[str]], list[str]] = {}
    for container, got in given.items():
        for path, keys in _by_directory(got).items():
            users.setdefault((path, keys), []).append(container)
    ordered = sorted(users, key=lambda each: (each[0], sorted(each[1])))
    return tuple(Directory(number, *each, tuple(users[each])) for number, each in enumerate(ordered))


def _by_directory(got: Iterable[SecretWish]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for wish in got:
        if wish.path:
            found.setdefault(posixpath.dirname(wish.path), set()).add(wish.key)
    return {path: frozenset(keys) for path, keys in found.items()}


def _watched(got: Iterable[SecretWish]) -> Iterable[str]:
    for wish in got:
        if wish.signal or wish.command:
            what = {"file": wish.path} if wish.path else {"variable": wish.variable}
            deed: dict[str, object] = {"signal": wish.signal} if wish.signal else {"command": wish.command}
            yield msgspec.json.encode({**what, **deed}).decode()


def _files(directories: Iterable[Directory], wishes: Wishes, default_mode: int) -> Iterable[File]:
    by_key = {each.key: each for each in wishes.secrets}
    for directory in directories:
        for key in sorted(directory.keys):
            wish = by_key[key]
            yield File(
                key=key,
                volume=directory.number,
                name=posixpath.basename(wish.path),
                content=wish.content,
                mode=default_mode if wish.mode is None else wish.mode,
            )


def _variables(given: Mapping[str, list[SecretWish]]) -> Iterable[Variable]:
    for container, got in given.items():
        for wish in got:
            if wish.variable:
                yield Variable(key=wish.key, container=container, name=wish.variable, content=wish.content)


def _credential(wishes: Wishes, settings: InjectionSettings) -> Credential:
    if wishes.auth is Auth.API_KEY:
        return Credential()
    cluster = wishes.cluster or settings.cluster
    if cluster is None:
        raise Refused(f"{PREFIX}cluster is needed: the webhook's configuration names no cluster of its own")
    return Credential(cluster=cluster, app=wishes.app)


def _checked(
    container: Container,
    got: list[SecretWish],
    directories: Iterable[Directory],
    on_change: Mapping[str, object],
) -> Iterable[str]:
    """What is to be said about one container; Refused if what it gets can't be had beside what it has."""
    _check_paths(container, got)
    _check_variables(container, got)
    ours = [each.path for each in directories if container.name in each.containers]
    for index, one in enumerate(ours):
        for other in ours[index + 1 :]:
            if within(other, one) or within(one, other):
                raise Refused(f"files of container {container.name!r} lie in {one} and in {other}, one in the other")
    variables = any(each.variable for each in got)
    ours += [LAUNCHER_DIRECTORY] if variables or container.name in on_change else []
    ours += [ENVIRONMENT_DIRECTORY] if variables else []
    return _beside_mounts(container, ours)


def _check_paths(container: Container, got: list[SecretWish]) -> None:
    seen: dict[str, str] = {}
    for wish in got:
        if wish.path and wish.path in seen:
            raise Refused(f"{PREFIX}path.{seen[wish.path]} and {PREFIX}path.{wish.key}: both are {wish.path!r}")
        seen[wish.path] = wish.key


def _check_variables(container: Container, got: list[SecretWish]) -> None:
    seen: dict[str, str] = {}
    for wish in got:
        if wish.variable and wish.variable in container.variables:
            raise Refused(
                f"{PREFIX}env.{wish.key}: container {container.name!r} sets {wish.variable} itself; take it out there"
            )
        if wish.variable and wish.variable in seen:
            raise Refused(f"{PREFIX}env.{seen[wish.variable]} and {PREFIX}env.{wish.key}: both are {wish.variable}")
        seen[wish.variable] = wish.key


def _beside_mounts(container: Container, ours: Iterable[str]) -> list[str]:
    said = []
    for path in ours:
        for mount in container.mounts:
            there = posixpath.normpath("/" + mount.mount_path.lstrip("/"))
            if within(there, path):
                raise Refused(
                    f"container {container.name!r} mounts {mount.name!r} at {mount.mount_path}, "
                    f"and Keystead's files need {path} for themselves"
                )
            if within(path, there):
                said.append(f"{path} lies in {mount.mount_path} of container {container.name!r}, a volume of its own")
    return said
