"""Every operation there is, as an explicit tuple: a command without an entry here cannot be carried out."""

from __future__ import annotations

from typing import Any

from kms.operations import (
    accounts,
    agreement,
    approvals,
    apps,
    attestation,
    batches,
    copying,
    creation,
    cryptographic,
    custody,
    derivation,
    discovery,
    external_roles,
    factor_enrolment,
    groups,
    history,
    inspection,
    invitations,
    ldap,
    lifecycle,
    multipart,
    own_address,
    passwords,
    providers,
    publishing,
    queries,
    rescue,
    roles,
    rotating,
    saml,
    second_factors,
    session_lists,
    sessions,
    statistics,
    updating,
    users,
)
from kms.operations.command import Command, Operation

OPERATIONS: tuple[Operation[Any], ...] = (
    *cryptographic.OPERATIONS,
    *multipart.OPERATIONS,
    *derivation.OPERATIONS,
    *agreement.OPERATIONS,
    *inspection.OPERATIONS,
    *creation.OPERATIONS,
    *lifecycle.OPERATIONS,
    *updating.OPERATIONS,
    *history.OPERATIONS,
    *rotating.OPERATIONS,
    *copying.OPERATIONS,
    *custody.OPERATIONS,
    *attestation.OPERATIONS,
    *publishing.OPERATIONS,
    *batches.OPERATIONS,
    *queries.OPERATIONS,
    *rescue.OPERATIONS,
    *statistics.OPERATIONS,
    *groups.OPERATIONS,
    *apps.OPERATIONS,
    *users.OPERATIONS,
    *invitations.OPERATIONS,
    *passwords.OPERATIONS,
    *own_address.OPERATIONS,
    *accounts.OPERATIONS,
    *providers.OPERATIONS,
    *discovery.OPERATIONS,
    *sessions.OPERATIONS,
    *session_lists.OPERATIONS,
    *saml.OPERATIONS,
    *roles.OPERATIONS,
    *approvals.OPERATIONS,
    *external_roles.OPERATIONS,
    *ldap.OPERATIONS,
    *second_factors.OPERATIONS,
    *factor_enrolment.OPERATIONS,
)
_BY_COMMAND: dict[type[Command], Operation[Any]] = {operation.command: operation for operation in OPERATIONS}


def operation_of(command: Command) -> Operation[Any]:
    return _BY_COMMAND[type(command)]
