"""The fields of a pod that the webhook reads, and no others. Admission comes before validation: any may be empty.

Unknown fields are passed over: every release of Kubernetes has new ones.
"""

from __future__ import annotations

from typing import Any

import msgspec


class SecurityContext(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    run_as_user: int | None = None
    run_as_group: int | None = None


class Variable(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    value: str | None = None


class Mount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    mount_path: str = ""


class Container(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    image: str = ""
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[Variable] | None = None
    volume_mounts: list[Mount] | None = None
    security_context: SecurityContext | None = None

    @property
    def mounts(self) -> list[Mount]:
        return self.volume_mounts or []

    @property
    def variables(self) -> dict[str, str | None]:
        return {each.name: each.value for each in self.env or []}


class Volume(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""


class Reference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""


class OperatingSystem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""


class PodSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    volumes: list[Volume] | None = None
    security_context: SecurityContext | None = None
    restart_policy: str = ""
    node_selector: dict[str, str] | None = None
    os: OperatingSystem | None = None
    image_pull_secrets: list[Reference] | None = None


class Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    annotations: dict[str, str] | None = None


class Pod(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations or {}

    @property
    def containers(self) -> list[Container]:
        return self.spec.containers or []

    @property
    def init_containers(self) -> list[Container]:
        return self.spec.init_containers or []

    @property
    def all_containers(self) -> list[Container]:
        return [*self.init_containers, *self.containers]


def read_pod(found: Any) -> Pod:
    """msgspec.ValidationError: it is none."""
    return msgspec.convert(found, Pod)
