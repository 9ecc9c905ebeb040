"""Streams: frames in, frames out, at the same time; rights and the record at every step; errors where they belong."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import cbor2
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import AppGroup
from accounts.principal import Principal
from kms.api import streaming
from kms.api.lean import LeanEdge
from kms.api.wire.base import WireError
from kms.api.wire.streams import MAX_FRAME, MAX_ITEMS, STREAMS, frame_length
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters
from kms.crypto.options import CipherOptions, KeyOptions
from kms.operations.creation import CreateObject
from kms.operations.executor import execute
from kms.operations.making import ObjectTemplate
from policies.permissions import Permission
from tests.crypto.cipher_lab import MODES, WHOLE_BLOCKS, CipherLab
from tests.kit.http import serving
from tests.kit.tenants import Tenant, new_tenant, unique

ENCRYPT, DECRYPT = "/crypto/v1/stream/encrypt", "/crypto/v1/stream/decrypt"
FINAL: dict[str, Any] = {"final": {}}


@pytest.fixture(scope="module")
def owner(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture(scope="module")
def lab(owner: Tenant) -> CipherLab:
    return CipherLab(owner, "AES", os.urandom(32))


class Call:
    """One request whose body is sent while its answer is read. ``say`` queues a frame; None ends the body."""

    def __init__(self, client: httpx.Client, path: str, auth: tuple[str, str] | None, *, method: str = "POST") -> None:
        self._socket = socket.create_connection((client.base_url.host, client.base_url.port), timeout=20)
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked"]
        if auth is not None:
            lines.append("Authorization: Basic " + base64.b64encode(":".join(auth).encode()).decode())
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._sender = threading.Thread(target=self._send, daemon=True)
        self._sender.start()
        self._response: http.client.HTTPResponse | None = None
        self._read = b""

    def _send(self) -> None:
        try:
            while (piece := self._queue.get()) is not None:
                if piece:
                    self._socket.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self._socket.sendall(b"0\r\n\r\n")
        except OSError:
            return  # the server has hung up, which the reader sees

    def send(self, piece: bytes | None) -> None:
        self._queue.put(piece)

    def say(self, *frames: Any) -> None:
        for frame in frames:
            self.send(cbor2.dumps(frame))

    @property
    def response(self) -> http.client.HTTPResponse:
        if self._response is None:
            self._response = http.client.HTTPResponse(self._socket)
            self._response.begin()
        return self._response

    def hear(self) -> Any:
        """The next frame of the answer, or None at its end."""
        while True:
            try:
                frame = cbor2.load(io.BytesIO(self._read))
            except cbor2.CBORDecodeError:
                more = self.response.read1(65536)
                if not more:
                    assert not self._read
                    return None
                self._read += more
                continue
            self._read = self._read[len(cbor2.dumps(frame)) :]
            return frame

    def rest(self) -> list[Any]:
        self.send(None)
        frames = []
        while (frame := self.hear()) is not None:
            frames.append(frame)
        self.close()
        return frames

    def refused(self) -> tuple[int, str]:
        self.send(None)
        answer = self.response.status, self.response.read().decode()
        assert self.response.headers["content-type"].startswith("text/plain")
        self.close()
        return answer

    def close(self) -> None:
        self.send(None)
        self._sender.join(5)
        self._socket.close()


def call(client: httpx.Client, owner: Tenant, path: str, *frames: Any, app: Principal | None = None) -> Call:
    made = Call(client, path, owner.api_key(app))
    made.say(*frames)
    return made


def init(lab: CipherLab, mode: str, **fields: Any) -> dict[str, Any]:
    return {"init": {"key": {"kid": str(lab.key.id)}, "mode": mode, **fields}}


def joined(frames: list[Any], name: str) -> bytes:
    return b"".join(frame[name] for frame in frames if name in frame)


# -- there and back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*MODES, "GCM"])
@settings(max_examples=8, deadline=None)
@given(pieces=st.lists(st.binary(max_size=60), min_size=1, max_size=5), data=st.data())
def test_a_stream_gives_what_one_call_gives(
    client: httpx.Client, lab: CipherLab, mode: str, pieces: list[bytes], data: st.DataObject
) -> None:
    if mode in WHOLE_BLOCKS:
        pieces.append(bytes(-len(b"".join(pieces)) % 16))
    iv, plaintext = lab.fresh_iv(mode), b"".join(pieces)
    expected = lab.encrypt(CipherParameters(mode, iv), plaintext)
    given_iv = {} if iv is None else {"iv": iv}
    body = b"".join(map(cbor2.dumps, [init(lab, mode, **given_iv), *({"plain": piece} for piece in pieces), FINAL]))
    encrypting, sent = Call(client, ENCRYPT, lab.tenant.api_key()), 0
    for place in sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4))):
        encrypting.send(body[sent:place])
        sent = place
    encrypting.send(body[sent:])
    first, *middle, last = encrypting.rest()
    assert first == {"init": {"kid": str(lab.key.id), **given_iv}}
    assert last == {"final": {"tag": expected.tag} if expected.tag else {}}
    assert middle
    assert joined(middle, "cipher") == expected.ciphertext
    tag = {"tag": expected.tag} if expected.tag else {}
    frames = [init(lab, mode, **given_iv), {"cipher": expected.ciphertext}, {"final": tag}]
    first, *middle, last = call(client, lab.tenant, DECRYPT, *frames).rest()
    assert (first, last) == ({"init": {"kid": str(lab.key.id)}}, FINAL)
    assert joined(middle, "plain") == plaintext


@pytest.mark.parametrize("kind", ["DES3", "DES", "SEED"])
def test_other_ciphers_stream_too(client: httpx.Client, owner: Tenant, kind: str) -> None:
    lab = CipherLab(owner, kind, os.urandom({"DES3": 24, "DES": 8, "SEED": 16}[kind]))
    frames = call(client, owner, ENCRYPT, init(lab, "CBC", alg=kind), {"plain": b"some data"}, FINAL).rest()
    assert joined(frames, "cipher") == lab.expected("CBC", frames[0]["init"]["iv"], b"some data")


def test_additional_data_may_come_in_frames_of_its_own(client: httpx.Client, lab: CipherLab) -> None:
    iv = os.urandom(12)
    expected = lab.encrypt(CipherParameters("GCM", iv, b"first second", 96), b"data")
    frames = call(
        client,
        lab.tenant,
        ENCRYPT,
        init(lab, "GCM", iv=iv, tag_len=96),
        {"ad": b"first "},
        {"ad": b"second"},
        {"plain": b"data"},
        FINAL,
    ).rest()
    assert joined(frames, "cipher") == expected.ciphertext
    assert frames[-1] == {"final": {"tag": expected.tag}}


def test_a_transient_key_streams_without_an_id(client: httpx.Client, owner: Tenant) -> None:
    template = ObjectTemplate(unique("t"), "AES", owner.group.id, size=256, transient=True)
    blob = execute(owner.app, CreateObject(template)).transient
    begin = {"init": {"key": {"transient_key": blob}, "mode": "CTR"}}
    frames = call(client, owner, ENCRYPT, begin, {"plain": b"data"}, FINAL).rest()
    assert frames[0]["init"].keys() == {"iv"}
    assert len(joined(frames, "cipher")) == 4


def test_where_ivs_are_the_servers_gcm_still_streams(client: httpx.Client, owner: Tenant) -> None:
    lab = CipherLab(owner, "AES", os.urandom(32), options=KeyOptions(cipher=CipherOptions(random_iv=True)))
    frames = call(client, owner, ENCRYPT, init(lab, "GCM"), {"plain": b"data"}, FINAL).rest()
    parameters = CipherParameters("GCM", frames[0]["init"]["iv"], tag=frames[-1]["final"]["tag"])
    assert lab.decrypt(parameters, joined(frames, "cipher")) == b"data"


# -- at the same time, and however long ----------------------------------------------------------------------------


def test_a_frame_is_answered_before_the_next_is_sent(client: httpx.Client, lab: CipherLab) -> None:
    stream = call(client, lab.tenant, ENCRYPT, init(lab, "CTR"))
    assert "init" in stream.hear()
    for _ in range(5):
        stream.say({"plain": bytes(1000)})
        assert len(stream.hear()["cipher"]) == 1000
    stream.say(FINAL)
    assert stream.rest() == [FINAL]


def recorded(lab: CipherLab) -> list[AuditRecord]:
    found = AuditRecord.objects.filter(object_id=lab.key.id, action__startswith="object.encrypt")
    return list(found.order_by("sequence"))


def test_what_is_answered_is_recorded_already(client: httpx.Client, owner: Tenant) -> None:
    lab = CipherLab(owner, "AES", os.urandom(32))
    stream = call(client, owner, ENCRYPT, init(lab, "GCM"))
    stream.hear()
    assert [entry.action for entry in recorded(lab)] == ["object.encrypt-init"]
    stream.say({"plain": bytes(1000)})
    stream.hear()
    assert [entry.details.get("input_bytes") for entry in recorded(lab)] == [None, 1000]
    stream.say(FINAL)
    stream.rest()
    entries = recorded(lab)
    assert [entry.action for entry in entries][2:] == ["object.encrypt-final"]
    assert {entry.outcome for entry in entries} == {"done"}
    assert {str(entry.request_id) for entry in entries} == {stream.response.headers["x-request-id"]}


def test_a_stream_is_longer_than_any_body(lab: CipherLab) -> None:
    """Forty megabytes through a server that takes bodies of one."""
    from kms.config.asgi import django_application

    iv, piece = bytes(16), os.urandom(1_000_000)
    with serving(LeanEdge(django_application, 1024 * 1024)) as small:
        assert small.post("/crypto/v1/encrypt", content=bytes(2 * 1024 * 1024)).status_code == 413
        stream = call(small, lab.tenant, ENCRYPT, init(lab, "CTR", iv=iv))
        for _ in range(40):
            stream.say({"plain": piece})
        stream.say(FINAL)
        frames = stream.rest()
    sealed = joined(frames, "cipher")
    assert len(sealed) == 40_000_000
    assert sealed[:1_000_000] == lab.encrypt(CipherParameters("CTR", iv), piece).ciphertext
    last = lab.decrypt(CipherParameters("CTR", (39_000_000 // 16).to_bytes(16, "big")), sealed[39_000_000:])
    assert last == piece


def test_small_frames_that_arrive_together_are_one_step(client: httpx.Client, owner: Tenant) -> None:
    lab = CipherLab(owner, "AES", os.urandom(32))
    body = b"".join(map(cbor2.dumps, [init(lab, "CTR"), *[{"plain": b"x" * 100}] * 100, FINAL]))
    stream = Call(client, ENCRYPT, owner.api_key())
    stream.send(body)
    assert len(joined(stream.rest(), "cipher")) == 10_000
    steps = AuditRecord.objects.filter(object_id=lab.key.id, action="object.encrypt-update")
    assert sum(step.details["input_bytes"] for step in steps) == 10_000
    assert len(steps) <= 3


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "status", "says"),
    [
        ({"plain": b"data"}, 400, "first frame is init"),
        ({"init": {"mode": "CTR"}}, 400, "key is needed"),
        ({"init": {"key": {"kid": "00000000-0000-4000-8000-000000000000"}, "mode": "CTR"}}, 404, "does not exist"),
        ({"init": {"key": {"name": "n"}, "mode": "CTR", "ad": b""}}, 400, "unknown field"),
        ({"init": {"key": {"kid": 5}}}, 400, "kid"),
        ({"begin": {}}, 400, "unknown field"),
        ({}, 400, "exactly one of init, ad, plain, final"),
        ([], 400, "Expected `object`"),
        ("init", 400, "Expected `object`"),
        (cbor2.CBORTag(1000, {}), 400, "definite length"),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_beginning_is_an_answer_as_of_any_route(
    client: httpx.Client, owner: Tenant, frame: Any, status: int, says: str
) -> None:
    code, text = call(client, owner, ENCRYPT, frame, {"plain": b"data"}, FINAL).refused()
    assert (code, says in text) == (status, True), text


@pytest.mark.parametrize(
    ("mode", "fields", "says"),
    [
        ("CCM", {}, "takes its data whole"),
        ("FF1", {}, "needs a key with fpe"),
        ("KWP", {}, "takes its data whole"),
        ("XTS", {}, "not supported"),
        ("CBC", {"iv": bytes(8)}, "16 bytes"),
        ("CBC", {"tag_len": 128}, "takes no tag_len"),
        ("GCM", {"tag_len": 20}, "tag_len is in bits"),
        ("CBC", {"alg": "DES3"}, "type is AES"),
    ],
)
def test_parameters_that_do_not_fit_are_told_before_any_data(
    client: httpx.Client, lab: CipherLab, mode: str, fields: dict[str, Any], says: str
) -> None:
    code, text = call(client, lab.tenant, ENCRYPT, init(lab, mode, **fields)).refused()
    assert (code, says in text) == (400, True), text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"\xa1",
        b"\xbf\xff",
        b"\x5f\x41x\xff",
        b"\xa2\x62ad\x40\x62ad\x40",
        b"\xa1" * 100,
        b"\x9b" + b"\xff" * 8,
        b"\x5b" + b"\x00\x00\x00\x01" + bytes(4),
        b"\xa1\x64init\xfb" + bytes(8),
        b"\xa1\x62\xff\xfe\x40",
        b"not CBOR at all, but text of some length",
    ],
    ids=lambda raw: raw[:12].hex() or "nothing",
)
def test_rubbish_is_refused_as_such(client: httpx.Client, owner: Tenant, raw: bytes) -> None:
    stream = Call(client, ENCRYPT, owner.api_key())
    stream.send(raw)
    code, text = stream.refused()
    assert (code, text.startswith("Invalid request")) == (400, True)


def test_a_frame_that_is_too_long_is_refused_before_it_has_come(client: httpx.Client, owner: Tenant) -> None:
    stream = Call(client, ENCRYPT, owner.api_key())
    stream.send(b"\xa1\x65plain\x5a" + (MAX_FRAME + 1).to_bytes(4, "big"))
    assert stream.response.status == 400
    assert b"at most" in stream.response.read()
    stream.close()


@pytest.mark.parametrize("credential", [None, ("00000000-0000-4000-8000-000000000000", "wrong")])
def test_a_stranger_is_refused_before_anything_is_read(
    client: httpx.Client, credential: tuple[str, str] | None
) -> None:
    for path in STREAMS:
        stream = Call(client, path, credential)
        assert stream.response.status == 401  # and no frame was sent
        assert "www-authenticate" in stream.response.headers
        stream.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_a_405(client: httpx.Client, owner: Tenant, method: str) -> None:
    assert client.request(method, ENCRYPT, auth=owner.api_key()).status_code == 405


def test_who_may_not_gets_a_403_and_who_may_not_see_a_404(client: httpx.Client, lab: CipherLab) -> None:
    reader = lab.tenant.new_app([Permission.OBJECT_DECRYPT])
    assert call(client, lab.tenant, ENCRYPT, init(lab, "CTR"), app=reader).refused()[0] == 403
    assert call(client, new_tenant(), ENCRYPT, init(lab, "CTR")).refused()[0] == 404


LATER: list[tuple[str, list[Any], str]] = [
    ("ECB", [{"plain": bytes(17)}, FINAL], "whole blocks"),
    ("CTR", [{"plain": b"data"}, {"init": {"mode": "CTR"}}], "no init frame is expected"),
    ("CTR", [{"ad": b"aad"}], "takes no additional data"),
    ("GCM", [{"plain": b"data"}, {"ad": b"aad"}], "before the ciphertext"),
    ("CTR", [{"plain": b"data"}, {"plain": b"", "final": {}}], "exactly one of"),
    ("CTR", [{"plain": "not base64!"}], "plain"),
    ("CTR", [{"plain": 5}], "plain"),
    ("CTR", [{"final": {"tag": b""}}], "unknown field"),
    ("CTR", [{"plain": b"data"}], "ended before its final frame"),
    ("CTR", [], "ended before its final frame"),
]


@pytest.mark.parametrize(("mode", "frames", "says"), LATER, ids=lambda value: value if isinstance(value, str) else "")
def test_what_goes_wrong_later_is_an_error_frame_and_the_last(
    client: httpx.Client, lab: CipherLab, mode: str, frames: list[Any], says: str
) -> None:
    heard = call(client, lab.tenant, ENCRYPT, init(lab, mode), *frames).rest()
    assert "init" in heard[0]
    assert [frame for frame in heard if "final" in frame] == []
    assert heard[-1]["error"]["status"] == 400
    assert says in heard[-1]["error"]["message"]


def test_a_wrong_tag_ends_in_an_error_though_data_was_answered(client: httpx.Client, lab: CipherLab) -> None:
    """As the vendor's: whoever reads a GCM stream believes nothing of it before ``final``."""
    made = lab.encrypt(CipherParameters("GCM"), b"data")
    frames = [init(lab, "GCM", iv=made.iv), {"cipher": made.ciphertext}, {"final": {"tag": bytes(16)}}]
    _, middle, last = call(client, lab.tenant, DECRYPT, *frames).rest()
    assert middle == {"plain": b"data"}
    assert last["error"]["status"] == 400
    for final in ({}, {"tag": bytes(3)}):
        frames[-1] = {"final": final}
        assert "tag" in call(client, lab.tenant, DECRYPT, *frames).rest()[-1]["error"]["message"]


