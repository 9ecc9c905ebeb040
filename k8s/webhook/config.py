"""The webhook's configuration: one TOML file, read once at the start. What is wrong with it is said in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec

from k8s.client import ServerSettings
from k8s.delivery import Server
from k8s.webhook.settings import NATIVE_SIDECARS, InjectionSettings

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_VERSION = re.compile(r"1\.([0-9]{1,3})")

_RESOURCES = {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "96Mi"}}


class ConfigurationInvalid(Exception):
    """The file cannot be used as it is."""


def host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 0.0.0.0:8443")
    return host.strip("[]"), int(port)


class ListenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``address``: TLS, for the API server. ``telemetry``: without, for Prometheus and probes; empty: none."""

    address: str = "0.0.0.0:8443"
    telemetry: str = ""

    def __post_init__(self) -> None:
        for name in ("address", "telemetry"):
            if text := getattr(self, name):
                try:
                    host_and_port(text)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        if not self.address:
            raise ValueError("address: HOST:PORT is needed")


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``volume_size`` bounds each memory-backed volume."""

    image: str
    pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    resources: dict[str, Any] = msgspec.field(default_factory=lambda: dict(_RESOURCES))
    volume_size: str = "16Mi"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def __post_init__(self) -> None:
        if not self.image:
            raise ValueError("image: the agent's image is needed")


class TokenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``cluster`` is this cluster's id in Keystead, ``audience`` the one that it has there."""

    audience: str
    cluster: UUID | None = None
    seconds: int = 600

    def __post_init__(self) -> None:
        if not self.audience:
            raise ValueError("audience: whom pods' tokens are for; the cluster in Keystead says the same")
        if not 600 <= self.seconds <= 3600:
            raise ValueError("seconds: 600 to 3600")


class KubernetesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``namespace`` and ``service`` are the webhook's own. ``version`` empty: the API server is asked."""

    namespace: str
    service: str = "keystead-webhook"
    configuration: str = "keystead-webhook"
    api: str = "https://kubernetes.default.svc"
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
    ca_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    version: str = ""

    def __post_init__(self) -> None:
        for name in ("namespace", "service", "configuration"):
            if not _NAME.fullmatch(getattr(self, name)):
                raise ValueError(f"{name}: {getattr(self, name)!r} is not a Kubernetes object's name")
        if self.version and not _VERSION.fullmatch(self.version):
            raise ValueError(f"version: {self.version!r} is not a version such as 1.29")
        if not self.api.startswith("https://"):
            raise ValueError(f"api: {self.api!r} is not https://HOST[:PORT]")


class CertificateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``own``: made here and kept in ``secret``. ``files``: somebody else's, such as cert-manager's.

    ``names`` come beside the Service's. ``ca_file`` with ``files``: what goes into caBundle; empty: it is left alone.
    """

    mode: Literal["own", "files"] = "own"
    secret: str = "keystead-webhook-certificate"  # noqa: S105 - a name
    names: tuple[str, ...] = ()
    certificate_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    ca_hours: float = 8760
    leaf_hours: float = 720
    overlap_seconds: float = 600
    check_seconds: float = 60

    def __post_init__(self) -> None:
        if self.mode == "files" and not (self.certificate_file and self.key_file):
            raise ValueError("certificate_file and key_file are needed where mode is files")
        if self.mode == "own" and (self.certificate_file or self.key_file or self.ca_file):
            raise ValueError('certificate_file, key_file and ca_file go with mode = "files"')
        if not _NAME.fullmatch(self.secret):
            raise ValueError(f"secret: {self.secret!r} is not a Secret's name")
        if not 0 < self.leaf_hours <= self.ca_hours or self.check_seconds <= 0 or self.overlap_seconds < 0:
            raise ValueError("leaf_hours must be above 0 and at most ca_hours, check_seconds above 0")


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``registries``: hosts and patterns that may be asked; empty: any that is not this machine. ``plain``: no TLS."""

    lookup: bool = True
    registries: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    ca_file: str = ""
    credentials_file: str = ""
    architecture: str = "amd64"
    seconds: float = 6.0

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 8:
            raise ValueError("seconds: above 0 and at most 8, so that the API server still waits")


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    agent: AgentSettings
    server: ServerSettings
    token: TokenSettings
    kubernetes: KubernetesSettings
    listen: ListenSettings = ListenSettings()
    certificate: CertificateSettings = CertificateSettings()
    images: ImageSettings = ImageSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


def load(path: Path) -> Configuration:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Configuration)
    except OSError as error:
        raise ConfigurationInvalid(f"{path}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigurationInvalid(f"{path}: {error}") from None


def injection(configuration: Configuration, version: tuple[int, int] | None = None) -> InjectionSettings:
    """``version``: what the API server said it is; the file's own goes before it."""
    agent, token, kubernetes = configuration.agent, configuration.token, configuration.kubernetes
    said = _VERSION.fullmatch(kubernetes.version)
    return InjectionSettings(
        image=agent.image,
        namespace=kubernetes.namespace,
        server=_server(configuration.server),
        audience=token.audience,
        cluster=token.cluster,
        token_seconds=token.seconds,
        pull_policy=agent.pull_policy,
        resources=agent.resources,
        volume_size=agent.volume_size,
        log_level=agent.log_level,
        version=(1, int(said[1])) if said else version or NATIVE_SIDECARS,
    )


def _server(settings: ServerSettings) -> Server:
    """The authorities travel with every pod: they are no secret, and the pod's namespace needs no ConfigMap."""
    try:
        ca = Path(settings.ca_file).read_text("ascii") if settings.ca_file else settings.ca
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(f"{settings.ca_file}: {type(error).__name__}") from None
    return Server(addresses=settings.addresses, ca=ca, pins=settings.pins)
