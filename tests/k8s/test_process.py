"""The plugin as a process: its socket, its configuration, its end, and what it tells."""

from __future__ import annotations

import os
import re
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import pytest

from tests.acceptance.server import free_port
from tests.kit.kms_plugin import KmsPlace, RunningPlugin, Stub, private

SEED = b"the seed that nobody may ever see"
Make = Callable[..., RunningPlugin]


# -- the socket ----------------------------------------------------------------------------------------------------


def test_nobody_else_can_connect(plugin: RunningPlugin) -> None:
    found = plugin.socket.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_it_ends_when_told_and_takes_its_socket_along(plugin: RunningPlugin) -> None:
    assert plugin.stop() == 0
    assert not plugin.socket.exists()
    assert plugin.lines[-1]["event"] == "stopping"


def test_a_call_that_is_under_way_is_finished_before_the_end(plugin_of: Make, place: KmsPlace) -> None:
    """The only server that is up takes its time: a listener that accepts and says nothing, then a real one."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        plugin = plugin_of(addresses=[address, place.server.url], server="attempt_seconds = 1.0").start()
        with Stub(plugin.socket) as stub:
            outcome: list[object] = []
            calling = threading.Thread(target=lambda: outcome.append(stub.encrypt(SEED)))
            calling.start()
            with silent.accept()[0]:
                assert plugin.stop() == 0
                calling.join()
    assert outcome[0].key_id == place.key  # type: ignore[attr-defined]  # an EncryptResponse


def test_a_socket_that_a_killed_plugin_left_is_taken_over(plugin: RunningPlugin) -> None:
    plugin.kill()
    assert plugin.socket.exists()
    plugin.start()
    with Stub(plugin.socket) as stub:
        assert stub.status().healthz == "ok"


def test_a_second_plugin_does_not_take_the_first_ones_socket(plugin: RunningPlugin) -> None:
    second = plugin.run()
    assert second.returncode == 2
    assert "another plugin serves on it" in second.stderr
    with Stub(plugin.socket) as stub:
        assert stub.status().healthz == "ok"


def test_what_is_no_socket_is_left_alone(plugin_of: Make) -> None:
    plugin = plugin_of()
    plugin.socket.write_text("somebody's notes")
    ended = plugin.run()
    assert ended.returncode == 2
    assert "no socket" in ended.stderr
    assert plugin.socket.read_text() == "somebody's notes"


def test_a_folder_in_which_others_may_write_is_refused(plugin_of: Make) -> None:
    plugin = plugin_of()
    plugin.folder.chmod(0o770)
    ended = plugin.run()
    assert ended.returncode == 2
    assert "chmod go-w" in ended.stderr
    plugin.folder.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_folder_and_socket_are_refused(plugin_of: Make) -> None:
    plugin = plugin_of()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(plugin.socket))
    os.chown(plugin.socket, 65534, 65534)
    assert "user 65534's socket" in plugin.run().stderr
    os.chown(plugin.folder, 65534, 65534)
    assert "belongs to user 65534" in plugin.run().stderr
    assert plugin.socket.exists()


# -- the configuration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "instead", "words"),
    [
        (r"\[listen\]", "[listen", "kmsplugin.toml"),
        (r"(?m)^socket = .*$", "", r"missing required field `socket`"),
        (r"(?m)^socket = .*$", 'socket = "relative"', "absolute path"),
        (r"(?m)^socket = .*$", f'socket = "/{"s" * 120}"', "107 bytes"),
        (r"(?m)^name = .*$", 'name = ""', "the key's name"),
        (r"(?m)^cluster = .*$", 'cluster = "two words"', "cluster: 1 to 63"),
        (r"(?m)^addresses = .*$", "addresses = []", "at least one server"),
        (r"(?m)^addresses = .*$", 'addresses = ["http://127.0.0.1"]', "is not https://"),
        (r"(?m)^addresses = .*$", "addresses = 7", r"Expected `array`, got `int` - at `\$.server.addresses`"),
        (r"(?m)^api_key_file = .*$", "", "exactly one of"),
        (r"(?m)^api_key_file = .*$", 'api_key_file = "/nowhere/api.key"', "/nowhere/api.key: No such file"),
        (r"(?m)^ca_file = .*$", 'ca_file = "/nowhere/ca.pem"', "/nowhere/ca.pem: No such file"),
        (r"(?m)^\[server\]$", '[server]\nadresses = ["x"]', "unknown field `adresses`"),
        (r"(?m)^\[listen\]$", '[listen]\ntelemetry = "0.0.0.0:9469"', "not a loopback address"),
        (r"(?m)^\[listen\]$", '[listen]\ntelemetry = "127.0.0.1:99999"', "not a loopback address"),
        (r"(?m)^\[listen\]$", 'log_level = "LOUD"\n[listen]', "log_level: DEBUG"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_said_so_in_one_line(
    plugin_of: Make, pattern: str, instead: str, words: str
) -> None:
    plugin = plugin_of()
    before = plugin.config.read_text()
    plugin.config.write_text(re.sub(pattern, instead, before))
    assert plugin.config.read_text() != before
    ended = plugin.run()
    assert ended.returncode == 2
    assert re.search(words, ended.stderr), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not plugin.socket.exists()


def test_an_api_key_that_lies_open_is_refused(plugin_of: Make, short: Path) -> None:
    plugin = plugin_of()
    for folder in (short, plugin.folder):
        folder.chmod(0o755)
    plugin.api_key.chmod(0o644)
    ended = plugin.run()
    assert ended.returncode == 2
    assert "chmod o-r" in ended.stderr
    plugin.folder.chmod(0o700)
    assert plugin.run("--check").returncode == 0  # nobody gets as far as the file


def test_check_says_whether_it_would_work(plugin_of: Make, place: KmsPlace) -> None:
    plugin = plugin_of()
    worked = plugin.run("--check")
    assert (worked.returncode, worked.stdout) == (0, f"{place.name} is {place.key}, and works\n")
    place.change_key(enabled=False)
    failed = plugin.run("--check")
    assert failed.returncode == 1
    assert "refused: " in failed.stderr
    assert "the key is disabled" in failed.stderr


# -- what it tells -------------------------------------------------------------------------------------------------


def test_metrics_and_health_are_there_when_asked_for(plugin_of: Make, place: KmsPlace) -> None:
    port = free_port()
    plugin = plugin_of(listen=f'telemetry = "127.0.0.1:{port}"').start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as ask, Stub(plugin.socket) as stub:
        assert ask.get("/livez").text == ask.get("/readyz").text == "ok\n"
        stub.status()
        stub.encrypt(SEED)
        with pytest.raises(grpc.RpcError):
            stub.decrypt(b"garbage", place.key)
        metrics = ask.get("/metrics").text
        for line in (
            'keystead_kms_calls_total{code="OK",method="Status"} 1.0',
            'keystead_kms_calls_total{code="OK",method="Encrypt"} 1.0',
            'keystead_kms_calls_total{code="INVALID_ARGUMENT",method="Decrypt"} 1.0',
            'keystead_kms_call_seconds_count{method="Encrypt"} 1.0',
            f'keystead_kms_key_info{{key_id="{place.key}"}} 1.0',
        ):
            assert f"\n{line}\n" in metrics, metrics
        assert ask.get("/secrets").status_code == 404


def test_a_plugin_whose_key_does_not_work_lives_and_is_not_ready(plugin_of: Make, place: KmsPlace) -> None:
    place.change_key(enabled=False)
    port = free_port()
    plugin_of(listen=f'telemetry = "127.0.0.1:{port}"').start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as ask:
        assert ask.get("/livez").status_code == 200
        ready = ask.get("/readyz")
        assert (ready.status_code, "the key is disabled" in ready.text) == (503, True)


def test_nothing_secret_is_in_the_log_however_a_call_ends(plugin_of: Make, place: KmsPlace) -> None:
    plugin = plugin_of()
    plugin.config.write_text('log_level = "DEBUG"\n' + plugin.config.read_text())
    plugin.start()
    with Stub(plugin.socket) as stub:
        sealed = stub.encrypt(SEED)
        stub.decrypt(sealed.ciphertext, sealed.key_id)
        for call in (
            lambda: stub.encrypt(SEED * 100),
            lambda: stub.decrypt(sealed.ciphertext + SEED, sealed.key_id),
            lambda: stub.decrypt(sealed.ciphertext, "another"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert SEED.decode() not in str(caught.value)
        private(plugin.api_key, "not-a-key")
        with pytest.raises(grpc.RpcError) as caught:
            stub.status()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert len([line for line in plugin.lines if line["event"] == "answered"]) == 6
    secret = place.api_key()
    for hidden in (SEED.decode(), SEED.hex(), secret, "not-a-key", "Bearer "):
        assert hidden not in plugin.said
