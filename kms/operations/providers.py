"""Identity providers of an account: create, list, get, change, delete, try out. Their secrets are sealed by the token.

What a kind's settings mean is accounts.sso's to know. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from accounts.models import IdentityProvider, Session
from accounts.sso.kind import Config, ProviderFailed, SettingInvalid
from accounts.sso.kinds import kind_of, known_kinds
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.operations.authority import resolve_on_account
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import Conflict, NotFound, ProviderUnavailable
from kms.operations.named_secrets import NamedSecrets, Secrets
from policies.decision import Target
from policies.permissions import Permission

MAX_PROVIDERS = 32
MAX_NAME, MAX_ICON = 256, 2048

_secrets = NamedSecrets("provider")


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """All that somebody may set. Secrets that are not given stay as they are."""

    name: str
    icon_url: str
    config: Mapping[str, Any]
    secrets: Secrets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreateProvider(Command):
    kind: str
    name: str
    config: Mapping[str, Any]
    secrets: Secrets = field(default_factory=dict)
    icon_url: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ListProviders(Command):
    """Every provider of the account, the oldest first."""


@dataclass(frozen=True, slots=True)
class GetProvider(Command):
    provider: UUID


@dataclass(frozen=True, slots=True)
class UpdateProvider(Command):
    """Change what is not None. ``config`` replaces all settings; secrets that are not given stay."""

    provider: UUID
    name: str | None = None
    icon_url: str | None = None
    enabled: bool | None = None
    config: Mapping[str, Any] | None = None
    secrets: Secrets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeleteProvider(Command):
    """Whom it vouched for is forgotten; the users stay."""

    provider: UUID


@dataclass(frozen=True, slots=True)
class TryProvider(Command):
    """Ask the provider whether the settings work."""

    provider: UUID


@dataclass(frozen=True, slots=True)
class TrySettings(Command):
    """Ask a provider whether settings work, without keeping them.

    ``provider`` is the one that they are to replace those of: its secrets count where none are given.
    """

    kind: str
    config: Mapping[str, Any]
    secrets: Secrets = field(default_factory=dict, repr=False)
    provider: UUID | None = None


# -- handlers ------------------------------------------------------------------------------------------------------


def create_provider(call: Call, command: CreateProvider, _payload: None) -> IdentityProvider:
    if command.kind not in known_kinds():
        raise ParameterInvalid(f"kind is one of {', '.join(known_kinds())}")
    settings = ProviderSettings(command.name, command.icon_url, command.config, command.secrets)
    row = add(call, command.kind, settings, enabled=command.enabled)
    call.touched.insert(0, provider_target(row))
    return row


def add(call: Call, kind: str, settings: ProviderSettings, *, enabled: bool = True) -> IdentityProvider:
    if IdentityProvider.objects.filter(account_id=call.account).count() >= MAX_PROVIDERS:
        raise Conflict("too-many-providers", f"An account has at most {MAX_PROVIDERS} identity providers")
    row = IdentityProvider(id=uuid4(), account_id=call.account, kind=kind, enabled=enabled)
    row.name, row.icon_url = _name(settings.name), _icon(settings.icon_url)
    row.config = parsed(kind, settings.config, settings.secrets)
    _secrets.seal(row, settings.secrets)
    row.save(force_insert=True)
    return row


def list_providers(call: Call, _command: ListProviders, _payload: None) -> list[IdentityProvider]:
    rows = list(IdentityProvider.objects.filter(account_id=call.account).order_by("created_at", "id"))
    call.details["returned"] = len(rows)
    return rows


def get_provider(_call: Call, _command: GetProvider, row: IdentityProvider) -> IdentityProvider:
    return row


def update_provider(call: Call, command: UpdateProvider, row: IdentityProvider) -> IdentityProvider:
    call.details.update(name=command.name or row.name, enabled=command.enabled)
    before = row.enabled, row.config, row.secret_version
    if command.name is not None:
        row.name = _name(command.name)
    if command.icon_url is not None:
        row.icon_url = _icon(command.icon_url)
    if command.enabled is not None:
        row.enabled = command.enabled
    if command.config is not None or command.secrets:
        _reconfigure(row, command.config, command.secrets)
    _save_changed(call, row, before)
    return row


def change(call: Call, row: IdentityProvider, settings: ProviderSettings) -> None:
    """All of a provider's settings, which is then on."""
    before = row.enabled, row.config, row.secret_version
    row.name, row.icon_url, row.enabled = _name(settings.name), _icon(settings.icon_url), True
    _reconfigure(row, settings.config, settings.secrets)
    _save_changed(call, row, before)


def turn_off(call: Call, row: IdentityProvider) -> None:
    before = row.enabled, row.config, row.secret_version
    row.enabled = False
    _save_changed(call, row, before)


def _save_changed(call: Call, row: IdentityProvider, before: tuple[bool, Config, int]) -> None:
    """Who came in by what the provider said before the change comes in again by what it says after."""
    row.save()
    if (row.enabled, row.config, row.secret_version) != before:
        Session.objects.filter(provider=row, terminated_at__isnull=True).update(terminated_at=call.now)


