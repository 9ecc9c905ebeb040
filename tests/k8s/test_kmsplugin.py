"""The plugin as an API server uses it, on a real server: what it encrypts, under which key, and when it refuses."""

from __future__ import annotations

import base64
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import grpc
import pytest

from k8s.kmsplugin.envelope import MAX_BYTES, MAX_PLAINTEXT, OVERHEAD
from tests.acceptance.server import RunningServer
from tests.kit.kms_plugin import KmsPlace, RunningPlugin, Stub

SEED = secrets.token_bytes(32)
DENIED, BAD = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def stub(plugin: RunningPlugin) -> Iterator[Stub]:
    """To a plugin of the test's own, whose key it may change."""
    with Stub(plugin.socket) as opened:
        yield opened


@pytest.fixture(scope="module")
def lasting(server: RunningServer) -> Iterator[tuple[Stub, KmsPlace]]:
    """For tests that leave the key as it is."""
    folder, place = Path(tempfile.mkdtemp(prefix="kms-")), KmsPlace(server, "lasting")
    plugin = RunningPlugin(folder / "plugin", place).start()
    with Stub(plugin.socket) as opened:
        yield opened, place
    plugin.remove()
    shutil.rmtree(folder)


def refused(call: Callable[..., object], *arguments: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments)
    return caught.value.code(), caught.value.details() or ""


def test_a_seed_comes_back_and_etcd_would_see_nothing_of_it(lasting: tuple[Stub, KmsPlace]) -> None:
    stub, place = lasting
    status = stub.status()
    assert (status.version, status.healthz, status.key_id) == ("v2", "ok", place.key)
    sealed = stub.encrypt(SEED)
    assert sealed.key_id == place.key
    assert not sealed.annotations
    assert len(sealed.ciphertext) == OVERHEAD + len(SEED)
    assert SEED not in sealed.ciphertext
    assert stub.encrypt(SEED).ciphertext != sealed.ciphertext
    assert stub.decrypt(sealed.ciphertext, sealed.key_id) == SEED


def test_what_fits_into_etcds_limit_is_encrypted_and_no_more(lasting: tuple[Stub, KmsPlace]) -> None:
    stub, _ = lasting
    longest = stub.encrypt(bytes(MAX_PLAINTEXT))
    assert len(longest.ciphertext) == MAX_BYTES
    assert stub.decrypt(longest.ciphertext, longest.key_id) == bytes(MAX_PLAINTEXT)
    for plaintext in (b"", bytes(MAX_PLAINTEXT + 1)):
        assert refused(stub.encrypt, plaintext)[0] is BAD


def test_a_rotation_shows_at_once_and_old_seeds_still_open(stub: Stub, place: KmsPlace) -> None:
    old = stub.encrypt(SEED)
    new_key = place.rotate()
    assert stub.status().key_id == new_key != old.key_id
    new = stub.encrypt(SEED)
    assert new.key_id == new_key
    for sealed in (old, new):
        assert stub.decrypt(sealed.ciphertext, sealed.key_id) == SEED


def test_a_rotation_that_deactivates_the_old_key_leaves_it_to_decrypt(stub: Stub, place: KmsPlace) -> None:
    old = stub.encrypt(SEED)
    place.rotate(deactivate=True)
    assert stub.encrypt(SEED).key_id == place.key
    assert stub.decrypt(old.ciphertext, old.key_id) == SEED


def test_a_disabled_key_fails_every_call(stub: Stub, place: KmsPlace) -> None:
    sealed = stub.encrypt(SEED)
    place.change_key(enabled=False)
    for call, arguments in (
        (stub.status, ()),
        (stub.encrypt, (SEED,)),
        (stub.decrypt, (sealed.ciphertext, sealed.key_id)),
    ):
        code, why = refused(call, *arguments)
        assert code is DENIED
        assert "disabled" in why
    place.change_key(enabled=True)
    assert stub.status().healthz == "ok"
    assert stub.decrypt(sealed.ciphertext, sealed.key_id) == SEED


def test_a_revoked_key_takes_no_new_seeds_and_opens_old_ones(stub: Stub, place: KmsPlace) -> None:
    sealed = stub.encrypt(SEED)
    revocation = {"code": "KeyCompromise", "compromise_occurance_date": "20260101T000000Z", "message": "lost"}
    place.administrator("POST", f"/crypto/v1/keys/{place.key}/revoke", revocation)
    assert refused(stub.status)[0] is DENIED
    assert refused(stub.encrypt, SEED)[0] is DENIED
    assert stub.decrypt(sealed.ciphertext, sealed.key_id) == SEED


def test_a_destroyed_key_opens_nothing(stub: Stub, place: KmsPlace) -> None:
    old = stub.encrypt(SEED)
    place.rotate(deactivate=True)
    place.administrator("POST", f"/crypto/v1/keys/{old.key_id}/destroy")
    assert refused(stub.decrypt, old.ciphertext, old.key_id)[0] is DENIED
    assert stub.status().healthz == "ok"


@pytest.mark.parametrize(
    "made", [{"obj_type": "AES", "key_ops": ["DECRYPT"]}, {"obj_type": "AES", "key_ops": ["ENCRYPT"]}]
)
def test_a_key_that_may_do_only_half_is_not_healthy(stub: Stub, place: KmsPlace, made: dict[str, object]) -> None:
    place.change_key(name=f"{place.name}-before")
    place.new_key(**made)
    code, why = refused(stub.status)
    assert code is DENIED
    assert "may not" in why


def test_a_missing_right_shows_in_status_and_not_only_when_it_is_too_late(stub: Stub, place: KmsPlace) -> None:
    assert stub.status().healthz == "ok"
    place.administrator("PATCH", f"/sys/v1/apps/{place.app}", {"mod_groups": {place.group: ["ENCRYPT"]}})
    assert refused(stub.status)[0] is DENIED