def test_wrong_padding_says_no_more_than_that_the_data_is_wrong(client: httpx.Client, lab: CipherLab) -> None:
    frames = [init(lab, "CBC", iv=bytes(16)), {"cipher": bytes(32)}, FINAL]
    assert "could not be processed" in call(client, lab.tenant, DECRYPT, *frames).rest()[-1]["error"]["message"]


def test_a_right_that_is_taken_ends_the_stream_at_its_next_frame(client: httpx.Client, lab: CipherLab) -> None:
    writer = lab.tenant.new_app([Permission.OBJECT_ENCRYPT])
    stream = call(client, lab.tenant, ENCRYPT, init(lab, "CTR"), {"plain": b"data"}, app=writer)
    stream.hear()
    assert len(stream.hear()["cipher"]) == 4
    AppGroup.objects.filter(app_id=writer.id).update(permissions=["object.decrypt"])
    stream.say({"plain": b"more"})
    assert stream.hear()["error"]["status"] == 403
    assert stream.hear() is None
    stream.close()


def test_a_stream_that_stands_still_is_ended(
    client: httpx.Client, lab: CipherLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "STALL_SECONDS", 0.2)
    stream = call(client, lab.tenant, ENCRYPT, init(lab, "CTR"))
    stream.hear()
    assert "stood still" in stream.hear()["error"]["message"]
    stream.close()
    silent = Call(client, ENCRYPT, lab.tenant.api_key())
    assert silent.response.status == 400
    silent.close()


