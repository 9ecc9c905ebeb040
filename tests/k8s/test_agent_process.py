"""The agent as it runs in a pod, on a real server: what it delivers, what it refuses to, and how it goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from k8s.delivery import Credential, Format
from tests.acceptance.server import free_port
from tests.kit.certificates import authority
from tests.kit.clusters import AUDIENCE, pod_issuer
from tests.kit.k8s_agent import Pod, Vault
from tests.kit.kms_plugin import private
from tests.kit.tokens import CLUSTER, jwk, rsa_key

CANARY = b"canary-5b1f9e"
MakePod = Callable[..., Pod]


def test_files_and_variables_are_as_they_were_asked_for(pod: Pod, vault: Vault) -> None:
    root = authority("Agent")
    vault.keep("all-db", b'{"user": "app", "password": "pa$$ \'word\'"}')
    vault.keep("all-tls", root.der, "CERTIFICATE")
    pod.secret("db", "all-db")
    pod.secret("password", "all-db", property="password")
    pod.secret("tls", "all-tls")
    pod.file("db", mode=0o400)
    pod.file("tls.crt", volume=1, mode=0o644, secret="tls")
    pod.file("db.env", secret="db", form=Format.ENV)
    pod.file("url", template='postgres://{{ secrets["db"].json.user }}:{{ secrets["password"].text }}@db')
    pod.variable("PGPASSWORD", secret="password")
    pod.variable("DB", container="other", secret="db", form=Format.BASE64)
    launcher = pod.root / "launcher"
    launcher.write_bytes(b"\x7fELF")
    pod.launcher, pod.environment["KEYSTEAD_AGENT_LAUNCHER"] = True, str(launcher)
    pod.fetched()
    assert json.loads(pod.read("db")) == {"user": "app", "password": "pa$$ 'word'"}
    assert pod.read("db.env") == b"""user=app\npassword='pa$$ '"'"'word'"'"''\n"""
    assert pod.read("url") == b"postgres://app:pa$$ 'word'@db"
    assert x509.load_pem_x509_certificate(pod.read("tls.crt", 1)) == x509.load_der_x509_certificate(root.der)
    assert pod.variables_of() == {"PGPASSWORD": "pa$$ 'word'"}
    assert pod.variables_of("other").keys() == {"DB"}
    modes = [(pod.volume(volume) / name).stat().st_mode & 0o7777 for volume, name in ((0, "db"), (1, "tls.crt"))]
    assert modes == [0o400, 0o644]
    installed = pod.root / "keystead/bin/keystead-launch"
    assert (installed.read_bytes(), installed.stat().st_mode & 0o7777) == (b"\x7fELF", 0o555)


KEYS: dict[str, dict[str, Any]] = {
    "RSA": {"key_size": 2048},
    "EC": {"elliptic_curve": "NistP256"},
    "DSA": {"dsa": {"subgroup_size": 256}, "key_size": 2048},
    "MLDSA": {"mldsa": {"param_set": "MlDsa65"}},
    "AES": {"key_size": 256},
    "HMAC": {"key_size": 256},
    "SECRET": {},
    "OPAQUE": {},
    "CERTIFICATE": {},
}


def test_every_kind_of_object_comes_in_every_format_or_with_a_sentence(pod_of: MakePod, vault: Vault) -> None:
    """A required one that cannot be written so stops the pod; here all are optional, and what can be written is."""
    pod, made = pod_of(), {}
    for kind, settings in KEYS.items():
        name = f"sweep-{kind.lower()}"
        if kind in ("SECRET", "OPAQUE"):
            made[kind] = vault.keep(name, CANARY, kind)
        elif kind == "CERTIFICATE":
            made[kind] = vault.keep(name, authority("Sweep").der, kind)
        else:
            made[kind] = vault.make(name, kind, **settings)
        pod.secret(kind.lower(), name, required=False)
        for form in Format:
            pod.file(f"{kind}.{form}", secret=kind.lower(), form=form, volume=2)
    done = pod.fetch()
    assert done.returncode == 0, done.stderr
    there = {path.name for path in pod.volume(2).iterdir() if not path.name.startswith("..")}
    left_out = {f"{kind}.{form}" for kind in KEYS for form in Format} - there
    assert {name for name in left_out if name.startswith(("SECRET", "OPAQUE"))} == {"SECRET.pem", "OPAQUE.pem"}
    # A symmetric key is hardly ever text; what it is not is said of each.
    assert left_out - {"SECRET.pem", "OPAQUE.pem"} == {
        f"{kind}.{form}" for kind in ("AES", "HMAC") for form in ("pem", "json", "env", "properties")
    }
    assert all(f"the file '{name}'" in done.stderr for name in left_out)
    for kind in ("RSA", "EC", "DSA", "MLDSA"):
        assert pod.read(f"{kind}.auto", 2) == pod.read(f"{kind}.pem", 2)
        assert pod.read(f"{kind}.pem", 2).startswith(b"-----BEGIN PRIVATE KEY-----\n")
        if kind != "MLDSA":
            load_pem_private_key(pod.read(f"{kind}.pem", 2), None)
    assert pod.read("AES.hex", 2) == pod.read("AES.raw", 2).hex().encode()
    assert len(pod.read("AES.raw", 2)) == 32
    assert pod.read("SECRET.env", 2) == b"SECRET=" + CANARY + b"\n"
    assert pod.read("OPAQUE.json", 2) == b'{"opaque":"' + CANARY + b'"}'
    x509.load_pem_x509_certificate(pod.read("CERTIFICATE.pem", 2))


def test_a_public_key_alone_is_one(pod: Pod, vault: Vault) -> None:
    kid = vault.make("public", "EC", elliptic_curve="NistP256")
    spki = vault.administrator("GET", f"/crypto/v1/keys/{kid}")["pub_key"]
    body = {"name": vault.named("public-only"), "group_id": vault.group, "obj_type": "EC", "value": spki}
    vault.administrator("PUT", "/crypto/v1/keys", body | {"key_ops": ["EXPORT", "VERIFY"]})
    pod.secret("key", "public-only")
    pod.file("key")
    pod.fetched()
    load_pem_public_key(pod.read("key"))


def test_versions_count_from_the_oldest_and_old_ones_may_be_deactivated(pod: Pod, vault: Vault) -> None:
    vault.keep("lineage", b"one")
    vault.rotate("lineage", b"two", deactivate=True)
    vault.rotate("lineage", b"three")
    for key, version in (("newest", 0), ("first", 1), ("second", 2), ("third", 3)):
        pod.secret(key, "lineage", version=version)
        pod.file(key)
    pod.fetched()
    assert [pod.read(key) for key in ("newest", "first", "second", "third")] == [b"three", b"one", b"two", b"three"]
    pod.secret("fourth", "lineage", version=4)
    assert "there is no version 4: the newest is 3" in pod.fetch().stderr


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda vault, kid: vault.change(kid, enabled=False), "disabled"),
        (lambda vault, kid: _revoke(vault, kid, "Superseded"), "Deactivated; rotate it"),
        (lambda vault, kid: _revoke(vault, kid, "KeyCompromise"), "Compromised"),
        (lambda vault, kid: vault.administrator("DELETE", f"/crypto/v1/keys/{kid}"), "does not exist|not found"),
        (lambda vault, kid: vault.change(kid, key_ops=["APPMANAGEABLE"]), "export"),
    ],
    ids=["disabled", "deactivated", "compromised", "deleted", "not exportable"],
)
def test_what_may_not_be_delivered_is_told_by_name_and_reason(
    pod: Pod, vault: Vault, request: pytest.FixtureRequest, how: Callable[[Vault, str], None], words: str
) -> None:
    name = f"state-{request.node.callspec.id}"
    how(vault, vault.keep(name, CANARY))
    vault.keep(f"{name}-good", CANARY)
    pod.secret("bad", name)
    pod.secret("good", f"{name}-good")
    pod.file("bad")
    pod.file("good")
    done = pod.fetch()
    assert done.returncode == 1
    assert done.stderr.startswith("keystead-agent: ") or "\nkeystead-agent: " in done.stderr
    assert re.search(f"keystead-agent: the secret 'bad' .{vault.named(name)}.: .*({words})", done.stderr), done.stderr
    assert "the secret 'bad'" in pod.termination_message
    assert not list(pod.volume().iterdir())
    assert CANARY.decode() not in done.stderr + pod.termination_message


def _revoke(vault: Vault, kid: str, code: str) -> None:
    vault.administrator("POST", f"/crypto/v1/keys/{kid}/revoke", {"code": code, "message": "test"})


def test_all_problems_are_told_at_once_and_no_value_with_them(pod: Pod, vault: Vault) -> None:
    vault.keep("many-nul", CANARY + b"\0")
    vault.keep("many-bytes", CANARY + b"\xff")
    vault.keep("many-json", b'{"a": "' + CANARY + b'"}')
    pod.secret("missing", "many-missing")
    pod.secret("gone", "many-gone")
    pod.secret("nul", "many-nul")
    pod.secret("bytes", "many-bytes")
    pod.secret("member", "many-json", property="b")
    pod.secret("json", "many-json")
    pod.variable("NUL", secret="nul")
    pod.variable("BYTES", secret="bytes")
    pod.file("pem", secret="json", form=Format.PEM)
    pod.file("template", template='{{ secrets[secrets["nul"].text] }}')
    pod.file("broken", template="{{ secrets[")
    done = pod.fetch()
    assert done.returncode == 1
    for words in ("'missing'", "'gone'", "variable NUL", "variable BYTES", "no property 'b'", "'pem'", "'broken'"):
        assert words in done.stderr, done.stderr
        assert words in pod.termination_message
    assert CANARY.decode() not in done.stderr + pod.termination_message


def test_what_is_optional_and_missing_is_left_out(pod: Pod, vault: Vault) -> None:
    vault.keep("optional-there", b"there")
    pod.secret("there", "optional-there")
    pod.secret("missing", "optional-missing", required=False)
    pod.file("there")
    pod.file("missing")
    pod.variable("MISSING", secret="missing")
    pod.file("either", template='{{ secrets["missing"].text if "missing" in secrets else "without" }}')
    done = pod.fetch()
    assert done.returncode == 0, done.stderr
    assert "optional secret left out" in done.stderr
    assert (pod.read("there"), pod.read("either")) == (b"there", b"without")
    assert not (pod.volume() / "missing").exists()
    assert pod.variables_of() == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"server":{"addresses":[]},"credential":{},"secrets":{}}'])
def test_a_delivery_that_is_none_is_one_sentence(pod: Pod, text: str) -> None:
    done = pod.fetch(text)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("keystead-agent: KEYSTEAD_DELIVERY")


def test_a_credential_that_is_not_taken_is_told_once(pod: Pod, vault: Vault) -> None:
    private(pod.root / "keystead/api-key/api-key", "bm90OmF0YWxs")
    for key in ("a", "b"):
        pod.secret(key)
        pod.file(key)
    done = pod.fetch()
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("keystead-agent: "))
    assert "no login" in line
    assert "bm90OmF0YWxs" not in done.stderr


def test_patience_ends_with_a_sentence(pod_of: MakePod) -> None:
    pod = pod_of(address=f"https://127.0.0.1:{free_port()}")
    pod.secret("a")
    pod.file("a")
    pod.environment["KEYSTEAD_AGENT_PATIENCE"] = "1"
    done = pod.fetch()
    assert done.returncode == 1
    assert "keystead-agent: No server answered" in done.stderr
    assert "No server answered" in pod.termination_message


# -- the pod's own token -------------------------------------------------------------------------------------------


def test_a_pods_own_token_is_enough_and_another_pods_is_not(pod: Pod, vault: Vault) -> None:
    jwks = {"keys": [jwk(rsa_key(), kid="key-1")]}
    body = {"name": vault.named("cluster"), "issuer": CLUSTER, "audience": AUDIENCE, "jwks": jwks}
    cluster = vault.administrator("POST", "/sys/v1/kubernetes/clusters", body)["cluster_id"]
    binding = {"namespace": "shop", "service_account": "payments", "app_id": vault.app}
    vault.administrator("POST", f"/sys/v1/kubernetes/clusters/{cluster}/bindings", binding)
    (pod.root / "keystead/api-key/api-key").unlink()
    vault.keep("by-token", b"value")
    pod.credential = Credential(cluster=UUID(cluster))
    pod.secret("by-token")
    pod.file("by-token")
    token = private(pod.root / "keystead/token/token", pod_issuer("shop", "payments").token())
    pod.fetched()
    assert pod.read("by-token") == b"value"
    other = pod_issuer("elsewhere", "payments").token()
    private(token, other)
    done = pod.fetch()
    assert done.returncode == 1
    assert "keystead-agent: no login: " in done.stderr
    assert other not in done.stderr
