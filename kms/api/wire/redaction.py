"""What of a kept body those may read who did not send it: what the call is about, and no secret of it.

An allow-list of names. What is not on it stays hidden, and so does every field that somebody will add; tests/api sweeps
all request bodies. It must not know which call a body belongs to.
"""

from __future__ import annotations

from typing import Any

HIDDEN = "(hidden)"
# Each shows all that is in it. Names of what carries bytes, passwords or codes in any request are not here.
SHOWN = frozenset(
    {
        # which object, group, app, role or person
        "kid",
        "name",
        "ids",
        "group_id",
        "default_group",
        "source_id",
        "user",
        "app",
        "users",
        "apps",
        "select",
        "replaced_new_name",
        "new_name",
        "old_name",
        # what it is, or is to be
        "obj_type",
        "key_type",
        "key_size",
        "key_sizes",
        "elliptic_curve",
        "key_ops",
        "pub_exponent",
        "public_exponent",
        "minimum_key_length",
        "subgroup_size",
        "param_set",
        "description",
        "enabled",
        "transient",
        "custom_metadata",
        "activation_date",
        "deactivation_date",
        "compromise_occurance_date",
        "message",
        "kcv",
        "kcv_method",
        # how it is used
        "alg",
        "hash_alg",
        "mode",
        "tag_len",
        "iv_length",
        "key_format",
        "method",
        "deterministic_signature",
        "masked",
        # rules
        "aes",
        "des",
        "des3",
        "aria",
        "seed",
        "dsa",
        "fpe",
        "mldsa",
        "mlkem",
        "rsa",
        "allow_sign_hash",
        "export_policy",
        "rotation_policy",
        "publish_public_key",
        "key_history_policy",
        "cryptographic_policy",
        "key_metadata_policy",
        "approval_policy",
        "custodian_policy",
        "add_quorum_policy",
        "approval_request_expiry",
        "check_access_for_sensitive_operation_results",
        "log_expired_pending_requests",
        "retain_expired_requests",
        "deactivate_rotated_key",
        # who may what
        "account_role",
        "role",
        "permissions",
        "all_groups_role",
        "exclusive",
        "add_groups",
        "mod_groups",
        "del_groups",
        "user_email",
        "app_type",
        "rate_limit",
        "ip_address_policy",
        "credential_expires_at",
        "credential_migration_period",
        "secret_size",
    }
)


def redacted(body: Any) -> Any:
    """The body with every value hidden that is not under a shown name. Nothing, yes and no hide nothing."""
    if isinstance(body, dict):
        return {name: value if name in SHOWN else redacted(value) for name, value in body.items()}
    if isinstance(body, list):
        return [redacted(value) for value in body]
    return body if body is None or isinstance(body, bool) else HIDDEN
