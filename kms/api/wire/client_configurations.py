"""``client_configurations`` on the wire: of accounts, groups and apps, and what holds for the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, field

from kms.api.wire.base import Endpoint, Request, WireError
from kms.api.wire.names import operations_of
from kms.operations.client_configurations import ClientChange, GetClientConfigurations

Number = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Text = Annotated[str, Meta(max_length=4096)]
Kind = Annotated[str, Meta(pattern="^[A-Z0-9]{1,16}$")]
Remove = Literal["remove"]


class Settings(Request, omit_defaults=True):
    """What is not given is not kept."""


class FileLogging(Settings):
    mode: Literal["enabled", "disabled"]
    path: Text | None = None
    file_size_kb: Number | None = None
    max_files: Number | None = None


class LogConfig(Settings):
    system: bool | None = None
    file: FileLogging | None = None
    level: Text | None = None


class ApprovalWait(Settings):
    enabled: bool
    max_wait_for_secs: Number | None = None
    poll_interval_secs: Number | None = None


class QuorumApproval(Settings):
    wait_for_quorum_approval: ApprovalWait | None = None


class CommonConfig(Settings):
    retry_timeout_millis: Number | None = None
    cache_ttl: Number | None = None
    log: LogConfig | None = None
    h2_num_connections: Number | None = None
    quorum_approval: QuorumApproval | None = None


class Pkcs11Config(Settings):
    fake_rsa_x9_31_keygen_support: bool | None = None
    signing_aes_key_as_hmac: bool | None = None
    exact_key_ops: bool | None = None
    prevent_duplicate_opaque_objects: bool | None = None
    opaque_objects_are_not_certificates: bool | None = None
    max_concurrent_requests_per_slot: Number | None = None


class KindFilter(Settings):
    kind: Literal["All", "Selection"] = field(name="$type")
    selection: list[Kind] | None = None


class OperationsOverride(Settings):
    add_key_ops: list[str] | None = None


class KmipConfig(Settings):
    ignore_unknown_key_ops_for_secrets: bool | None = None
    ignore_unknown_key_ops_for: KindFilter | None = None
    key_ops_override: OperationsOverride | None = None


class ProxySchema(Settings):
    kind: Literal["OpenAPI"] = field(name="$type")
    openapi: str


class ProxyPath(Settings):
    api_path: Text
    method: Text
    context: Literal["request", "response"]
    key_path: Text


class ProxyKey(Settings):
    path: ProxyPath
    kid: UUID
    mode: Literal["ECB", "CBC", "CBCNOPAD", "CFB", "OFB", "CTR", "GCM", "CCM", "KW", "KWP", "FF1"]


class ProxyConfig(Settings):
    schema: ProxySchema
    key_map: Annotated[list[ProxyKey], Meta(max_length=1000)]


class ClientConfigurations(Request):
    """Of each program: its settings in place of those that were kept, or that none are kept any more."""

    common: CommonConfig | Remove | None = None
    pkcs11: Pkcs11Config | Remove | None = None
    kmip: KmipConfig | Remove | None = None
    tep: ProxyConfig | Remove | None = None


def client_change(body: ClientConfigurations | None) -> ClientChange | None:
    """None leaves all as it is."""
    if body is None:
        return None
    _check(body)
    given = {program: getattr(body, program) for program in body.__struct_fields__}
    change = {program: _kept(settings) for program, settings in given.items() if settings is not None}
    return change or None


def _kept(settings: Settings | Remove) -> Mapping[str, Any] | None:
    if settings == "remove":
        return None
    found: Mapping[str, Any] = msgspec.to_builtins(settings)
    return found


def _check(body: ClientConfigurations) -> None:
    if isinstance(body.common, CommonConfig) and body.common.log is not None and body.common.log.file is not None:
        file = body.common.log.file
        if file.mode == "disabled" and file != FileLogging(mode="disabled"):
            raise WireError("Invalid request: a log file that is disabled has no path, size or number")
    if isinstance(body.kmip, KmipConfig):
        _check_kmip(body.kmip)


def _check_kmip(kmip: KmipConfig) -> None:
    kinds = kmip.ignore_unknown_key_ops_for
    if kinds is not None and (kinds.kind == "Selection") != (kinds.selection is not None):
        raise WireError("Invalid request: ignore_unknown_key_ops_for is All, or Selection with a selection")
    if kmip.key_ops_override is not None:
        operations_of(kmip.key_ops_override.add_key_ops)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GetClientConfigs",
        "GET",
        "/sys/v1/apps/client_configs",
        lambda _call: GetClientConfigurations(),
        lambda settings: settings,
    ),
)
