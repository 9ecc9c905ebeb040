"""Proofs of inclusion and of consistency: too long, too short, in another order, for another place; and odd JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.audit.verifier_vectors.world import (
    HOLDS,
    LINES,
    NAME,
    NOTE,
    OLD,
    SIZE,
    STRANGER,
    UNREADABLE,
    Case,
    encoded,
    entry,
    growth,
    leaf_hash,
    line,
    note,
    note_of,
    root_of,
    text_of,
)

NO_ROOT, LONG, REWRITTEN = "does not lead to the root", "is too long", "history was rewritten"
MORE = encoded([leaf_hash(b"more")])[0]


def cases() -> Iterator[Case]:
    yield from _entries()
    yield from _growth()
    for case, what in (("entry", entry()), ("growth", growth())):
        yield from _paths(case, what)
        yield from _odd_json(case, what)


def _parts(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.files["proof.json"] or "")
    return found


def _entries() -> Iterator[Case]:
    for index in (0, 6, SIZE - 1):
        yield entry(index).but(f"entry-{index}", f"entry {index} of {SIZE}", "holds: 1 entries", HOLDS)
    yield entry(0, 1).but("entry-only", "the only one: nothing to prove with", "holds: 1 entries", HOLDS)
    yield entry(3, 8).but("entry-full", "of a complete tree", "holds: 1 entries", HOLDS)
    for case, comment, reason, changes in (
        ("edited", "the entry was edited", NO_ROOT, {"entry": LINES[6].decode().replace("done", "fail")}),
        ("neighbour", "its neighbour's proof", NO_ROOT, {"entry": LINES[7].decode()}),
        ("index", "the index of its neighbour", NO_ROOT, {"index": 7}),
        ("index-far", "an index in another subtree", NO_ROOT, {"index": 2}),
        ("index-last", "the index of the last", LONG, {"index": SIZE - 1}),
        ("index-size", "an index after the last", "no such entry", {"index": SIZE}),
        ("index-largest", "the largest index", "no such entry", {"index": 2**63 - 1}),
        ("smaller", "under the checkpoint of an earlier visit", "no such entry", {"checkpoint": note_of(LINES[:OLD])}),
        ("larger", "under a later checkpoint", NO_ROOT, {"checkpoint": note_of([*LINES, line(11)])}),
        ("node", "an inner node for an entry", NO_ROOT, {"entry": "\x01" + "x" * 63}),
        ("stranger", "a checkpoint by somebody else", "no signature", {"checkpoint": note(text_of(LINES), STRANGER)}),
    ):
        yield entry(**changes).but(f"entry-{case}", comment, reason)
    odd: tuple[tuple[str, Any], ...] = (
        ("negative", -1),
        ("huge", 2**63),
        ("float", 6.0),
        ("true", True),
        ("text", "6"),
        ("null", None),
    )
    for name, index in odd:
        words = f"an index of {index!r}"
        yield entry(index=index).but(f"entry-index-{name}", words, "index is not a number", UNREADABLE)
    texts: tuple[tuple[str, Any], ...] = (("surrogate", "\ud800"), ("number", 5), ("null", None), ("list", ["x"]))
    for name, value in texts:
        yield entry(entry=value).but(f"entry-{name}", "an entry that is no text", "entry is not text", UNREADABLE)
        yield entry(checkpoint=value).but(
            f"entry-checkpoint-{name}", "a checkpoint that is no text", "checkpoint is not text", UNREADABLE
        )


def _growth() -> Iterator[Case]:
    for old in (1, 2, OLD, 8, 10):
        yield growth(old).but(f"growth-{old}", f"from {old} to {SIZE}", "holds", HOLDS)
    yield growth(SIZE).but("growth-none", "nothing was added", "holds", HOLDS)
    yield growth(4, 8).but("growth-full", "both complete trees", "holds", HOLDS)
    other = note_of([*LINES[: OLD - 1], line(40)])
    yield growth().but("growth-other-past", "another fifth entry was seen", REWRITTEN, old=other)
    yield growth(8).but(
        "growth-other-full", "another eighth entry was seen", REWRITTEN, old=note_of([*LINES[:7], line(40)])
    )
    yield growth().but("growth-other-size", "a proof from another size", LONG, old=note_of(LINES[:6]))
    yield growth().but("growth-shrunk", "a database that was set back", "has shrunk", old=note_of([*LINES, line(11)]))
    same = note_of([*LINES[:-1], line(40)])
    yield growth(SIZE).but("growth-two-roots", "two roots for one size", "two roots", old=same)
    yield growth(SIZE, proof=[MORE]).but("growth-needless", "a proof where there is nothing to prove", "two roots")
    yield growth().but("growth-epoch", "a log of its own", "two logs", old=note(text_of(LINES[:OLD], f"{NAME}/2")))
    yield growth().but(
        "growth-stranger", "an old one by somebody else", "no signature", old=note(text_of(LINES[:OLD]), STRANGER)
    )
    yield growth(proof=[]).but("growth-empty", "no proof", "proof is empty")
    yield growth(8, proof=[]).but("growth-full-empty", "no proof from a complete tree", REWRITTEN)
    root = encoded([root_of(LINES)])
    yield growth(proof=root).but("growth-root", "the root for a proof", REWRITTEN)
    no_old = ("consistency", "proof.json", "--key", "key")
    yield growth().but("growth-no-old", "nothing to compare with", "--old is needed", UNREADABLE).called(*no_old)


def _paths(name: str, good: Case) -> Iterator[Case]:
    parts = _parts(good)
    path = parts["proof"]
    wrong = NO_ROOT if name == "entry" else REWRITTEN
    for case, comment, reason, changed in (
        ("long", "one hash too many", LONG, [*path, MORE]),
        ("long-first", "one hash too many, at its beginning", LONG, [MORE, *path]),
        ("short", "the last hash is missing", wrong, path[:-1]),
        ("short-first", "the first hash is missing", wrong, path[1:]),
        ("swapped", "two hashes swapped", wrong, [path[1], path[0], *path[2:]]),
        ("reversed", "the other way round", wrong, path[::-1]),
        ("doubled", "a hash twice", LONG, [path[0], *path]),
        ("other", "a hash of something else", wrong, [*path[:-1], MORE]),
    ):
        yield good.but(f"{name}-path-{case}", comment, reason, proof=json.dumps(parts | {"proof": changed}))
    odd: tuple[tuple[str, Any], ...] = (
        ("text", ""),
        ("object", {}),
        ("null", None),
        ("number", 0),
        ("numbers", [1]),
        ("nested", [path]),
        ("short-hash", [path[0][:-4]]),
        ("unpadded", [each.rstrip("=") for each in path]),
        ("blanks", [f"{each} " for each in path]),
        ("hex", [leaf_hash(b"more").hex()]),
        ("url", [path[0][:-2] + "-="]),
        ("cyrillic", ["\N{CYRILLIC CAPITAL LETTER A}" + path[0][1:]]),
    )
    for case, value in odd:
        text = json.dumps(parts | {"proof": value})
        yield good.but(f"{name}-proof-{case}", "no list of hashes", "not a list of hashes", UNREADABLE, proof=text)


def _odd_json(name: str, good: Case) -> Iterator[Case]:
    text = good.files["proof.json"] or ""
    spaced = json.dumps(json.loads(text), indent=3)
    yield good.but(f"{name}-json-spaced", "other white space, which says nothing", "holds", HOLDS, proof=spaced)
    for case, comment, reason, content in (
        ("cut", "cut off", "is not JSON", text[:-10]),
        ("empty", "an empty file", "is not JSON", ""),
        ("more", "something follows", "is not JSON", text + "{}"),
        ("single", "single quotes", "is not JSON", text.replace('"', "'")),
        ("twice", "a proof twice, the good one last", "is not JSON", '{"proof": [],' + text[1:]),
        ("twice-last", "a checkpoint twice, the good one first", "is not JSON", text[:-1] + ', "checkpoint": "x"}'),
        ("nested", "five thousand brackets", "is not JSON", "[" * 5_000),
        ("nested-objects", "two thousand braces", "is not JSON", '{"":' * 2_000),
        ("bom", "a byte order mark", "is not JSON", "\ufeff" + text),
        ("array", "a list for an object", "is not an object", f"[{text}]"),
        ("nothing", "nothing in it", "is not text", "{}"),
        ("digits", "a number of 5000 digits", "is not JSON", text[:-1] + f', "index": {"9" * 5000}' + "}"),
        ("exponent", "a number that is none", "is not text", '{"index": 1e999, "checkpoint": NaN}'),
    ):
        yield good.but(f"{name}-json-{case}", comment, reason, UNREADABLE, proof=content)
    yield good.but(
        f"{name}-json-bytes", "a byte that is no UTF-8", "cannot be read", UNREADABLE, proof=b"\xff" + text.encode()
    )
    yield good.but(f"{name}-json-utf-16", "in UTF-16", "cannot be read", UNREADABLE, proof=text.encode("utf-16"))
    yield good.but(f"{name}-json-missing", "no file", "cannot be read", UNREADABLE, proof=None)
    parts = _parts(good)
    unsigned = json.dumps(parts | {"checkpoint": NOTE.partition("\n\n")[0] + "\n"})
    yield good.but(f"{name}-unsigned", "a checkpoint without a signature", "no signature", UNREADABLE, proof=unsigned)
