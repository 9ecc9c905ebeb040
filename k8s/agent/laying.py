"""From the delivery and its values to what lies in the volumes. It must not know how a secret is fetched, or when."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from k8s import delivery as seam
from k8s.agent import writing
from k8s.agent.formats import ContentUnfit, rendered
from k8s.agent.settings import Settings
from k8s.agent.values import Value
from k8s.agent.writing import Entry
from k8s.delivery import Content, File, Variable
from k8s.logs import event

logger = logging.getLogger(__name__)

# The application's user reads them, whoever that is: the volume is this container's and the agent's alone.
_VARIABLES_MODE = 0o444
_LAUNCHER_MODE = 0o555


@dataclass(frozen=True, slots=True)
class Problem:
    """``fatal``: the application is not to start without it. The text is a sentence's end, and quotes no value."""

    text: str
    fatal: bool


@dataclass(slots=True)
class Laid:
    """What came of it. ``changed`` are directories, by their last name."""

    problems: list[Problem] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Directory:
    """One volume's: how its files are made, of what is there already where ``kept`` allows that."""

    path: Path
    entries: Callable[[Mapping[str, Value], Laid, Mapping[str, Entry]], dict[str, Entry]]


class Layer:
    """``keeps``: what cannot be made now stays as it lies there, as it is to be in a pod that runs."""

    def __init__(self, settings: Settings, *, keeps: bool) -> None:
        self._settings, self._keeps = settings, keeps
        self._delivery = settings.delivery

    def lay(self, values: Mapping[str, Value], *, dry: bool = False) -> Laid:
        """``dry`` only says what problems there are."""
        laid = Laid()
        for directory in self._directories():
            before = writing.read(directory.path) if self._keeps else {}
            entries = directory.entries(values, laid, before)
            if not dry and writing.write(directory.path, entries):
                laid.changed.append(directory.path.name)
        return laid

    def install_launcher(self) -> None:
        if self._delivery.launcher:
            target = self._settings.under(seam.LAUNCHER_DIRECTORY) / seam.LAUNCHER
            writing.install(self._settings.launcher, target, _LAUNCHER_MODE)

    def _directories(self) -> Iterator[_Directory]:
        for number in sorted({file.volume for file in self._delivery.files}):
            files = [file for file in self._delivery.files if file.volume == number]
            yield _Directory(self._settings.under(seam.VOLUMES) / str(number), self._files(files))
        for container in sorted({variable.container for variable in self._delivery.variables}):
            variables = [variable for variable in self._delivery.variables if variable.container == container]
            yield _Directory(self._settings.under(seam.ENVIRONMENTS) / container, self._variables(variables))

    def _files(self, files: list[File]) -> Callable[..., dict[str, Entry]]:
        def entries(values: Mapping[str, Value], laid: Laid, before: Mapping[str, Entry]) -> dict[str, Entry]:
            made = {}
            for file in files:
                content = self._content(f"the file {file.name!r} ({file.key})", file.content, values, laid)
                if content is not None:
                    made[file.name] = Entry(content, file.mode)
                elif file.name in before:
                    made[file.name] = before[file.name]
            return made

        return entries

    def _variables(self, variables: list[Variable]) -> Callable[..., dict[str, Entry]]:
        def entries(values: Mapping[str, Value], laid: Laid, before: Mapping[str, Entry]) -> dict[str, Entry]:
            former = _parsed(before[seam.VARIABLES_FILE].content) if seam.VARIABLES_FILE in before else {}
            made = {}
            for variable in variables:
                content = self._variable(variable, values, laid)
                if content is not None:
                    made[variable.name.encode()] = content
                elif variable.name.encode() in former:
                    made[variable.name.encode()] = former[variable.name.encode()]
            joined = b"".join(b"%s=%s\0" % pair for pair in made.items())
            return {seam.VARIABLES_FILE: Entry(joined, _VARIABLES_MODE)}

        return entries

    def _variable(self, variable: Variable, values: Mapping[str, Value], laid: Laid) -> bytes | None:
        what = f"the variable {variable.name} of the container {variable.container} ({variable.key})"
        content = self._content(what, variable.content, values, laid)
        if content is None:
            return None
        why = _why_no_variable(content)
        if why:
            text = f"{what}: {why}; take it as base64 or hex, or as a file"
            laid.problems.append(Problem(text, self._fatal(variable.content, values)))
            return None
        return content

    def _content(self, what: str, content: Content, values: Mapping[str, Value], laid: Laid) -> bytes | None:
        """None where it cannot be made; a secret that is missing has been complained of already."""
        if any(key not in values for key in _named(content)):
            return None
        try:
            return rendered(content, values)
        except ContentUnfit as error:
            laid.problems.append(Problem(f"{what}: {error}", self._fatal(content, values)))
            return None

    def _fatal(self, content: Content, values: Mapping[str, Value]) -> bool:
        """A template may fail for want of something optional, as long as that is wanting."""
        named = _named(content)
        if not named:
            return all(key in values or source.required for key, source in self._delivery.secrets.items())
        return any(self._delivery.secrets[key].required for key in named)


def _named(content: Content) -> tuple[str, ...]:
    return (content.secret,) if content.secret else content.bundle


def _why_no_variable(content: bytes) -> str:
    if b"\0" in content:
        return "its value has a NUL, which no variable can hold"
    try:
        content.decode()
    except UnicodeDecodeError:
        return "its value is not text (UTF-8)"
    return ""


def _parsed(content: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b"=") for line in content.split(b"\0") if line)
    return {name: value for name, _, value in pairs}


def tell(laid: Laid) -> None:
    if laid.changed:
        event(logger, logging.INFO, "written", directories=laid.changed)
