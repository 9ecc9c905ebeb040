"""Secrets reach unmodified programs in real containers, are nowhere else, and follow a rotation."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.acceptance.kubernetes import images
from tests.acceptance.kubernetes.cluster import within
from tests.acceptance.kubernetes.node import why_not
from tests.acceptance.kubernetes.stage import Stage, fresh, staged
from tests.acceptance.server import RunningServer, free_port
from tests.kit.certificates import SERVER, Identity, authority, leaf
from tests.kit.oci import read_file

Json = dict[str, Any]
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def nginx() -> images.Image:
    return images.nginx()


@pytest.fixture(scope="module")
def postgresql() -> images.Image:
    return images.postgresql()


@pytest.fixture(scope="module")
def stage(binaries: Path, keystead: RunningServer, nginx: images.Image, postgresql: images.Image) -> Iterator[Stage]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with staged(binaries, keystead, [nginx, postgresql]) as made:
        yield made


@pytest.fixture(scope="module")
def root() -> Identity:
    return authority("Shop")


def web_certificate(root: Identity) -> Identity:
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return leaf("web.shop", root, usages=(SERVER,), names=names)


def key_of(identity: Identity) -> bytes:
    der: bytes = identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return der


def shown(port: int, root: Identity) -> bytes:
    """The certificate that is served there, which the shop's authority has issued; nothing while nobody answers."""
    context = ssl.create_default_context(cadata=root.pem.decode())
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as opened,
            context.wrap_socket(opened, server_hostname="127.0.0.1") as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""
    except (ConnectionError, TimeoutError):
        return b""


# -- the program is what its package is, and knows nothing of Keystead -------------------------------------------------


@pytest.mark.timeout(240)
def test_nginx_serves_a_certificate_that_it_never_had_and_then_the_next_one(
    stage: Stage, nginx: images.Image, root: Identity
) -> None:
    first, second, port = web_certificate(root), web_certificate(root), free_port()
    stage.shop.keep("web-certificate", "CERTIFICATE", first.der)
    stage.shop.keep("web-key", "EC", key_of(first))
    site = f"""
        events {{}}
        http {{ server {{ listen 127.0.0.1:{port} ssl; return 200 "shop\\n";
                         ssl_certificate /etc/nginx/tls/web.pem; ssl_certificate_key /etc/nginx/tls/web.pem; }} }}
    """
    stage.api.kubectl("-n", "shop", "create", "configmap", "site", f"--from-literal=nginx.conf={site}")
    container = {
        "name": "nginx",
        "image": nginx.reference,
        "command": ["nginx", "-g", "daemon off;"],
        "volumeMounts": [{"name": "site", "mountPath": "/etc/nginx/nginx.conf", "subPath": "nginx.conf"}],
    }
    asked = stage.asking(
        secret__certificate="web-certificate",
        path__certificate="none",
        secret__key="web-key",
        path__key="none",
        bundle__web="certificate,key",
        path__web="/etc/nginx/tls/web.pem",
        command__web='["nginx", "-s", "reload"]',
        refresh="2s",
    )
    stage.create(
        "web",
        container,
        asked,
        volumes=[{"name": "site", "configMap": {"name": "site"}}],
        securityContext={"runAsUser": 0},
    )
    stage.node.wait("web", namespace="shop", seconds=60)
    within(20, lambda: shown(port, root) == first.der, lambda: stage.node.logs("web", "nginx", "shop"))

    stage.shop.renew("web-key", key_of(second))
    stage.shop.renew("web-certificate", second.der)
    within(30, lambda: shown(port, root) == second.der, lambda: stage.node.logs("web", "nginx", "shop"))
    assert stage.node.status("web", "nginx", "shop")["restartCount"] == 0
    stage.delete("web")