def test_no_key_of_that_name_is_said_so(stub: Stub, place: KmsPlace) -> None:
    place.change_key(name=f"{place.name}-elsewhere")
    code, why = refused(stub.status)
    assert code is DENIED
    assert "does not exist" in why


def test_whatever_was_changed_in_a_ciphertext_it_does_not_open(lasting: tuple[Stub, KmsPlace]) -> None:
    stub, _ = lasting
    sealed = stub.encrypt(SEED)
    for position in range(len(sealed.ciphertext)):
        changed = bytearray(sealed.ciphertext)
        changed[position] ^= 1
        code, _ = refused(stub.decrypt, bytes(changed), sealed.key_id)
        assert code is BAD, position


@pytest.mark.parametrize("length", [0, 1, OVERHEAD, OVERHEAD + 1, MAX_BYTES, MAX_BYTES + 1, 50_000])
def test_garbage_is_bad_and_costs_the_plugin_nothing(lasting: tuple[Stub, KmsPlace], length: int) -> None:
    stub, place = lasting
    assert refused(stub.decrypt, secrets.token_bytes(length), place.key)[0] is BAD
    assert stub.status().healthz == "ok"


def test_a_message_that_is_longer_than_kubernetes_sends_is_refused(lasting: tuple[Stub, KmsPlace]) -> None:
    stub, place = lasting
    assert refused(stub.decrypt, bytes(100_000), place.key)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("key_id", ["", "another", str(UUID(int=7))])
def test_the_wrong_key_id_opens_nothing(lasting: tuple[Stub, KmsPlace], key_id: str) -> None:
    stub, _ = lasting
    sealed = stub.encrypt(SEED)
    code, why = refused(stub.decrypt, sealed.ciphertext, key_id)
    assert code is BAD
    assert "key that the request names" in why


def test_an_envelope_may_not_name_a_strangers_key(lasting: tuple[Stub, KmsPlace], server: RunningServer) -> None:
    stub, _ = lasting
    sealed = stub.encrypt(SEED)
    stranger = KmsPlace(server, "stranger").key
    moved = sealed.ciphertext[:1] + UUID(stranger).bytes + sealed.ciphertext[17:]
    assert refused(stub.decrypt, moved, stranger)[0] is DENIED


def test_another_cluster_opens_nothing_of_ours_though_it_has_the_same_key(
    stub: Stub, plugin_of: Callable[..., RunningPlugin]
) -> None:
    sealed = stub.encrypt(SEED)
    with Stub(plugin_of(cluster="another").start().socket) as other:
        assert other.status().healthz == "ok"
        assert refused(other.decrypt, sealed.ciphertext, sealed.key_id)[0] is BAD


def test_what_is_encrypted_for_something_else_under_the_same_key_does_not_open(lasting: tuple[Stub, KmsPlace]) -> None:
    stub, place = lasting
    app = f"Basic {place.api_key()}"
    body = {"key": {"kid": place.key}, "alg": "AES", "mode": "GCM", "tag_len": 128, "plain": "c2VjcmV0"}
    answer = place.server.request("POST", "/crypto/v1/encrypt", body, authorization=app).json
    iv, tag, cipher = (base64.b64decode(answer[name]) for name in ("iv", "tag", "cipher"))
    assert refused(stub.decrypt, b"\x01" + UUID(place.key).bytes + iv + tag + cipher, place.key)[0] is BAD


def test_the_api_servers_uid_is_in_the_record(lasting: tuple[Stub, KmsPlace]) -> None:
    stub, place = lasting
    encrypting, decrypting, bad = str(uuid4()), str(uuid4()), str(uuid4())
    sealed = stub.encrypt(SEED, encrypting)
    stub.decrypt(sealed.ciphertext, sealed.key_id, decrypting)
    with pytest.raises(grpc.RpcError):
        stub.decrypt(sealed.ciphertext[:-1] + b"\0", sealed.key_id, bad)
    assert ("object.encrypt", "done") in place.entries_of(encrypting)
    assert place.entries_of(decrypting) == [("object.decrypt", "done")]
    assert place.entries_of(bad) == [("object.decrypt", "failed")]


def test_plugins_agree_on_the_key_before_and_after_a_rotation(
    plugin_of: Callable[..., RunningPlugin], place: KmsPlace
) -> None:
    first, second = (Stub(plugin_of().start().socket) for _ in range(2))
    with first, second:
        sealed = first.encrypt(SEED)
        assert first.status().key_id == second.status().key_id == place.key
        place.rotate()
        assert first.status().key_id == second.status().key_id == place.key
        assert second.decrypt(sealed.ciphertext, sealed.key_id) == SEED
        assert first.decrypt(second.encrypt(SEED).ciphertext, place.key) == SEED


def test_version_1_is_served_when_asked_for_only(stub: Stub, plugin_of: Callable[..., RunningPlugin]) -> None:
    assert refused(stub.version_1)[0] is grpc.StatusCode.UNIMPLEMENTED
    with Stub(plugin_of(listen="v1 = true").start().socket) as old:
        version = old.version_1()
        assert (version.version, version.runtime_name, version.runtime_version) == ("v1beta1", "Keystead", "0.1.0")
        cipher = old.encrypt_1(SEED)
        assert old.decrypt_1(cipher) == SEED
        assert refused(old.decrypt_1, cipher[:-1])[0] is BAD
        # One format for both, so that a cluster moves from version 1 to 2 with the secrets that it has.
        assert stub.decrypt(cipher, str(UUID(bytes=cipher[1:17]))) == SEED
