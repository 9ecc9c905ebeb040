"""Multi-part encryption with the vendor's CLI: step by step, and by itself for files of 350 KiB and more."""

from __future__ import annotations

import os
from typing import Any

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB, OFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, ECB
from cryptography.hazmat.primitives.padding import PKCS7

from tests.acceptance.conftest import Cli
from tests.acceptance.test_cli import Key, made

IV = bytes(range(16))
# Three of the CLI's pieces, the last one short, in whole blocks.
LONG = os.urandom(2 * 350 * 1024 + 4096)

MODES: dict[str, Any] = {
    "ECB": ECB(),  # noqa: S305 (a mode that the server offers)
    "CBC": CBC(IV),
    "CBCNOPAD": CBC(IV),
    "CTR": CTR(IV),
    "OFB": OFB(IV),
    "CFB": CFB(IV),
}


@pytest.fixture(scope="module")
def aes(app: Cli) -> Key:
    return made(app, "AES", "--key-size", "256", export=True)


def expected(algorithm: Any, mode: str, data: bytes) -> bytes:
    if mode == "CBC":
        pad = PKCS7(algorithm.block_size).padder()
        data = pad.update(data) + pad.finalize()
    encryptor = Cipher(algorithm, MODES[mode]).encryptor()
    return encryptor.update(data) + encryptor.finalize()


@pytest.mark.parametrize("mode", MODES)
def test_a_long_file_is_encrypted_as_the_standard_says_and_decrypted_again(app: Cli, aes: Key, mode: str) -> None:
    iv = () if mode == "ECB" else ("--iv", IV.hex())
    arguments = ("--kid", aes.kid, "--alg", "AES", "--mode", mode, *iv)
    app("encrypt", *arguments, "--in", app.file("plain", LONG), "--out", "cipher")
    assert app.read("cipher") == expected(AES(aes.material), mode, LONG)
    app("decrypt", *arguments, "--in", "cipher", "--out", "again")
    assert app.read("again") == LONG


def test_a_long_file_under_triple_des(app: Cli) -> None:
    key = made(app, "DES3", "--key-size", "168", export=True)
    arguments = ("--kid", key.kid, "--alg", "DES3", "--mode", "CBC", "--iv", IV[:8].hex())
    app("encrypt", *arguments, "--in", app.file("plain", LONG), "--out", "cipher")
    encryptor = Cipher(TripleDES(key.material), CBC(IV[:8])).encryptor()
    assert app.read("cipher")[: len(LONG)] == encryptor.update(LONG)
    app("decrypt", *arguments, "--in", "cipher", "--out", "again")
    assert app.read("again") == LONG


def test_a_text_is_encrypted_and_decrypted_step_by_step(app: Cli, aes: Key) -> None:
    """A state written by one step is read by the next; each appends what it can answer."""
    named, state, iv = ("--kid", aes.kid), ("--state", "state"), ("--iv", IV.hex())
    app("encrypt-init", *named, "--alg", "AES", "--mode", "CBC", *iv, *state)
    for piece in ("some text, ", "and then ", "some more of it, over a block long"):
        app("encrypt-update", *named, "--plain", piece, *state, "--out", "steps")
    app("encrypt-final", *named, *state, "--out", "steps")
    text = b"some text, and then some more of it, over a block long"
    assert app.read("steps") == expected(AES(aes.material), "CBC", text)
    plain = app.file("whole", text)
    app("encrypt", *named, "--alg", "AES", "--mode", "CBC", *iv, "--in", plain, "--out", "one")
    assert app.read("steps") == app.read("one")


def test_the_way_back_step_by_step_by_name(app: Cli, aes: Key) -> None:
    """The CLI takes ciphertext as an argument, so this one is text: what CTR makes of its own keystream."""
    named, state = ("--name", aes.name), ("--state", "back")
    sealed = "printable so that it is an argument"
    app("decrypt-init", *named, "--alg", "AES", "--mode", "CTR", "--iv", IV.hex(), *state)
    app("decrypt-update", *named, "--cipher", sealed[:20], *state, "--out", "stepwise")
    app("decrypt-update", *named, "--cipher", sealed[20:], *state, "--out", "stepwise")
    app("decrypt-final", *named, *state, "--out", "stepwise")
    assert app.read("stepwise") == expected(AES(aes.material), "CTR", sealed.encode())


def test_an_altered_state_is_refused(app: Cli, aes: Key) -> None:
    app("encrypt-init", "--kid", aes.kid, "--alg", "AES", "--mode", "CBC", "--iv", IV.hex(), "--state", "altered")
    state = app.read("altered")
    app.file("altered", state[:-1] + bytes([state[-1] ^ 1]))
    error = app.refused("encrypt-update", "--kid", aes.kid, "--plain", "x", "--state", "altered", "--out", "nothing")
    assert "The state is not valid" in error


def test_a_mode_that_needs_all_data_at_once_is_refused_by_name(app: Cli, aes: Key) -> None:
    """Decryption: for encryption the CLI asks for a tag length that it has no option for."""
    arguments = ("--kid", aes.kid, "--alg", "AES", "--mode", "CCM", "--iv", IV[:12].hex(), "--state", "none")
    assert "CCM mode takes its data whole" in app.refused("decrypt-init", *arguments)