def test_a_client_that_does_not_read_is_cut_off(
    client: httpx.Client, lab: CipherLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "STALL_SECONDS", 0.5)
    stream = call(client, lab.tenant, ENCRYPT, init(lab, "CTR"))
    for _ in range(60):
        stream.say({"plain": bytes(1_000_000)})
    time.sleep(2)
    with pytest.raises((OSError, http.client.IncompleteRead)):
        stream.response.read()
    stream.close()


def test_a_client_that_hangs_up_leaves_a_record_without_an_end(client: httpx.Client, owner: Tenant) -> None:
    lab = CipherLab(owner, "AES", os.urandom(32))
    stream = call(client, owner, ENCRYPT, init(lab, "CTR"), {"plain": b"data"})
    stream.hear()
    stream.hear()
    stream._socket.shutdown(socket.SHUT_RDWR)
    stream._socket.close()
    stream.send(None)
    time.sleep(0.2)
    assert [entry.action for entry in recorded(lab)] == ["object.encrypt-init", "object.encrypt-update"]
    assert client.get("/sys/v1/health").status_code < 500


# -- frames --------------------------------------------------------------------------------------------------------

plain_values = st.recursive(
    st.integers(0, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(value=plain_values, more=st.binary(max_size=10), data=st.data())
def test_an_item_is_as_long_as_it_is_and_unknown_before(value: Any, more: bytes, data: st.DataObject) -> None:
    encoded = cbor2.dumps(value)
    assert frame_length(encoded + more) == len(encoded)
    assert frame_length(encoded[: data.draw(st.integers(0, len(encoded) - 1))]) is None


@given(raw=st.binary(max_size=60))
def test_any_bytes_are_an_item_or_not_yet_or_refused(raw: bytes) -> None:
    try:
        length = frame_length(raw)
    except WireError:
        return
    assert length is None or 1 <= length <= len(raw)


def test_a_frame_of_too_many_items_is_refused() -> None:
    with pytest.raises(WireError, match="items"):
        frame_length(cbor2.dumps(list(range(MAX_ITEMS))))
    with pytest.raises(WireError, match="items"):
        frame_length(b"\x81" * 1000)


def frames_of(*pieces: bytes) -> streaming.Frames:
    coming: Iterator[bytes] = iter(pieces)

    async def receive() -> dict[str, Any]:
        piece = next(coming, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return streaming.Frames(STREAMS[ENCRYPT], receive)


def test_no_more_than_a_frame_is_held() -> None:
    async def held() -> int:
        piece = cbor2.dumps({"plain": bytes(50_000)})
        frames, most = frames_of(*[piece] * 100), 0
        for _ in range(100):
            await frames.next()
            most = max(most, len(frames._buffer))
        return most

    assert asyncio.run(held()) <= 60_000