def delete_provider(call: Call, _command: DeleteProvider, row: IdentityProvider) -> None:
    call.details["name"] = row.name
    row.delete()


def try_provider(_call: Call, _command: TryProvider, row: IdentityProvider) -> None:
    _try(row.kind, row.config, opened_secrets(row))


def try_settings(_call: Call, command: TrySettings, row: IdentityProvider | None) -> None:
    if command.kind not in known_kinds():
        raise ParameterInvalid(f"kind is one of {', '.join(known_kinds())}")
    kept = {} if row is None or row.kind != command.kind else _secrets.opened(row)
    secrets = {**kept, **command.secrets}
    config = parsed(command.kind, command.config, secrets)
    goes_to = kind_of(command.kind).secrets_go_to
    if kept and row is not None and goes_to(config) != goes_to(row.config):
        secrets = dict(command.secrets)
        config = parsed(command.kind, command.config, secrets)
    _try(command.kind, config, {name: secret.reveal() for name, secret in secrets.items()})


def _try(kind: str, config: Config, secrets: Mapping[str, bytes]) -> None:
    """One answer for every way in which it does not work: the test must not tell what listens where."""
    try:
        kind_of(kind).probe(config, secrets)
    except SettingInvalid as error:
        raise ParameterInvalid(str(error)) from error
    except ProviderFailed as error:
        raise ProviderUnavailable from error


# -- settings and secrets ------------------------------------------------------------------------------------------


def parsed(kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Config:
    """The canonical settings, or ParameterInvalid."""
    known = kind_of(kind)
    unknown = sorted(secrets.keys() - known.secrets)
    if unknown:
        raise ParameterInvalid(f"a provider of this kind has no such secret: {', '.join(unknown)}"[:200])
    try:
        return known.parse(config, frozenset(secrets))
    except SettingInvalid as error:
        raise ParameterInvalid(str(error)) from error


def opened_secrets(row: IdentityProvider) -> dict[str, bytes]:
    """A provider's secrets by name, for the moment in which they are used. Below us nobody knows their wrapper."""
    return {name: secret.reveal() for name, secret in _secrets.opened(row).items()}


def _reconfigure(row: IdentityProvider, config: Mapping[str, Any] | None, given: Secrets) -> None:
    """A secret goes to the addresses that it was given for. Elsewhere it would be handed to whoever changed them."""
    kept = _secrets.opened(row)
    wanted = row.config if config is None else config
    parsed_config = parsed(row.kind, wanted, {**kept, **given})
    known = kind_of(row.kind)
    if config is not None and known.secrets_go_to(parsed_config) != known.secrets_go_to(row.config):
        kept = {}
        parsed_config = parsed(row.kind, wanted, given)
    if config is not None:
        row.config = parsed_config
    if given or (row.secret_sealed is not None and not kept):
        _secrets.seal(row, {**kept, **given})


def _name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise ParameterInvalid(f"a provider's name is a printable text of 1 to {MAX_NAME} characters")
    return name


def _icon(url: str) -> str:
    """Shown by browsers, never called by the server."""
    if url and not (url.startswith("https://") and url.isprintable() and " " not in url and len(url) <= MAX_ICON):
        raise ParameterInvalid("a provider's icon is at an https:// address, or none")
    return url


# -- resolution ----------------------------------------------------------------------------------------------------


def provider_target(row: IdentityProvider) -> Target:
    return Target("provider", row.id, row.account_id, (), Permission.AUTHENTICATION_MANAGE)


def find_provider(call: Call, provider: UUID, *, lock: bool = False) -> IdentityProvider:
    rows = IdentityProvider.objects.select_for_update() if lock else IdentityProvider.objects.all()
    row = rows.filter(id=provider, account_id=call.account).first()
    if row is None:
        raise NotFound("The identity provider does not exist")
    return row


def _resolve(*, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        row = find_provider(call, command.provider, lock=lock)
        return (Resolved(Permission.AUTHENTICATION_MANAGE, provider_target(row), row),)

    return resolve


def _resolve_trial(call: Call, command: TrySettings) -> Sequence[Resolved]:
    if command.provider is None:
        target = Target("account", call.account, call.account)
        return (Resolved(Permission.AUTHENTICATION_MANAGE, target, None),)
    row = find_provider(call, command.provider)
    return (Resolved(Permission.AUTHENTICATION_MANAGE, provider_target(row), row),)


def _describe(command: CreateProvider) -> Mapping[str, Detail]:
    return {"name": command.name, "kind": command.kind, "enabled": command.enabled}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        CreateProvider,
        "provider.create",
        resolve_on_account(Permission.AUTHENTICATION_MANAGE),
        create_provider,
        describe=_describe,
    ),
    _operation(ListProviders, "provider.list", resolve_on_account(Permission.AUTHENTICATION_MANAGE), list_providers),
    _operation(GetProvider, "provider.get", _resolve(), get_provider),
    _operation(UpdateProvider, "provider.update", _resolve(lock=True), update_provider),
    _operation(DeleteProvider, "provider.delete", _resolve(lock=True), delete_provider, irreversible=True),
    _operation(TryProvider, "provider.test", _resolve(), try_provider),
    _operation(TrySettings, "provider.test-settings", _resolve_trial, try_settings),
)
