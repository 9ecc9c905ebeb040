"""Each way of proving who the plugin is, on a real server: how it begins, how it ends, and how it goes on."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.acceptance.server import RunningServer
from tests.kit.certificates import Identity, authority, leaf
from tests.kit.kms_plugin import KmsPlace, RunningPlugin, Stub, private
from tests.kit.tokens import CLUSTER, Issuer, rsa_key, spki

Make = Callable[..., RunningPlugin]
ACCOUNT = "system:serviceaccount:kube-system:kms"
AUDIENCE = "https://kms.example"
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED


def replace_credential(place: KmsPlace, credential: dict[str, Any]) -> None:
    place.administrator("PATCH", f"/sys/v1/apps/{place.app}", {"credential": credential})


def outcome(stub: Stub) -> grpc.StatusCode:
    try:
        stub.status()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def wait_for(stub: Stub, code: grpc.StatusCode, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while outcome(stub) is not code:
        assert time.monotonic() < deadline, f"it never became {code}"
        time.sleep(0.5)


# -- API key -------------------------------------------------------------------------------------------------------


def test_a_new_api_key_is_taken_up_without_a_restart(plugin: RunningPlugin, place: KmsPlace) -> None:
    with Stub(plugin.socket) as stub:
        assert stub.status().healthz == "ok"
        new = place.new_api_key()
        assert outcome(stub) is UNKNOWN
        private(plugin.api_key, new)
        assert stub.status().healthz == "ok"


def test_an_app_that_was_disabled_is_refused_and_comes_back(plugin: RunningPlugin, place: KmsPlace) -> None:
    with Stub(plugin.socket) as stub:
        assert stub.status().healthz == "ok"
        place.administrator("PATCH", f"/sys/v1/apps/{place.app}", {"enabled": False})
        assert outcome(stub) is grpc.StatusCode.PERMISSION_DENIED
        place.administrator("PATCH", f"/sys/v1/apps/{place.app}", {"enabled": True})
        assert stub.status().healthz == "ok"


# -- service account -----------------------------------------------------------------------------------------------


@pytest.fixture
def issuer(place: KmsPlace) -> Issuer:
    """A cluster whose tokens the app takes, of one service account."""
    keys = {"kind": "stored", "keys": {"key-1": base64.b64encode(spki(rsa_key())).decode()}}
    trust = {"valid_issuers": [CLUSTER], "signing_keys": keys, "audiences": [AUDIENCE], "subjects": [ACCOUNT]}
    replace_credential(place, {"signedjwt": trust})
    return Issuer(ACCOUNT, AUDIENCE)


def with_token(plugin_of: Make, short: Path, place: KmsPlace, token: str) -> tuple[RunningPlugin, Path]:
    path = private(short / "token", token)
    return plugin_of(credential=f'token_file = "{path}"\napp = "{place.app}"').start(), path


def test_a_service_accounts_token_is_enough(plugin_of: Make, short: Path, place: KmsPlace, issuer: Issuer) -> None:
    plugin, _ = with_token(plugin_of, short, place, issuer.token())
    with Stub(plugin.socket) as stub:
        sealed = stub.encrypt(b"seed")
        assert stub.decrypt(sealed.ciphertext, sealed.key_id) == b"seed"


def test_an_expired_token_is_refused_until_the_kubelet_brings_the_next(
    plugin_of: Make, short: Path, place: KmsPlace, issuer: Issuer
) -> None:
    long_ago = int(time.time()) - 7200
    expired = issuer.token(iat=long_ago, nbf=long_ago, exp=long_ago + 600)
    plugin, path = with_token(plugin_of, short, place, expired)
    with Stub(plugin.socket) as stub:
        assert outcome(stub) is UNKNOWN
        private(path, issuer.token())
        assert stub.status().healthz == "ok"


def test_a_session_ends_with_the_token_that_opened_it(
    plugin_of: Make, short: Path, place: KmsPlace, issuer: Issuer
) -> None:
    plugin, path = with_token(plugin_of, short, place, issuer.token(exp=int(time.time()) + 10))
    with Stub(plugin.socket) as stub:
        assert stub.status().healthz == "ok"
        wait_for(stub, UNKNOWN, 90)  # a session lives no longer than what was shown for it
        private(path, issuer.token())
        assert stub.status().healthz == "ok"


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_token_of_an_issuer_whose_clock_is_far_off_is_refused(
    plugin_of: Make, short: Path, place: KmsPlace, issuer: Issuer, hours: int
) -> None:
    there = int(time.time()) + hours * 3600
    plugin, _ = with_token(plugin_of, short, place, issuer.token(iat=there, nbf=there, exp=there + 600))
    with Stub(plugin.socket) as stub:
        assert outcome(stub) is UNKNOWN


# -- client certificate --------------------------------------------------------------------------------------------


def certified(plugin_of: Make, short: Path, place: KmsPlace, identity: Identity) -> RunningPlugin:
    write_identity(short, identity)
    named = f'certificate_file = "{short}/client.pem"\nkey_file = "{short}/client.key"\napp = "{place.app}"'
    return plugin_of(credential=named).start()


def write_identity(folder: Path, identity: Identity) -> None:
    private(folder / "client.key", identity.key_pem.decode())
    private(folder / "client.pem", b"".join(each.pem for each in identity.chain).decode())


def test_a_client_certificate_and_its_successor_are_enough(plugin_of: Make, short: Path, place: KmsPlace) -> None:
    root = authority(f"Root of {place.name}")
    first, second = leaf(place.name, root), leaf(place.name, root)
    trusted = {
        "ca_certificates": [base64.b64encode(root.der).decode()],
        "subject": [["CN", place.name]],
        "check_revocation": False,
    }
    replace_credential(place, {"trustedca": trusted})
    plugin = certified(plugin_of, short, place, first)
    with Stub(plugin.socket) as stub:
        wait_for(stub, grpc.StatusCode.OK, 20)  # workers hear of a new authority in a moment, or look within 5 seconds
        write_identity(short, second)  # cert-manager does this every few weeks
        assert stub.status().healthz == "ok"
        assert sum(line["event"] == "logged in" for line in plugin.lines) == 2


# -- several servers -----------------------------------------------------------------------------------------------


def test_the_plugin_goes_on_with_the_server_that_is_there(
    plugin_of: Make, place: KmsPlace, server: RunningServer
) -> None:
    """The other one is a port on which nobody listens."""
    plugin = plugin_of(addresses=["https://127.0.0.1:9", server.url]).start()
    with Stub(plugin.socket) as stub:
        assert stub.status().key_id == place.key
        assert any(line["event"] == "server failed" for line in plugin.lines)