@pytest.mark.timeout(240)
def test_postgresql_has_a_password_and_a_certificate_from_nowhere_else_and_reloads_the_next(
    stage: Stage, postgresql: images.Image, root: Identity
) -> None:
    first, second, port, password = web_certificate(root), web_certificate(root), free_port(), fresh()
    stage.shop.keep("db-password", "SECRET", password.encode())
    stage.shop.keep("db-certificate", "CERTIFICATE", first.der)
    stage.shop.keep("db-key", "EC", key_of(first))
    options = [f"-cport={port}", "-clisten_addresses=127.0.0.1", "-cssl=on", "-cunix_socket_directories="]
    files = ["-cssl_cert_file=/tls/server.crt", "-cssl_key_file=/tls/server.key"]
    container = {
        "name": "postgresql",
        "image": postgresql.reference,
        "command": ["/usr/local/bin/docker-entrypoint.sh"],
        "args": ["postgres", *options, *files],
    }
    asked = stage.asking(
        secret__password="db-password",
        env__password="POSTGRES_PASSWORD",
        secret__certificate="db-certificate",
        path__certificate="/tls/server.crt",
        signal__certificate="HUP",
        secret__key="db-key",
        path__key="/tls/server.key",
        mode__key="0400",
        signal__key="HUP",
        refresh="2s",
    )
    user = _user_of(postgresql, "postgres")
    stage.create("db", container, asked, securityContext={"runAsUser": user, "runAsGroup": user})
    stage.node.wait("db", namespace="shop", seconds=60)

    def certificate() -> bytes:
        target = f"host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=require"
        try:
            with psycopg.connect(target, password=password, connect_timeout=5):
                return _after_starttls(port, root)
        except psycopg.OperationalError as error:
            if "password" in str(error):
                raise
            return b""

    within(30, lambda: certificate() == first.der, lambda: stage.node.logs("db", "postgresql", "shop"))
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"host=127.0.0.1 port={port} user=postgres", password="another", connect_timeout=5)

    stage.shop.renew("db-key", key_of(second))
    stage.shop.renew("db-certificate", second.der)
    within(30, lambda: certificate() == second.der, lambda: stage.node.logs("db", "postgresql", "shop"))
    assert stage.node.status("db", "postgresql", "shop")["restartCount"] == 0
    stage.delete("db")


def _user_of(image: images.Image, name: str) -> int:
    """A user's number in an image, which Kubernetes wants to know."""
    found = re.search(rf"^{name}:[^:]*:(\d+):", read_file(image.archive, "etc/passwd").decode(), re.M)
    assert found is not None
    return int(found[1])


def _after_starttls(port: int, root: Identity) -> bytes:
    """PostgreSQL's certificate: its SSLRequest (protocol 3.0 §55.7) comes before the handshake."""
    context = ssl.create_default_context(cadata=root.pem.decode())
    with socket.create_connection(("127.0.0.1", port), 5) as opened:
        opened.sendall((8).to_bytes(4) + (80877103).to_bytes(4))
        assert opened.recv(1) == b"S"
        with context.wrap_socket(opened, server_hostname="127.0.0.1") as secured:
            return secured.getpeercert(binary_form=True) or b""


# -- where a secret is -------------------------------------------------------------------------------------------------


def probing(image: images.Image, **more: Any) -> Json:
    """It tells its environment to whoever reads its log, unless it is to pause."""
    return {"name": "probe", "image": image.reference, "command": ["/probe"], "args": ["serve"], **more}


@pytest.fixture(scope="module")
def probe() -> images.Image:
    return images.probe()


@pytest.mark.timeout(200)
def test_a_secret_is_in_memory_of_its_pod_and_nowhere_else(stage: Stage, probe: images.Image) -> None:
    in_file, in_variable = fresh(), fresh()
    stage.shop.keep("file", "SECRET", in_file.encode())
    stage.shop.keep("variable", "SECRET", in_variable.encode())
    asked = stage.asking(secret__file="file", secret__variable="variable", env__variable="PASSWORD", refresh="1h")
    stage.create("quiet", probing(probe, args=["pause"]), asked)
    stage.node.wait("quiet", namespace="shop", seconds=60)

    assert stage.node.exec("quiet", "probe", ["/probe", "cat", "/keystead/secrets/file"], "shop").stdout == in_file
    (application,) = stage.node.processes("quiet", "probe", "shop")
    environment = Path(f"/proc/{application}/environ").read_bytes().split(b"\0")
    assert f"PASSWORD={in_variable}".encode() in environment

    everything = {f"etcd {key}": value for key, value in stage.etcd.raw("/registry/").items()}
    kept = [stage.node.folder, stage.etcd.data, stage.webhook.folder, stage.api.folder]
    everything |= {str(path): path.read_bytes() for folder in kept for path in _files(folder)}
    values = (in_file.encode(), in_variable.encode())
    assert not [name for name, content in everything.items() if any(value in content for value in values)]
    assert any(b"keystead-agent" in content for name, content in everything.items() if name.startswith("etcd"))
    stage.delete("quiet")


