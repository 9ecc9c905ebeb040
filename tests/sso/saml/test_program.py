"""xmlsec1 as a process: missing, slow, busy, and what it leaves behind."""

from __future__ import annotations

import base64
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from accounts.clock import clock
from accounts.principal import ANONYMOUS
from accounts.sso import xml_signature
from accounts.sso.saml_response import received, stated
from kms.crypto.errors import ParameterInvalid
from kms.operations.errors import InvalidRequest, TooManyAttempts
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider
from kms.operations.saml import begin, consumer_url, entity_id
from kms.operations.sessions import LogIn
from kms.operations.sign_on.by_saml import SamlCredential
from tests.kit.tenants import Tenant, unique
from tests.sso.saml.forge import Sample, key_of, metadata
from tests.sso.saml.judging import NO_NAMES, expected, good, refusal


@pytest.fixture
def credential(tenant: Tenant) -> SamlCredential:
    """A response that is good for a login."""
    tenant.member("member")
    row = execute(tenant.alice, CreateProvider("saml", "Directory", {"metadata": metadata(key_of("rsa"))}))
    now = clock.now()
    request = begin(row, now)
    sample = Sample(request.id, entity_id(), consumer_url(), now, identifier=f"_{unique('a')}")
    return SamlCredential(sample.with_(name=tenant.users["member"].email).encoded(), request.id)


def pretend(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program of that name."""
    program = folder / "xmlsec1"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name: str(program))


def test_the_credential_is_good(credential: SamlCredential) -> None:
    assert execute(ANONYMOUS, LogIn(credential)).token


def test_a_missing_program_is_said_where_a_provider_is_set_up_and_where_one_logs_in(
    tenant: Tenant, credential: SamlCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InvalidRequest, match=r"SAML sign-on needs xmlsec1 \(apt-get install xmlsec1\)"):
        execute(ANONYMOUS, LogIn(credential))
    with pytest.raises(ParameterInvalid, match="needs xmlsec1"):
        execute(tenant.alice, CreateProvider("saml", "Another", {"metadata": metadata(key_of("rsa"))}))


def test_a_slow_program_is_ended_and_believes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 30", monkeypatch)
    monkeypatch.setattr(xml_signature, "SECONDS", 0.5)
    began = time.monotonic()
    assert refusal(good().xml()) == "saml-signature"
    assert time.monotonic() - began < 5
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


@pytest.mark.parametrize(
    "script",
    [
        "exit 0",
        "echo OK >&2; exit 0",
        "cat; exit 0",
        "printf '== PreDigest data - start buffer:\\n<x/>'; exit 0",
        "printf '== PreDigest data - start buffer:\\n<x/>\\n== PreDigest data - end buffer\\n'; exit 0",
        "exit 1",
    ],
)
def test_a_program_that_says_yes_and_shows_nothing_signed_is_not_believed(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, script, monkeypatch)
    assert refusal(good().xml()) == "saml-signature"


def test_only_so_many_run_at_once(credential: SamlCredential, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_signature, "SECONDS", 0.1)
    for _ in range(xml_signature.MOST_AT_ONCE):
        assert xml_signature._places.acquire(blocking=False)
    try:
        with pytest.raises(TooManyAttempts):
            execute(ANONYMOUS, LogIn(credential))
    finally:
        for _ in range(xml_signature.MOST_AT_ONCE):
            xml_signature._places.release()
    monkeypatch.undo()
    assert execute(ANONYMOUS, LogIn(credential)).token


def test_the_response_is_never_in_a_file_and_the_key_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's mode holds whatever the umask is; the response comes by a pipe."""
    real, files = shutil.which("xmlsec1"), tmp_path / "files"
    files.mkdir()
    pretend(tmp_path, f'cp -p {files}/* {tmp_path}/; exec {real} "$@"', monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(files))
    before = os.umask(0)
    try:
        assert stated(received(good().encoded()), expected(), NO_NAMES).email
    finally:
        os.umask(before)
    assert list(files.iterdir()) == []
    (seen,) = tmp_path.glob("keystead-*")
    assert seen.read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")
    assert stat.S_IMODE(seen.stat().st_mode) == 0o600


def test_the_environment_does_not_reach_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the operator's settings, among them a database's address with its password."""
    pretend(tmp_path, f"env > {tmp_path}/environment; exit 1", monkeypatch)
    monkeypatch.setenv("DATABASE_URL", "postgres://canary")
    assert refusal(good().xml()) == "saml-signature"
    assert "canary" not in (tmp_path / "environment").read_text()


def test_a_response_of_the_largest_size_takes_no_longer_than_a_login_may() -> None:
    """Nested and with a namespace at every step: what makes canonical forms dear."""
    padding = "".join(f'<a{n} xmlns:n{n}="urn:{n}">' for n in range(30))
    padding += "".join(f'<b xmlns:m{n}="urn:{"x" * 20}{n}" m{n}:c="1"/>' for n in range(2700))
    padding += "".join(f"</a{n}>" for n in reversed(range(30)))
    sample = good(attributes={"x": ["PADDING"]}, before=(lambda text: text.replace("PADDING", padding),))
    text = sample.xml()
    assert len(base64.b64encode(text.encode())) > 200_000
    began = time.monotonic()
    assert stated(received(base64.b64encode(text.encode()).decode()), expected(), NO_NAMES).email
    assert time.monotonic() - began < 2


# -- on the wire ---------------------------------------------------------------------------------------------------


def test_the_wire_tells_nothing_of_why(credential: SamlCredential, client: httpx.Client) -> None:
    body = {"method": "saml-response", "response": credential.response, "id": credential.request}
    broken: list[Any] = ["PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==", "<script>", "A" * 60_000, good().encoded()]
    answers = [client.post("/sys/v1/session/auth", json={**body, "response": response}) for response in broken]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, b"Invalid credentials")}
    assert client.post("/sys/v1/session/auth", json=body).status_code == 200


@pytest.mark.parametrize("response", [None, "", 7, ["x"], {"x": 1}])
@pytest.mark.parametrize("request_id", [None, 7, ["x"]])
def test_fields_of_another_shape_are_refused_by_name(response: Any, request_id: Any, client: httpx.Client) -> None:
    body = {"method": "saml-response", "response": response, "id": request_id}
    answer = client.post("/sys/v1/session/auth", json=body)
    assert answer.status_code == 400
    assert answer.text.startswith("Invalid request: response")
