"""The plugin's configuration: one TOML file, read once at the start. What is wrong with it is said in one line."""

from __future__ import annotations

import ipaddress
import re
import stat
from pathlib import Path

import msgspec

from k8s.client import CredentialSettings, ServerSettings

_MAX_SOCKET = 107  # bytes of sun_path, less its end
_CLUSTER = re.compile(r"[A-Za-z0-9._-]{1,63}")


class ConfigurationInvalid(Exception):
    """The file cannot be used as it is."""


class KeySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``cluster`` is part of what is authenticated: a ciphertext of one cluster does not open in another."""

    name: str
    cluster: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name: the key's name is needed")
        if not _CLUSTER.fullmatch(self.cluster):
            raise ValueError("cluster: 1 to 63 letters, digits, dots, dashes, underscores; it can't be changed later")


class ListenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``socket``: where the API server finds us. ``v1``: with the old version of the API. ``telemetry``: HOST:PORT."""

    socket: str
    v1: bool = False
    telemetry: str = ""

    def __post_init__(self) -> None:
        if not self.socket.startswith("/") or len(self.socket.encode()) > _MAX_SOCKET:
            raise ValueError(f"socket: an absolute path of at most {_MAX_SOCKET} bytes")
        if self.telemetry:
            telemetry_address(self.telemetry)


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: ListenSettings
    key: KeySettings
    server: ServerSettings
    credential: CredentialSettings
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("log_level: DEBUG, INFO, WARNING or ERROR")


def telemetry_address(text: str) -> tuple[str, int]:
    """Loopback only: metrics and health need no credential, so they are for this machine."""
    host, _, port = text.rpartition(":")
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isdecimal() or not int(port) < 65536:
        raise ValueError(f"telemetry: {text!r} is not a loopback address and a port, such as 127.0.0.1:9469")
    return host.strip("[]"), int(port)


def load(path: Path) -> Configuration:
    try:
        configuration = msgspec.toml.decode(path.read_bytes(), type=Configuration)
    except OSError as error:
        raise ConfigurationInvalid(f"{path}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigurationInvalid(f"{path}: {error}") from None
    for name in _files(configuration):
        _check_file(Path(name))
    for name in _secrets(configuration):
        _check_secret(Path(name))
    return configuration


def _files(configuration: Configuration) -> list[str]:
    credential = configuration.credential
    named = (configuration.server.ca_file, credential.certificate_file, *_secrets(configuration))
    return [name for name in named if name]


def _secrets(configuration: Configuration) -> list[str]:
    credential = configuration.credential
    return [name for name in (credential.api_key_file, credential.token_file, credential.key_file) if name]


def _check_file(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationInvalid(f"{path}: {error.strerror}") from None


def _check_secret(path: Path) -> None:
    """Kubernetes' own volumes are 0644 in a folder that is closed; a file that lies open on a node is a mistake."""
    readable = path.stat().st_mode & stat.S_IROTH
    if readable and all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents):
        raise ConfigurationInvalid(f"{path}: everybody on this machine can read it; chmod o-r")
