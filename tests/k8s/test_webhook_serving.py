"""The webhook over HTTP: what is no review is answered in a sentence, and its configuration is read as strictly."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from k8s.webhook.config import ConfigurationInvalid, injection, load
from k8s.webhook.images.image import Image
from k8s.webhook.metrics import Metrics
from k8s.webhook.serving import LARGEST_BODY, Application, telemetry
from tests.acceptance.server import CHECKOUT
from tests.kit.webhook import SETTINGS, images, keystead, pod, review

EXAMPLE = CHECKOUT / "k8s" / "deploy" / "webhook" / "webhook.toml"


def ask(method: str, path: str, content: bytes = b"", *, application: Any = None, ready: str = "") -> httpx.Response:
    served = application or Application(lambda: SETTINGS, images(), Metrics(), lambda: ready)

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="https://webhook") as client:
            return await client.request(method, path, content=content)

    return asyncio.run(asked())


def test_a_review_is_answered() -> None:
    found = ask("POST", "/mutate", review(pod(keystead(secret__db="db")))).json()
    assert found["response"]["allowed"] is True
    assert found["response"]["patchType"] == "JSONPatch"


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/mutate", b"", 400),
        ("POST", "/mutate", b"\xff\xfe", 400),
        ("POST", "/mutate", review(["no pod"]), 400),
        ("POST", "/mutate", b" " * (LARGEST_BODY + 1), 413),
        ("GET", "/mutate", b"", 405),
        ("GET", "/metrics", b"", 404),
        ("POST", "/", b"", 404),
        ("GET", "/livez", b"", 200),
        ("GET", "/readyz", b"", 200),
    ],
)
def test_the_rest_is_said_to_be_wrong(method: str, path: str, content: bytes, status: int) -> None:
    answer = ask(method, path, content)
    assert answer.status_code == status
    assert answer.text.strip()


def test_ready_is_who_has_a_certificate() -> None:
    assert ask("GET", "/readyz", ready="the certificate is not there yet").status_code == 503
    assert ask("GET", "/livez", ready="the certificate is not there yet").status_code == 200


def test_a_failure_of_ours_admits_nothing_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(reference: str, architecture: str) -> Image:
        raise LookupError("with its details")

    metrics = Metrics()
    served = Application(lambda: SETTINGS, broken, metrics, str)
    made = pod(keystead(secret__db="db", env__db="X"), {"name": "app", "image": "r.example/app"})
    answer = ask("POST", "/mutate", review(made), application=served)
    assert answer.status_code == 500
    assert "details" not in answer.text
    counted = ask("GET", "/metrics", application=telemetry(metrics, str)).text
    assert 'keystead_webhook_reviews_total{verdict="failed"} 1.0' in counted


# -- configuration ---------------------------------------------------------------------------------------------------


def test_the_example_is_a_configuration() -> None:
    found = load(EXAMPLE)
    assert found.token.seconds == 600
    with pytest.raises(ConfigurationInvalid, match=r"keystead-ca\.pem"):
        injection(found)  # the authority's file is not on this machine


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("seconds = 600", "seconds = 10", "600 to 3600"),
        ('address = "0.0.0.0:8443"', 'address = "8443"', "is not HOST:PORT"),
        ('mode = "own"', 'mode = "files"', "certificate_file and key_file are needed"),
        ('mode = "own"', 'mode = "none"', "none"),
        ('namespace = "keystead"', 'namespace = "Key/stead"', "not a Kubernetes object's name"),
        ("registries = []", "registrys = []", "registrys"),
        ('cluster = "0d6c9d6e', 'cluster = "x', "cluster"),
        ("[token]", "[tokens]", "tokens"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said(tmp_path: Path, right: str, wrong: str, sentence: str) -> None:
    text = EXAMPLE.read_text()
    assert right in text
    (tmp_path / "webhook.toml").write_text(text.replace(right, wrong))
    with pytest.raises(ConfigurationInvalid, match=sentence):
        load(tmp_path / "webhook.toml")


def test_the_program_ends_with_a_sentence_where_it_cannot_begin(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "k8s.webhook", "--check", "--config", str(tmp_path / "none.toml")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == f"webhook: {tmp_path}/none.toml: No such file or directory\n"
