"""From a pod's annotations to what its author wishes, each value checked. It must not know the pod's containers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from k8s.delivery import DEFAULT_DIRECTORY, Content, Format, Source
from k8s.webhook import values
from k8s.webhook.refusals import Refused
from k8s.webhook.vocabulary import PREFIX, ForPod, ForSecrets, nearest, sorted_out

NO_FILE = "none"


class Auth(StrEnum):
    SERVICE_ACCOUNT = "service-account"
    API_KEY = "api-key"


@dataclass(frozen=True, kw_only=True)
class SecretWish:
    """``path`` and ``variable`` may be empty, and with both empty it is there for a bundle or a template.

    ``source`` is None for a bundle or template that is no secret itself. ``containers`` empty: the pod's.
    """

    key: str
    source: Source | None
    content: Content
    path: str = ""
    variable: str = ""
    mode: int | None = None
    signal: str = ""
    command: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wishes:
    secrets: tuple[SecretWish, ...]
    containers: tuple[str, ...] = ()
    auth: Auth = Auth.SERVICE_ACCOUNT
    app: UUID | None = None
    cluster: UUID | None = None
    api_key_secret: tuple[str, str] | None = None
    owner: tuple[int, int | None] | None = None

    @property
    def refresh(self) -> bool:
        return any(each.source is not None and each.source.refresh_seconds for each in self.secrets)


def wishes(found: Mapping[str, str]) -> Wishes:
    """``found`` is without the prefix. Refused: something of it is unknown, senseless or contradicts another."""
    pod, secrets = sorted_out(found)
    if "inject" in pod:
        values.truth("inject", pod["inject"])
    every = values.seconds("refresh", pod["refresh"]) if "refresh" in pod else 0
    wished = tuple(_secret(key, said, every) for key, said in secrets.items())
    if not wished:
        raise Refused(f"no secret is named: say which, such as {PREFIX}secret.db: payments/db-password")
    _check_references(wished)
    _check_changes(wished)
    return _of_pod(pod, wished, _owner(secrets))


def _of_pod(pod: ForPod, wished: tuple[SecretWish, ...], owner: tuple[int, int | None] | None) -> Wishes:
    auth = values.one_of("auth", pod["auth"], Auth) if "auth" in pod else Auth.SERVICE_ACCOUNT
    _check_auth(auth, pod)
    return Wishes(
        secrets=wished,
        containers=values.names("containers", pod["containers"]) if "containers" in pod else (),
        auth=auth,
        app=values.identifier("app", pod["app"]) if "app" in pod else None,
        cluster=values.identifier("cluster", pod["cluster"]) if "cluster" in pod else None,
        api_key_secret=values.secret_reference("api-key-secret", pod["api-key-secret"])
        if "api-key-secret" in pod
        else None,
        owner=owner,
    )


def _check_auth(auth: Auth, pod: ForPod) -> None:
    if auth is Auth.API_KEY and "api-key-secret" not in pod:
        raise Refused(f"{PREFIX}auth: api-key needs {PREFIX}api-key-secret, the Secret that the API key is in")
    if auth is Auth.SERVICE_ACCOUNT and "api-key-secret" in pod:
        raise Refused(f"{PREFIX}api-key-secret goes with {PREFIX}auth: api-key; a service account needs none")
    for name in ("app", "cluster"):
        if auth is Auth.API_KEY and name in pod:
            raise Refused(f"{PREFIX}{name} goes with a service account; an API key names its app itself")


def _secret(key: str, said: Mapping[str, str], every: int) -> SecretWish:
    source, content = _source(key, said, every), _content(key, said)
    variable = values.variable(f"env.{key}", said["env"]) if "env" in said else ""
    path = said.get("path", NO_FILE if variable else f"{DEFAULT_DIRECTORY}/{key}")
    path = "" if path == NO_FILE else values.path(f"path.{key}", path)
    if "signal" in said and "command" in said:
        raise Refused(f"{PREFIX}signal.{key} and {PREFIX}command.{key}: one of them, not both")
    if "mode" in said and not path:
        raise Refused(f"{PREFIX}mode.{key} is about a file, and {key} has none: give it a {PREFIX}path.{key}")
    return SecretWish(
        key=key,
        source=source,
        content=content,
        path=path,
        variable=variable,
        mode=values.mode(f"mode.{key}", said["mode"]) if "mode" in said else None,
        signal=values.signal(f"signal.{key}", said["signal"]) if "signal" in said else "",
        command=values.command(f"command.{key}", said["command"]) if "command" in said else (),
        containers=values.names(f"containers.{key}", said["containers"]) if "containers" in said else (),
    )


def _source(key: str, said: Mapping[str, str], every: int) -> Source | None:
    if "secret" in said and "id" in said:
        raise Refused(f"{PREFIX}secret.{key} and {PREFIX}id.{key}: one of them, not both")
    if "secret" not in said and "id" not in said:
        _check_sourceless(key, said)
        return None
    if "version" in said and "id" in said:
        raise Refused(f"{PREFIX}version.{key} counts a name's objects, and {PREFIX}id.{key} names one itself")
    return Source(
        name=values.text(f"secret.{key}", said["secret"]) if "secret" in said else "",
        kid=values.identifier(f"id.{key}", said["id"]) if "id" in said else None,
        version=values.version(f"version.{key}", said["version"]) if "version" in said else 0,
        property=values.text(f"property.{key}", said["property"]) if "property" in said else "",
        required=values.truth(f"required.{key}", said["required"]) if "required" in said else True,
        refresh_seconds=values.seconds(f"refresh.{key}", said["refresh"]) if "refresh" in said else every,
    )


def _check_sourceless(key: str, said: Mapping[str, str]) -> None:
    """A bundle or template may stand alone; then it has nothing that is a secret's own."""
    if "bundle" not in said and "template" not in said:
        raise Refused(f"{PREFIX}{next(iter(said))}.{key}: no secret has the key {key}: say {PREFIX}secret.{key}")
    for word in ("version", "property", "required", "refresh"):
        if word in said:
            raise Refused(f"{PREFIX}{word}.{key} needs {PREFIX}secret.{key}, or goes with the secrets it is made of")