def _files(folder: Path) -> Iterator[Path]:
    """What lies on disk there: volumes in memory are other file systems, in the node's own namespace."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


@pytest.mark.timeout(200)
def test_the_agent_is_small(stage: Stage, probe: images.Image) -> None:
    """Twenty secrets, a template, and TLS to the server."""
    for number in range(20):
        stage.shop.keep(f"many-{number}", "SECRET", fresh().encode())
    named = {f"secret__s{number}": f"many-{number}" for number in range(20)}
    asked = stage.asking(**named, template__all='{{ secrets["s1"].text }}', refresh="1s")
    stage.create("many", probing(probe), asked)
    stage.node.wait("many", namespace="shop", seconds=60)
    memory = stage.node.memory("many", "keystead-agent-refresh", "shop")
    working, resident = (size / MEGABYTE for size in memory)
    print(f"the agent: {working:.1f} MB working set, {resident:.1f} MB resident")
    assert memory.working_set < 40 * MEGABYTE
    stage.delete("many")


@pytest.mark.timeout(200)
def test_a_hardened_job_with_an_api_key_is_the_first_process_and_ends_as_it_ends(
    stage: Stage, probe: images.Image
) -> None:
    """Non-root, read-only, no capabilities; and the sidecar does not keep it from ending."""
    value = fresh()
    stage.shop.keep("job", "SECRET", value.encode())
    stage.api.kubectl(
        "-n", "shop", "create", "secret", "generic", "key", f"--from-literal=api-key={stage.shop.api_key()}"
    )
    hardened = {
        "runAsNonRoot": True,
        "runAsUser": 1234,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    asked = stage.asking(secret__job="job", env__job="PASSWORD", refresh="1m", auth="api-key", api_key_secret="key")
    container = probing(probe, args=["report", "7"], securityContext=hardened)
    stage.create("job", container, asked, restartPolicy="Never", automountServiceAccountToken=False)
    stage.node.wait("job", "Failed", namespace="shop", seconds=60)
    assert stage.node.status("job", "probe", "shop")["state"]["terminated"]["exitCode"] == 7
    told = json.loads(stage.node.logs("job", "probe", "shop").splitlines()[0])
    assert (told["pid"], told["uid"], told["environment"]["PASSWORD"]) == (1, 1234, value)
    stage.delete("job")


# -- who gets none -----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(200)
@pytest.mark.parametrize(("namespace", "account"), [("other", "web"), ("shop", "stranger")])
def test_a_pod_that_is_not_bound_does_not_start_and_says_why(
    stage: Stage, probe: images.Image, namespace: str, account: str
) -> None:
    stage.shop.keep(f"not-for-{namespace}-{account}", "SECRET", fresh().encode())
    name = f"stranger-{account}"
    asked = stage.asking(secret__file=f"not-for-{namespace}-{account}")
    stage.create(name, probing(probe), asked, namespace=namespace, account=account, restartPolicy="Never")
    stage.node.wait(name, "Failed", namespace=namespace, seconds=60)
    ended = stage.node.status(name, "keystead-agent", namespace)["state"]["terminated"]
    assert ended["exitCode"] == 1
    assert "does not accept" in ended["message"]
    stage.delete(name, namespace)


@pytest.mark.timeout(200)
def test_a_secret_that_is_refused_is_named_where_kubectl_describe_shows_it(stage: Stage, probe: images.Image) -> None:
    asked = stage.asking(secret__file="nobody-has-made-it")
    stage.create("refused", probing(probe), asked, restartPolicy="Never")
    stage.node.wait("refused", "Failed", namespace="shop", seconds=60)
    ended = stage.node.status("refused", "keystead-agent", "shop")["state"]["terminated"]
    assert "nobody-has-made-it" in ended["message"]
    assert "nobody-has-made-it" in stage.api.kubectl("-n", "shop", "describe", "pod", "refused")
    stage.delete("refused")


# -- when the server is away -------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_while_the_server_is_away_running_pods_keep_their_secrets_and_new_ones_wait(
    stage: Stage, probe: images.Image, keystead: RunningServer
) -> None:
    value, later = fresh(), fresh()
    stage.shop.keep("lasting", "SECRET", value.encode())
    asked = stage.asking(secret__file="lasting", refresh="1s")
    read = ["/probe", "cat", "/keystead/secrets/file"]
    stage.create("running", probing(probe), asked)
    stage.node.wait("running", namespace="shop", seconds=60)
    keystead.kill()
    try:
        stage.create("waiting", probing(probe), asked)
        within(40, lambda: "No server" in stage.node.logs("running", "keystead-agent-refresh", "shop"))
        assert stage.node.exec("running", "probe", read, "shop").stdout == value
        assert stage.node.pod("waiting", "shop")["status"]["phase"] == "Pending"
    finally:
        keystead.start()
    stage.node.wait("waiting", namespace="shop", seconds=90)
    stage.shop.renew("lasting", later.encode())
    pods = ("running", "waiting")
    within(90, lambda: all(stage.node.exec(name, "probe", read, "shop").stdout == later for name in pods))
    for name in pods:
        stage.delete(name)
