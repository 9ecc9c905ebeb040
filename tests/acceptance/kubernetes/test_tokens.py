"""Tokens that a real API server signs for pods open sessions; those for others, or of others, do not."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.acceptance.kubernetes.cluster import ApiServer
from tests.acceptance.kubernetes.conftest import ControlPlane
from tests.acceptance.server import Answer, RunningServer
from tests.kit.kms_plugin import KmsPlace

AUDIENCE = "https://keystead.example"
ISSUER = "https://kubernetes.default.svc"
CLUSTERS = "/sys/v1/kubernetes/clusters"
LOGIN = "/sys/v1/session/auth/kubernetes"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Two workers, which may fetch keys from this machine."""
    data = Path(tempfile.mkdtemp(prefix="keystead-tokens-"))
    running = RunningServer(data, env={"KEYSTEAD_OUTBOUND_ALLOW": "127.0.0.1/32"})
    try:
        running.start()
        yield running
        running.stop()
    finally:
        running.remove()
        shutil.rmtree(data, ignore_errors=True)


class Pods:
    """Pods of one API server, as objects that nobody runs, and tokens for them."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self.api.client() as client:
            answer = client.post(f"/api/v1/{path}", json=body)
        assert answer.status_code in (200, 201), answer.text
        made: dict[str, Any] = answer.json()
        return made

    def pod(self, namespace: str, account: str) -> dict[str, Any]:
        with self.api.client() as client:
            client.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
            client.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", json={"metadata": {"name": account}})
        container = {"name": "main", "image": "none"}
        spec = {"serviceAccountName": account, "nodeName": "node-1", "containers": [container]}
        name = f"{account}-{secrets.token_hex(4)}"
        return self.post(f"namespaces/{namespace}/pods", {"metadata": {"name": name}, "spec": spec})

    def token(self, namespace: str = "shop", account: str = "payments", **spec: Any) -> str:
        """As kubelet asks for one: bound to a pod, for ten minutes."""
        pod = self.pod(namespace, account)["metadata"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": pod["name"], "uid": pod["uid"]}
        spec = {"audiences": [AUDIENCE], "expirationSeconds": 600, "boundObjectRef": bound, **spec}
        wanted = {"spec": {name: value for name, value in spec.items() if value is not None}}
        answer = self.post(f"namespaces/{namespace}/serviceaccounts/{account}/token", wanted)
        token: str = answer["status"]["token"]
        return token


class Place(KmsPlace):
    """An app, and a cluster whose pods it takes by one binding."""

    def cluster(self, api: ApiServer, **fields: Any) -> str:
        jwks = api.get("/openid/v1/jwks").json()
        body = {"name": f"c-{secrets.token_hex(4)}", "issuer": ISSUER, "audience": AUDIENCE, "jwks": jwks, **fields}
        made: str = self.administrator("POST", CLUSTERS, body)["cluster_id"]
        return made

    def bind(self, cluster: str, namespace: str = "shop", account: str = "payments") -> str:
        body = {"namespace": namespace, "service_account": account, "app_id": self.app}
        made: str = self.administrator("POST", f"{CLUSTERS}/{cluster}/bindings", body)["binding_id"]
        return made

    def log_in(self, cluster: str, token: str) -> Answer:
        return self.server.request("POST", LOGIN, {"cluster_id": cluster}, authorization=f"Bearer {token}")

    def reason(self, cluster: str, token: str) -> str:
        """Why it is refused: the caller is told nothing of it, whoever manages the cluster is."""
        answer = self.log_in(cluster, token)
        assert (answer.status, answer.text) == (401, "Invalid credentials")
        found = self.administrator("POST", f"{CLUSTERS}/{cluster}/test", {"token": token})
        assert not found["accepted"]
        assert found["message"]
        return str(found["reason"])

    def works(self, bearer: str) -> list[int]:
        """What calls of the session are answered: many, so that each worker has some."""
        path = f"/sys/v1/apps/{self.app}"
        return [self.server.request("GET", path, authorization=bearer).status for _ in range(8)]


@contextmanager
def control_plane(binaries: Path, server: RunningServer) -> Iterator[ControlPlane]:
    folder = Path(tempfile.mkdtemp(prefix="kube-tokens-"))
    made = ControlPlane(binaries, folder, server)
    try:
        made.etcd.start()
        yield made
    finally:
        made.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def plane(binaries: Path, server: RunningServer) -> Iterator[ControlPlane]:
    """One cluster for all of these tests: none of them hurts it."""
    with control_plane(binaries, server) as made:
        yield made


@pytest.fixture(scope="module")
def pods(plane: ControlPlane) -> Pods:
    api = plane.api()
    api.start()
    return Pods(api)


@pytest.mark.timeout(200)
def test_a_pods_token_opens_a_session_and_others_do_not(pods: Pods, plane: ControlPlane, server: RunningServer) -> None:
    place = Place(server, "tokens")
    cluster = place.cluster(pods.api)
    place.bind(cluster)
    token = pods.token()
    answer = place.log_in(cluster, token)
    assert answer.status == 200, answer.text
    assert answer.json["entity_id"] == place.app
    assert 0 < answer.json["expires_in"] <= 600
    assert set(place.works(f"Bearer {answer.json['access_token']}")) == {200}
    accepted = place.administrator("POST", f"{CLUSTERS}/{cluster}/test", {"token": token})
    assert (accepted["accepted"], accepted["app_id"], accepted["pod"]["node"]) == (True, place.app, "node-1")

    for reason, other in refused(pods, plane).items():
        assert place.reason(cluster, other()) == reason
    assert server.request("GET", "/sys/v1/apps", authorization=f"Bearer {token}").status == 401


def refused(pods: Pods, plane: ControlPlane) -> dict[str, Callable[[], str]]:
    """Reason, and a token that a real API server made, or was made of one by its own key."""
    return {
        "jwt-audience": lambda: pods.token(audiences=["https://other.example"]),
        "binding-absent": lambda: pods.token("elsewhere"),
        "jwt-not-of-a-pod": lambda: pods.token(boundObjectRef=None),
        "jwt-lives-too-long": lambda: pods.token(expirationSeconds=7200),
        "jwt-expired": lambda: earlier(pods.token(), plane.keys),
    }


def earlier(token: str, keys: Path) -> str:
    """The same token as it would have been signed two hours ago: no API server signs for less than ten minutes."""
    claims = jwt.decode(token, options={"verify_signature": False})
    past = {name: claims[name] - 7200 for name in ("iat", "nbf", "exp")}
    assert past["exp"] < time.time()
    key = load_pem_private_key(keys.read_bytes(), None)
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.encode({**claims, **past}, key, "RS256", headers={"kid": kid})  # type: ignore[arg-type]  # an RSA key


@pytest.mark.timeout(200)
def test_another_clusters_token_is_refused_though_all_its_names_are_the_same(
    pods: Pods, binaries: Path, server: RunningServer
) -> None:
    place = Place(server, "clusters")
    with control_plane(binaries, server) as elsewhere:
        other = elsewhere.api()
        other.start()
        ours, theirs = place.cluster(pods.api), place.cluster(other)
        place.bind(ours)
        foreign = Pods(other).token()
        assert place.reason(ours, foreign) == "jwt-signature"
        assert place.reason(theirs, foreign) == "binding-absent"
        place.bind(theirs)
        assert place.log_in(theirs, foreign).status == 200


@pytest.mark.timeout(200)
def test_what_is_taken_away_ends_the_sessions_on_every_worker(pods: Pods, server: RunningServer) -> None:
    place = Place(server, "endings")
    cluster = place.cluster(pods.api)
    bindings, token = f"{CLUSTERS}/{cluster}/bindings", pods.token()
    away: dict[str, Callable[[str], Any]] = {
        "binding-absent": lambda bound: place.administrator("DELETE", f"{bindings}/{bound}"),
        "cluster-disabled": lambda _bound: place.administrator("PATCH", f"{CLUSTERS}/{cluster}", {"enabled": False}),
    }
    for reason, take in away.items():
        bound = place.bind(cluster)
        opened = place.log_in(cluster, token)
        assert opened.status == 200, opened.text
        bearer = f"Bearer {opened.json['access_token']}"
        assert set(place.works(bearer)) == {200}
        take(bound)
        assert set(place.works(bearer)) == {401}
        assert place.reason(cluster, token) == reason


@pytest.mark.timeout(200)
def test_keys_are_fetched_from_the_api_server_by_its_own_authority(pods: Pods, server: RunningServer) -> None:
    """It shows them to whoever is bound to `system:service-account-issuer-discovery`: here, to everybody."""
    place, api = Place(server, "fetched"), pods.api
    authority = (api.folder / "tls" / "apiserver.crt").read_text().split("-----END CERTIFICATE-----\n")[-2]
    pem = f"{authority}-----END CERTIFICATE-----\n"
    jwks: dict[str, Any] = {"url": f"{api.url}/openid/v1/jwks", "cache_duration": 10, "ca_certificates": [encoded(pem)]}
    cluster = place.cluster(api, jwks=jwks)
    place.bind(cluster)
    token = pods.token()
    assert place.reason(cluster, token) == "jwt-keys-unavailable"
    role = "--clusterrole=system:service-account-issuer-discovery"
    api.kubectl("create", "clusterrolebinding", "issuer-discovery", role, "--group=system:unauthenticated")
    with httpx.Client(verify=False) as stranger:  # noqa: S501 - only waits until the API server shows its keys
        deadline = time.monotonic() + 20
        while stranger.get(jwks["url"]).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    deadline = time.monotonic() + 40  # an address that failed is asked again after ten seconds, by each worker
    while (answer := place.log_in(cluster, token)).status != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.5)


def encoded(pem: str) -> str:
    return b64encode(pem.encode()).decode()