def _content(key: str, said: Mapping[str, str]) -> Content:
    made = [word for word in ("template", "bundle", "format") if word in said]
    if len(made) > 1:
        raise Refused(f"{PREFIX}{made[0]}.{key} and {PREFIX}{made[1]}.{key}: one of them, not both")
    if "template" in said:
        return Content(template=values.template(f"template.{key}", said["template"]))
    if "bundle" in said:
        return Content(bundle=values.names(f"bundle.{key}", said["bundle"]))
    form = values.one_of(f"format.{key}", said["format"], Format) if "format" in said else Format.AUTO
    return Content(secret=key, format=form)


def _owner(secrets: ForSecrets) -> tuple[int, int | None] | None:
    said = {
        f"owner.{key}": values.owner(f"owner.{key}", each["owner"]) for key, each in secrets.items() if "owner" in each
    }
    if len(set(said.values())) > 1:
        raise Refused(f"{' and '.join(PREFIX + name for name in said)} differ: all files of a pod have one owner")
    return next(iter(said.values()), None)


def _check_references(wished: tuple[SecretWish, ...]) -> None:
    sources = [each.key for each in wished if each.source is not None]
    bundled = {part for each in wished for part in each.content.bundle}
    for each in wished:
        for part in each.content.bundle:
            if part not in sources:
                near = nearest(part, sources)
                raise Refused(f"{PREFIX}bundle.{each.key}: no secret has the key {part!r}" + _meant(near))
        used = each.key in bundled or any(other.content.template for other in wished)
        if not each.path and not each.variable and not used:
            raise Refused(f"{PREFIX}path.{each.key}: none, and nothing else uses it: give it a path or a variable")


def _meant(near: str) -> str:
    return f"; did you mean {near}?" if near else ""


def _check_changes(wished: tuple[SecretWish, ...]) -> None:
    refreshed = any(each.source is not None and each.source.refresh_seconds for each in wished)
    for each in wished:
        word = "signal" if each.signal else "command" if each.command else ""
        if word and not refreshed:
            raise Refused(f"{PREFIX}{word}.{each.key} waits for a change, and without {PREFIX}refresh there is none")
        if word and not each.path and not each.variable:
            raise Refused(f"{PREFIX}{word}.{each.key}: {each.key} is delivered nowhere: give it a path or a variable")
