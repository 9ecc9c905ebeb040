"""Nothing secret is in the database, the files, the logs, an error body or the process list, in any spelling."""

from __future__ import annotations

import base64
import operator
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.acceptance.server import RunningServer, basic
from tests.bench.processes import family
from tests.faults.conftest import Client, database, workplace

WHOLE = 16  # bytes of a canary that must not appear; shorter pieces could by chance


def spellings(secret: bytes) -> dict[str, bytes]:
    """The ways in which a secret could have been written down by mistake."""
    found = {
        "raw": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "python": repr(secret)[2:-1].encode(),
        "utf-16": secret.decode("latin-1").encode("utf-16-le"),
        "reversed": secret[::-1],
        "list": str(list(secret))[1:-1].encode(),
    }
    for offset in range(3):  # base64 of the secret inside something longer, at each alignment
        shifted = base64.b64encode(bytes(offset) + secret)
        inner = shifted[4 if offset else 0 : len(shifted) // 4 * 4 - 4]
        found[f"base64+{offset}"] = inner
        found[f"base64url+{offset}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def places(server: RunningServer) -> Iterator[tuple[str, bytes]]:
    """Everything that survives a call: tables, the cluster's files and its write-ahead log, token, logs, processes."""
    with database(server) as connection:
        connection.execute("CHECKPOINT")
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            whole = f'COPY (SELECT * FROM "{table}") TO STDOUT'  # noqa: S608 - a table of ours
            with connection.cursor().copy(whole) as rows:
                yield f"table {table}", b"".join(bytes(row) for row in rows)
    for path in server.data.rglob("*"):
        if path.is_file() and path.name not in _HOLD_SECRETS:
            yield str(path.relative_to(server.data)), path.read_bytes()
    yield "output", server.output.encode()
    assert server.process is not None
    for pid in family(server.process.pid):
        for name in ("cmdline", "environ"):
            yield f"process {name}", Path(f"/proc/{pid}/{name}").read_bytes()


# Files whose purpose is to hold a secret, readable by their owner only (tests/config checks the modes).
_HOLD_SECRETS = {"pin", "so-pin", "secret-key"}


def test_canaries_are_found_nowhere(server: RunningServer) -> None:
    place = workplace(server, "canary")
    administrator, client = place.administrator(), place.client()
    canaries = {
        "secret": secrets.token_bytes(32),
        "plaintext": secrets.token_bytes(32),
        "aes key": secrets.token_bytes(32),
        "exportable aes key": secrets.token_bytes(32),
        "hmac key": secrets.token_bytes(48),
        "opaque": secrets.token_bytes(64),
        "one component": secrets.token_bytes(32),
        "another component": secrets.token_bytes(32),
        "batched": secrets.token_bytes(32),
        "asked for": secrets.token_bytes(32),
        "webhook key": secrets.token_bytes(32),
        "sink's key": secrets.token_bytes(32),
        "store's key": secrets.token_urlsafe(24).encode(),
        "sink's token": secrets.token_urlsafe(24).encode(),
        "password": secrets.token_urlsafe(24).encode(),
        "wrong password": secrets.token_urlsafe(24).encode(),
        "api key": place.secret.encode(),
        "administrator": server.password.encode(),
        "session": place.bearer.removeprefix("Bearer ").encode(),
    }

    def text(name: str) -> str:
        return base64.b64encode(canaries[name]).decode()

    def imported(name: str, kind: str, **fields: object) -> str:
        reply = client("PUT", "/crypto/v1/keys", {"name": name, "obj_type": kind, "value": text(name), **fields})
        assert reply.status == 201, reply.text
        kid: str = reply.json["kid"]
        return kid

    secret = imported("secret", "SECRET")
    aes = imported("aes key", "AES", key_ops=["ENCRYPT", "DECRYPT"])
    exportable = imported("exportable aes key", "AES", key_ops=["ENCRYPT", "DECRYPT", "EXPORT"])
    imported("hmac key", "HMAC")
    imported("opaque", "OPAQUE")
    for kid in (aes, exportable):
        for body in (
            {"key": {"kid": kid}, "alg": "AES", "mode": "CBC", "plain": text("plaintext")},
            {"key": {"kid": kid}, "alg": "AES", "mode": "XXX", "plain": text("plaintext")},
            {"key": {"kid": kid}, "alg": "AES", "mode": "CBC", "plain": text("plaintext"), "surprise": text("secret")},
            {"key": {"name": text("plaintext")[:20]}, "alg": "AES", "plain": text("plaintext")},
        ):
            reply = client("POST", "/crypto/v1/encrypt", body)
            assert text("plaintext") not in reply.text
    assert client("POST", "/crypto/v1/keys/export", {"kid": secret}).status == 200
    wrapped = {"alg": "AES", "mode": "KWP", "kid": exportable, "key": {"kid": place.key}}
    assert client("POST", "/crypto/v1/wrapkey", wrapped).status == 200
    canaries["joined key"] = bytes(map(operator.xor, canaries["one component"], canaries["another component"]))
    custodians = [{"app": place.app}, {"user": administrator("GET", "/sys/v1/users").json[0]["user_id"]}]
    parts = [
        {"component": text(name), "custodian": custodian}
        for name, custodian in zip(("one component", "another component"), custodians, strict=True)
    ]
    for kcv in (None, "000000"):
        key = {"name": f"joined {kcv}", "obj_type": "AES", "group_id": place.group, "kcv": kcv, "key_ops": ["EXPORT"]}
        joined = {"key": key, "custodians": custodians, "components": parts}
        reply = client("POST", "/crypto/v1/keys/components/import", joined)
        assert reply.status == (400 if kcv else 201), reply.text
    split = {"key": {"name": "joined None"}, "custodians": custodians}
    for number, part in enumerate(client("POST", "/crypto/v1/keys/components/export", split).json["components"]):
        canaries[f"component {number} that was split off"] = base64.b64decode(part["component"])
    for mode in ("CBC", "XXX"):
        body = {"key": {"kid": aes}, "alg": "AES", "mode": mode, "plain": text("batched")}
        item = {"method": "POST", "operation": "/crypto/v1/encrypt", "body": body}
        assert client("POST", "/batch/v1", {"SingleItem": item}).status == 200
    _settings(administrator, text, canaries["sink's token"].decode(), canaries["store's key"].decode())
    _asked_for(administrator, text("asked for"))
    user = {"user_email": "canary@example.org", "user_password": canaries["password"].decode()}
    assert administrator("POST", "/sys/v1/users/invite", user).status == 201
    for password in ("password", "wrong password"):
        credential = basic("canary@example.org", canaries[password].decode())
        server.request("POST", "/sys/v1/session/auth", authorization=credential)
        Client(server, credential)("GET", "/crypto/v1/keys")
    server.request("POST", "/sys/v1/session/auth", raw=b"{" + canaries["secret"], authorization=place.authorization)

    leaks = [
        f"{name} ({spelling}) in {where}"
        for where, content in places(server)
        for name, canary in canaries.items()
        if not (name == "administrator" and where == "output")  # printed once, on purpose
        for spelling, written in spellings(canary).items()
        if len(written) >= WHOLE and written in content
    ]
    assert not leaks


def _settings(administrator: Client, text: Callable[[str], str], token: str, secret: str) -> None:
    """Where approvals and the log are told of."""
    (account,) = administrator("GET", "/sys/v1/users/accounts").json
    url = "https://hooks.example.org/keystead"
    tls = {"mode": "required", "validate_hostname": True, "ca": {"ca_set": "global_roots"}}
    splunk = {"host": "splunk.example.org", "port": 8088, "index": "main", "token": token, "tls": tls}
    bucket = {"endpoint": "https://s3.example.org", "bucket": "logs", "access_key_id": "keystead"}
    sinks = [{"webhook": {"url": url, "key": text("sink's key")}}, {"splunk": splunk}]
    sinks.append({"s3": {**bucket, "secret_access_key": secret}})
    change = {"approval_webhook": {"url": url, "key": text("webhook key")}, "add_logging_configs": sinks}
    reply = administrator("PATCH", f"/sys/v1/accounts/{account}", change)
    assert reply.status == 200, reply.text


def _asked_for(administrator: Client, value: str) -> None:
    """A body with a secret waits for an approval, and is looked at."""
    user = administrator("GET", "/sys/v1/users").json[0]["user_id"]
    policy = {"user": user, "protect_permissions": ["CREATE_SOBJECTS"]}
    group = administrator("POST", "/sys/v1/groups", {"name": "guarded", "approval_policy": policy}).json["group_id"]
    body = {"name": "asked", "obj_type": "SECRET", "value": value, "group_id": group}
    asked = {"method": "PUT", "operation": "/crypto/v1/keys", "body": body}
    reply = administrator("POST", "/sys/v1/approval_requests", asked)
    assert reply.status == 201, reply.text
    assert administrator("GET", "/sys/v1/approval_requests").status == 200


def test_the_search_would_find_a_canary(server: RunningServer) -> None:
    """A name is not secret and is stored in clear: the same search must see it."""
    place = workplace(server, "a name that is long enough to be looked for")
    assert place.administrator()("GET", "/sys/v1/groups").status == 200
    wanted = b"a name that is long enough to be looked for"
    assert {where for where, content in places(server) if wanted in content} >= {"table accounts_group"}
