"""Who we are, as a login shows it. Each kind reads its file when asked, and keeps nothing of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from k8s.client.calls import Question
from k8s.client.files import Stamp, first_line, stamp_of
from k8s.client.settings import CredentialSettings

LOGIN = Question("/sys/v1/session/auth")
CLUSTER_LOGIN = "/sys/v1/session/auth/kubernetes"


class Credential(Protocol):
    def question(self) -> Question:
        """Where a login is, and what it says beside the header."""

    def header(self) -> str:
        """The Authorization that a login shows. Denied when the file cannot be read."""

    def stamp(self) -> Stamp | None:
        """Another one means another credential; None that the file cannot be looked at just now."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What the server's API calls an app's API key: base64 of its id and secret."""

    path: Path

    def question(self) -> Question:
        return LOGIN

    def header(self) -> str:
        return f"Basic {first_line(self.path)}"

    def stamp(self) -> Stamp | None:
        return stamp_of(self.path)


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token of an issuer that the app trusts, such as a projected service-account token."""

    path: Path
    app: str = ""

    def question(self) -> Question:
        return LOGIN

    def header(self) -> str:
        token = first_line(self.path)
        return _basic(self.app, token) if self.app else f"Bearer {token}"

    def stamp(self) -> Stamp | None:
        return stamp_of(self.path)


@dataclass(frozen=True, slots=True)
class ClusterToken:
    """A service account's token of a cluster that the server knows; the server says which app that is.

    Where a service account is bound to several apps, ``app`` picks one.
    """

    path: Path
    cluster: str
    app: str = ""

    def question(self) -> Question:
        body = {"cluster_id": self.cluster} | ({"app_id": self.app} if self.app else {})
        return Question(CLUSTER_LOGIN, msgspec.json.encode(body))

    def header(self) -> str:
        return f"Bearer {first_line(self.path)}"

    def stamp(self) -> Stamp | None:
        return stamp_of(self.path)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The certificate is shown in the handshake (``trust``); the header says whose it is."""

    path: Path
    app: str

    def question(self) -> Question:
        return LOGIN

    def header(self) -> str:
        return _basic(self.app, "")

    def stamp(self) -> Stamp | None:
        return stamp_of(self.path)


def credential_of(settings: CredentialSettings) -> Credential:
    if settings.api_key_file:
        return ApiKey(Path(settings.api_key_file))
    if settings.cluster:
        return ClusterToken(Path(settings.token_file), settings.cluster, settings.app)
    if settings.token_file:
        return SignedToken(Path(settings.token_file), settings.app)
    return ClientCertificate(Path(settings.certificate_file), settings.app)


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
