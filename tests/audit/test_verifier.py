"""The auditor's verifier on its own: the published cases, the same from any copy, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kms.audit import keystead_verify
from tests.audit.verifier_vectors.__main__ import SHIPPED, all_cases, rendered
from tests.audit.verifier_vectors.world import FILES, HOLDS, Case

CASES = all_cases()
VERIFIER = Path(keystead_verify.__file__)


def said_of(case: Case, folder: Path) -> tuple[int, str]:
    """What the verifier says of it in this folder, and its exit status."""
    for name in FILES.values():
        (folder / name).unlink(missing_ok=True)
    for name, content in case.files.items():
        if content is not None:
            (folder / name).write_bytes(content.encode(errors="surrogateescape"))
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as said:
        status = keystead_verify.main(list(case.arguments))
    return status, said.getvalue()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_published_case_is_judged_as_it_must_be(case: Case, tmp_path: Path) -> None:
    status, said = said_of(case, tmp_path)
    assert keystead_verify.RESULTS[status] == case.result, said
    assert case.reason in said


def test_every_case_of_the_tree_passes_at_once(tmp_path: Path) -> None:
    """As ``selftest`` does it, in this process: the first to notice that something was changed."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert keystead_verify.selftest(json.loads(rendered())) == 0, said.getvalue()


def test_a_case_that_ends_otherwise_is_told_with_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    published = json.loads(rendered())
    published["cases"] = published["cases"][:4]
    published["cases"][1]["result"] = "unreadable"
    published["cases"][2]["reason"] = "because"
    assert keystead_verify.selftest(published) == 1
    first, second, counted = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"bundle-whole: must be unreadable \(holds\); it was said: holds: 11 entries .*", first)
    assert re.fullmatch(r"bundle-no-old: must be holds \(because\); it was said: holds: 8 entries .*", second)
    assert counted == "2 of 4 cases as they must be"


def test_what_is_no_file_of_cases_cannot_be_read() -> None:
    for nothing in ({}, {"cases": None}, {"cases": "none"}):
        with pytest.raises(keystead_verify.Unreadable, match=r"^the file holds no cases$"):
            keystead_verify.selftest(nothing)


def test_the_published_cases_are_those_of_the_tree() -> None:
    """``python -m tests.audit.verifier_vectors`` writes them anew."""
    assert SHIPPED.read_text(encoding="ascii") == rendered()
    assert max(Counter(case.id for case in CASES).values()) == 1
    assert len(CASES) >= 300
    assert all(case.reason for case in CASES)


def selftest(verifier: Path, vectors: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, verifier, "selftest", vectors],
        capture_output=True,
        text=True,
        cwd=verifier.parent,
        env={"PATH": os.defpath, **environment},
        timeout=60,
        check=False,
    )


def test_a_copy_of_the_verifier_alone_passes_its_test(tmp_path: Path) -> None:
    """On a machine that has nothing of ours but the two files, whose terminal knows ASCII alone."""
    (tmp_path / "verify.py").write_bytes(VERIFIER.read_bytes())
    found = selftest(tmp_path / "verify.py", SHIPPED, PYTHONIOENCODING="ascii")
    assert (found.returncode, found.stderr) == (0, "")
    assert f"{len(CASES)} of {len(CASES)} cases as they must be" in found.stdout


def test_a_file_that_holds_no_cases_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "cases.json").write_text("{}")
    found = selftest(VERIFIER, tmp_path / "cases.json")
    assert (found.returncode, found.stderr) == (2, "")


# What somebody might take out of their copy, and a case that notices. As if the line had never been.
BLINDNESS = {
    "if tree.root() != new.root:": "entry-edited-new",
    "if old.root != tree.root():": "rechained-signed-edited",
    "if old.origin != new.origin:": "old-of-another-epoch",
    "if last != 0 or reached != root:": "entry-edited",
    "if last != 0 or before != old.root or after != new.root:": "growth-other-past",
    'if base64.b64encode(raw).decode() != text:': "signed-root-bits",
    "if len(found) != len(pairs):": "entry-json-twice",
}  # fmt: skip


@pytest.mark.parametrize("line", BLINDNESS)
def test_a_copy_that_does_not_look_is_told_apart(line: str, tmp_path: Path) -> None:
    text = VERIFIER.read_text()
    assert text.count(line) == 1
    (tmp_path / "verify.py").write_text(text.replace(line, "if False:"))
    found = selftest(tmp_path / "verify.py", SHIPPED)
    assert found.returncode == 1
    assert f"\n{BLINDNESS[line]}: must be" in f"\n{found.stdout}"


# -- whatever it is given ------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def spoilt(draw: st.DrawFn) -> Case:
    """A case of which one file is spoilt: bytes changed, cut out or put in, or a part of its JSON replaced."""
    case = draw(st.sampled_from([each for each in CASES if each.result == HOLDS]))
    name = draw(st.sampled_from(sorted(name for name, content in case.files.items() if content)))
    content = (case.files[name] or "").encode(errors="surrogateescape")
    if name.endswith(".json") and draw(st.booleans()):
        parts: dict[str, Any] = json.loads(content)
        parts[draw(st.sampled_from(sorted(parts)))] = draw(JSON)
        content = json.dumps(parts).encode()
    else:
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=8)) + content[at + draw(st.integers(0, 8)) :]
    return case.but("spoilt", "", "", files={_PARTS[name]: content})


_PARTS = {file: part for part, file in FILES.items()}


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(spoilt())
def test_it_never_ends_in_a_traceback(tmp_path: Path, case: Case) -> None:
    status, said = said_of(case, tmp_path)
    start = ("holds: ", "DOES NOT HOLD: ", "cannot be verified: ")[status]
    assert any(line.startswith(start) for line in said.splitlines())


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.sampled_from(sorted(FILES)), min_size=1, unique=True), st.data())
def test_rubbish_never_holds(tmp_path: Path, names: list[str], data: st.DataObject) -> None:
    """Files of nothing but rubbish, signed checkpoint among them."""
    case = data.draw(st.sampled_from([each for each in CASES if each.result == HOLDS]))
    rubbish = {name: data.draw(st.binary(max_size=200)) for name in {*names, "checkpoint", "proof"}}
    status, _ = said_of(case.but("rubbish", "", "", files=rubbish), tmp_path)
    assert status != 0
