"""The bytes of an entry are for ever: what was sealed once must be rendered the same by every later version."""

from __future__ import annotations

import hashlib

import pytest

from kms.audit import keystead_verify, leaf, merkle
from kms.audit.checkpoint import Checkpoint, signed_note, verifier_key

ACCOUNT, ACTOR, THING = (f"{number:08}-0000-4000-8000-000000000000" for number in (1, 2, 3))
ROW = (
    *(7, "2026-11-28T05:00:00.000001Z", ACCOUNT, "user", ACTOR, "password", None, "object.export", "administrative"),
    *("info", "done", "granted", "object", THING, [ACCOUNT], "2001:db8::1", ACTOR, 1234),
    '{"size": 256, "name": "caf\\u00e9 \\"x\\"", "kind": "AES"}',
)
LINE = (
    '{"v":1,"sequence":7,"time":"2026-11-28T05:00:00.000001Z","account":"00000001-0000-4000-8000-000000000000",'
    '"actor_kind":"user","actor":"00000002-0000-4000-8000-000000000000","method":"password","session":null,'
    '"action":"object.export","category":"administrative","severity":"info","outcome":"done","reason":"granted",'
    '"object_kind":"object","object":"00000003-0000-4000-8000-000000000000",'
    '"groups":["00000001-0000-4000-8000-000000000000"],"client_ip":"2001:db8::1",'
    '"request":"00000002-0000-4000-8000-000000000000","duration_us":1234,'
    '"details":{"kind":"AES","name":"café \\"x\\"","size":256}}'
)


def test_a_line_is_what_it_was_in_version_1() -> None:
    assert leaf.line_of(ROW) == LINE.encode()


def test_its_hash_is_what_it_was_in_version_1() -> None:
    expected = hashlib.sha256(b"\0" + LINE.encode()).digest()
    assert merkle.leaf_hash(leaf.line_of(ROW)) == keystead_verify.leaf_hash(LINE.encode()) == expected
    assert expected.hex() == "14214547e6f756dd7661c6c90b03999d5af110b51c03c41e8f2f34e907283b95"


def test_each_column_is_selected_as_text_that_the_database_renders() -> None:
    """A change of an expression is a change of every line: it takes a new version."""
    assert (
        hashlib.sha256(leaf.SELECTED.encode()).hexdigest()
        == "611823e00bea45fb196764de7227cd9796f2e63cfbf7407866fea56eca6f250e"
    )


def test_a_row_that_lacks_a_column_is_no_line() -> None:
    with pytest.raises((ValueError, TypeError)):
        leaf.line_of(())


def test_a_note_is_what_it_was_in_version_1() -> None:
    checkpoint = Checkpoint("keystead/x/record/1", 3, bytes(range(32)))
    note = signed_note(checkpoint.text(), "keystead/x/record", b"spki", lambda data: b"<" + data[:8] + b">")
    assert note == (
        "keystead/x/record/1\n3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n"
        "\N{EM DASH} keystead/x/record b+7MjDxrZXlzdGVhZD4=\n"
    )
    assert verifier_key("keystead/x/record", b"spki") == "keystead/x/record+6feecc8c+AnNwa2k="
