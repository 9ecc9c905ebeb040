"""Settings of servers and credentials that make no sense are refused when they are read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from k8s.client import CredentialSettings, ServerSettings


@pytest.mark.parametrize(
    "make",
    [
        lambda: ServerSettings(addresses=()),
        lambda: ServerSettings(addresses=("http://kms.example",)),
        lambda: ServerSettings(addresses=("https://user:word@kms.example",)),
        lambda: ServerSettings(addresses=("https://kms.example/path",)),
        lambda: ServerSettings(addresses=("https://kms.example:port",)),
        lambda: ServerSettings(addresses=("https://",)),
        lambda: ServerSettings(addresses=("https://kms.example",), pins=("sha256/AAAA",)),
        lambda: ServerSettings(addresses=("https://kms.example",), pins=("A" * 44,)),
        lambda: ServerSettings(addresses=("https://kms.example",), attempt_seconds=0),
        lambda: ServerSettings(addresses=("https://kms.example",), deadline_seconds=0.5),
        lambda: CredentialSettings(),
        lambda: CredentialSettings(api_key_file="a", token_file="b"),
        lambda: CredentialSettings(api_key_file="a", app="00000000-0000-4000-8000-000000000000"),
        lambda: CredentialSettings(certificate_file="a", app="00000000-0000-4000-8000-000000000000"),
        lambda: CredentialSettings(certificate_file="a", key_file="b"),
        lambda: CredentialSettings(token_file="a", app="the app"),
        lambda: CredentialSettings(token_file="a", cluster="the cluster"),
        lambda: CredentialSettings(api_key_file="a", cluster="00000000-0000-4000-8000-000000000000"),
        lambda: ServerSettings(addresses=("https://kms.example",), ca_file="ca.pem", ca="-----BEGIN"),
        lambda: ServerSettings(addresses=("https://schlüssel.example",)),
    ],
)
def test_settings_that_make_no_sense_are_none(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"addresses|pins|seconds|credential|exactly one|together|app|cluster|ca:"):
        make()
