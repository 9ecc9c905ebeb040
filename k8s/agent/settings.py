"""What the agent finds in its environment: the delivery, checked before anything is done, and where things are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from k8s import delivery as seam
from k8s.client import CredentialSettings, ServerSettings
from k8s.delivery import Content, Delivery, Source

PATIENCE_VARIABLE = "KEYSTEAD_AGENT_PATIENCE"
LAUNCHER_VARIABLE = "KEYSTEAD_AGENT_LAUNCHER"
ROOT_VARIABLE = "KEYSTEAD_AGENT_ROOT"
DEFAULT_PATIENCE = 120.0
DEFAULT_LAUNCHER = "/usr/local/bin/keystead-launch"

_ATTEMPT_SECONDS, _DEADLINE_SECONDS = 5.0, 15.0
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_VARIABLE = re.compile(r"[^=\0]+")
_LONGEST_NAME = 255  # NAME_MAX


class SettingsInvalid(ValueError):
    """One sentence: what is wrong, and what would be right."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``root`` is / in a container: the folder that all other paths are under."""

    delivery: Delivery
    root: Path = Path("/")
    launcher: Path = Path(DEFAULT_LAUNCHER)
    patience: float = DEFAULT_PATIENCE

    @property
    def server(self) -> ServerSettings:
        given = self.delivery.server
        return ServerSettings(
            addresses=given.addresses,
            ca=given.ca,
            pins=given.pins,
            attempt_seconds=_ATTEMPT_SECONDS,
            deadline_seconds=_DEADLINE_SECONDS,
        )

    @property
    def credential(self) -> CredentialSettings:
        given = self.delivery.credential
        if given.cluster is None:
            return CredentialSettings(api_key_file=str(self.under(seam.API_KEY_FILE)))
        app = "" if given.app is None else str(given.app)
        return CredentialSettings(token_file=str(self.under(seam.TOKEN_FILE)), cluster=str(given.cluster), app=app)

    def under(self, path: str) -> Path:
        return self.root / path.lstrip("/")


def settings_of(environment: Mapping[str, str]) -> Settings:
    text = environment.get(seam.DELIVERY_VARIABLE, "")
    if not text:
        raise SettingsInvalid(f"{seam.DELIVERY_VARIABLE} is not set: the webhook sets it")
    try:
        settings = Settings(
            seam.decode(text),
            Path(environment.get(ROOT_VARIABLE) or "/"),
            Path(environment.get(LAUNCHER_VARIABLE) or DEFAULT_LAUNCHER),
            _patience(environment.get(PATIENCE_VARIABLE, "")),
        )
        _ = settings.server, settings.credential
    except SettingsInvalid:
        raise
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SettingsInvalid(f"{seam.DELIVERY_VARIABLE}: {error}") from None
    for problem in _problems(settings.delivery):
        raise SettingsInvalid(f"{seam.DELIVERY_VARIABLE}: {problem}")
    return settings


def _patience(text: str) -> float:
    if not text:
        return DEFAULT_PATIENCE
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise SettingsInvalid(f"{PATIENCE_VARIABLE}: {text!r} is not a number of seconds, such as 120")
    return float(text)


def _problems(delivery: Delivery) -> Iterator[str]:
    """The webhook has checked all this; but the environment is anybody's who may make a pod."""
    if delivery.log_level not in _LEVELS:
        yield f"log_level: {delivery.log_level!r} is not one of {', '.join(_LEVELS)}"
    for key, source in delivery.secrets.items():
        yield from (f"secrets: {key!r}: {text}" for text in _source_problems(source))
    yield from _file_problems(delivery)
    yield from _variable_problems(delivery)


def _source_problems(source: Source) -> Iterator[str]:
    if bool(source.name) == (source.kid is not None):
        yield "give either name or kid"
    if source.version < 0 or (source.version and not source.name):
        yield "version counts a name's objects from 1"
    if source.refresh_seconds < 0:
        yield "refresh_seconds is not negative"


def _file_problems(delivery: Delivery) -> Iterator[str]:
    seen: set[tuple[int, str]] = set()
    for file in delivery.files:
        where = f"files: {file.key!r}"
        if file.volume < 0:
            yield f"{where}: volume is not negative"
        if not is_file_name(file.name):
            yield f"{where}: {file.name!r} is not a file's name that does not begin with two dots"
        if not 0 <= file.mode <= 0o777:
            yield f"{where}: mode is within 0 and 0777"
        if (file.volume, file.name) in seen:
            yield f"{where}: there are two files {file.name!r} in volume {file.volume}"
        seen.add((file.volume, file.name))
        yield from (f"{where}: {text}" for text in _content_problems(file.content, delivery))


def is_file_name(name: str) -> bool:
    """Two dots begin what the layout of a volume needs for itself."""
    unfit = not name or name == "." or name.startswith("..") or "/" in name or "\0" in name
    try:
        return not unfit and len(name.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def _variable_problems(delivery: Delivery) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for variable in delivery.variables:
        where = f"variables: {variable.key!r}"
        if not _LABEL.fullmatch(variable.container):
            yield f"{where}: {variable.container!r} is not a container's name"
        if not _VARIABLE.fullmatch(variable.name):
            yield f"{where}: {variable.name!r} is not a variable's name"
        if (variable.container, variable.name) in seen:
            yield f"{where}: {variable.container!r} takes two variables {variable.name!r}"
        seen.add((variable.container, variable.name))
        yield from (f"{where}: {text}" for text in _content_problems(variable.content, delivery))


def _content_problems(content: Content, delivery: Delivery) -> Iterator[str]:
    if sum(map(bool, (content.secret, content.bundle, content.template))) != 1:
        yield "content is exactly one of secret, bundle and template"
    named = (content.secret, *content.bundle) if content.secret else content.bundle
    for key in named:
        if key not in delivery.secrets:
            yield f"there is no secret {key!r}"
