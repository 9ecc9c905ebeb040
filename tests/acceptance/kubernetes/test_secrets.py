"""What kubectl stores, etcd holds and the API server gives back, with the plugin between."""

from __future__ import annotations

import base64
import secrets

from tests.acceptance.kubernetes.cluster import SECRETS
from tests.acceptance.kubernetes.conftest import ControlPlane


def test_a_secret_of_kubectls_is_unreadable_in_etcd_and_readable_through_the_api(plane: ControlPlane) -> None:
    api, _ = plane.encrypted(plane.place())
    value = secrets.token_hex(24)
    api.kubectl("create", "secret", "generic", "db", f"--from-literal=password={value}")
    shown = api.kubectl("get", "secret", "db", "-o", "jsonpath={.data.password}")
    assert base64.b64decode(shown).decode() == value
    raw = plane.etcd.raw()[f"{SECRETS}default/db"]
    assert raw.startswith(b"k8s:enc:kms:v2:keystead:")
    assert value.encode() not in raw
    assert base64.b64encode(value.encode()) not in raw
