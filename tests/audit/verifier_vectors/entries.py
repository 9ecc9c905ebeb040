"""Bundles: entries that were changed, taken out, put in or moved; and whatever the forger then signs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.audit.verifier_vectors.world import (
    DOES_NOT_HOLD,
    HOLDS,
    KEY,
    LINES,
    NAME,
    NOTE,
    OLD,
    SIZE,
    START,
    STRANGER,
    UNREADABLE,
    Case,
    before,
    bundle,
    compact,
    encoded,
    jsonl,
    leaf_hash,
    line,
    note,
    note_of,
    root_of,
    text_of,
)

Lines = list[bytes]
NOT_THOSE, ENDS, REWRITTEN = "not those that", "the bundle ends after", "history was rewritten"

# What is done to the entries at a place: its comment, what it is, and whether there are as many as before.
FORGERIES: tuple[tuple[str, Callable[[Lines, int], Lines], bool], ...] = (
    ("deleted", lambda lines, at: lines[:at] + lines[at + 1 :], False),
    ("inserted", lambda lines, at: [*lines[:at], line(50), *lines[at:]], False),
    ("put in twice", lambda lines, at: [*lines[:at], lines[at - 1], *lines[at:]], False),
    ("swapped", lambda lines, at: [*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]], True),
    ("edited", lambda lines, at: [*lines[:at], lines[at].replace(b"done", b"fail"), *lines[at + 1 :]], True),
    ("written with another space", lambda lines, at: [*lines[:at], lines[at] + b" ", *lines[at + 1 :]], True),
    ("replaced by the one before", lambda lines, at: [*lines[:at], lines[at - 1], *lines[at + 1 :]], True),
)  # fmt: skip


def cases() -> Iterator[Case]:
    yield from _good()
    yield from _changed()
    yield from _rechained()
    yield from _files()
    yield from _beginnings()
    yield from _older()
    yield from _withheld()


def _good() -> Iterator[Case]:
    held = ("holds", HOLDS)
    yield bundle().but("bundle", "from the middle, past an earlier visit", *held)
    yield bundle(0).but("bundle-whole", "from the first entry", *held)
    yield bundle().but("bundle-no-old", "without an earlier visit", *held).called("bundle", ".", "--key", "key")
    yield bundle(OLD).but("bundle-from-old", "it begins where the earlier visit ended", *held)
    yield bundle(8).but("bundle-later", "it begins after the earlier visit, which a proof joins to it", *held)
    yield bundle().but("bundle-same", "the earlier visit was at this checkpoint", *held, old=NOTE)
    yield bundle().but("bundle-key-line-end", "a key whose file ends in CRLF", *held, key=KEY + "\r\n")
    yield bundle().but("bundle-inline-key", "a key on the command line", *held).called("bundle", ".", "--key", KEY)
    silent = [*LINES[:-1], line(SIZE + 20)]
    yield bundle().but(
        "bundle-silence",
        "twenty minutes without an entry are shown, and hold",
        "note: nothing from",
        HOLDS,
        entries=jsonl(silent[START:]),
        checkpoint=note_of(silent),
    )


def _changed() -> Iterator[Case]:
    """Under the checkpoint as it was. What is before the earlier visit is missed first there."""
    for words, forge, as_many in FORGERIES:
        for where, at in (("seen", 1), ("new", 5)):
            changed = forge(LINES[START:], at)
            reason = REWRITTEN if where == "seen" else NOT_THOSE if as_many else ENDS
            case = f"entry-{words.replace(' ', '-')}-{where}"
            yield bundle().but(case, f"an entry was {words}", reason, entries=jsonl(changed))
    yield bundle().but("entries-cut-off", "the last two are missing", ENDS, entries=jsonl(LINES[START:-2]))
    yield bundle().but("entries-one-more", "one more than was signed", ENDS, entries=jsonl([*LINES[START:], line(11)]))
    yield bundle().but("entries-cut-at-start", "the first is missing", REWRITTEN, entries=jsonl(LINES[START + 1 :]))
    yield bundle().but("entries-reversed", "the other way round", REWRITTEN, entries=jsonl(LINES[:2:-1]))
    yield bundle().but("entries-none", "no entry is left", ENDS, entries=b"")


def _rechained() -> Iterator[Case]:
    """Every hash computed anew, under a checkpoint that the forger made."""
    for words, forge, _ in FORGERIES:
        forged = LINES[:START] + forge(LINES[START:], 1)
        parts = {"entries": jsonl(forged[START:])}
        case, text = words.replace(" ", "-"), text_of(forged)
        stolen = text + "\n" + NOTE.partition("\n\n")[2]
        yield bundle().but(
            f"rechained-stolen-{case}",
            f"{words}; the old signature",
            "is not the key's",
            checkpoint=stolen,
            files=parts,
        )
        yield bundle().but(
            f"rechained-stranger-{case}",
            f"{words}; signed by another key of this name",
            "no signature by the key",
            checkpoint=note(text, STRANGER),
            files=parts,
        )
        yield bundle().but(
            f"rechained-signed-{case}",
            f"{words}; the token itself signed it: the earlier visit knows better",
            REWRITTEN,
            checkpoint=note(text),
            files=parts,
        )


def _withheld() -> Iterator[Case]:
    """Entries that are not for this auditor: their hashes stand for them."""

    def lines(at: int, hashed: bytes) -> bytes:
        leaf = compact({"leaf": encoded([hashed])[0]}).replace(" ", "").encode()
        return jsonl([*LINES[START:at], leaf, *LINES[at + 1 :]])

    told = "note: of 1 entries there is the hash alone"
    yield bundle().but(
        "withheld-seen", "one from before the earlier visit", told, HOLDS, entries=lines(4, leaf_hash(LINES[4]))
    )
    yield bundle().but("withheld-new", "a later one", told, HOLDS, entries=lines(8, leaf_hash(LINES[8])))
    yield bundle().but("withheld-other-seen", "another's hash", REWRITTEN, entries=lines(4, leaf_hash(LINES[3])))
    yield bundle().but("withheld-other-new", "another's hash", NOT_THOSE, entries=lines(8, leaf_hash(LINES[7])))
    good = lines(8, leaf_hash(LINES[8]))
    bits = re.sub(rb"(.)=\"}", lambda found: bytes([found[1][0] + 1]) + b'="}', good)
    for case, comment, entries in (
        ("spaced", "written with a space", good.replace(b'"leaf":', b'"leaf": ')),
        ("more", "with something else", good.replace(b'{"leaf"', b'{"v":1,"leaf"')),
        ("bits", "bits that base64 leaves unused are set", bits),
        ("short", "31 bytes", lines(8, leaf_hash(LINES[8])[:31])),
    ):  # fmt: skip
        yield bundle().but(f"withheld-{case}", comment, "has no time", UNREADABLE, entries=entries)


def _files() -> Iterator[Case]:
    good = jsonl(LINES[START:])
    for name in ("entries", "before", "checkpoint", "old"):
        yield bundle().but(f"no-{name}", "a file is not there", "cannot be read", UNREADABLE, {name: None})
    yield bundle().but("entries-last-line-cut", "the last line has no end", "is cut off", entries=good[:-1])
    yield bundle().but("entries-crlf", "lines end in CRLF", REWRITTEN, entries=good.replace(b"\n", b"\r\n"))
    yield bundle().but(
        "entries-empty-line", "an empty line at the end", "has no time", UNREADABLE, entries=good + b"\n"
    )
    for case, time in (
        ("zone", b"2026-01-01T00:03:00.000+01"),
        ("month", b"2026-13-01T00:03:00.000000Z"),
        ("digits", "٢٠٢٦-01-01T00:03:00.000000Z".encode()),
    ):
        odd = good.replace(b"2026-01-01T00:03:00.000000Z", time)
        yield bundle().but(f"entries-time-{case}", "a time in another form", "has no time", UNREADABLE, entries=odd)


def _beginnings() -> Iterator[Case]:
    """What came before the bundle: its size, and the hashes of complete subtrees."""
    good = before(LINES, START)
    hashes = encoded([leaf_hash(b"a"), leaf_hash(b"b")])
    bad = ("do not fit", UNREADABLE)
    yield bundle().but("before-other-hashes", "another past", REWRITTEN, before=compact({"size": 3, "hashes": hashes}))
    yield bundle().but("before-other-size", "as many hashes", REWRITTEN, before=good.replace("3", "5", 1))
    yield bundle().but("before-too-few", "a hash is missing", *bad, before=compact({"size": 3, "hashes": hashes[:1]}))
    yield bundle().but("before-too-many", "a hash too many", *bad, before=compact({"size": 1, "hashes": hashes}))
    for case, size in (("negative", "-1"), ("huge", str(2**63)), ("float", "3.0"), ("true", "true"), ("text", '"3"')):
        text = good.replace("3", size, 1)
        yield bundle().but(f"before-size-{case}", f"a size of {size}", "size is not a number", UNREADABLE, before=text)
    digits = '{"size": ' + "9" * 5000 + ', "hashes": []}'
    yield bundle().but("before-size-digits", "a size of 5000 digits", "is not JSON", UNREADABLE, before=digits)
    for case, text in (("array", "[]"), ("null", "null"), ("number", "3")):
        yield bundle().but(f"before-{case}", f"{text} for an object", "is not an object", UNREADABLE, before=text)
    for case, value in (("text", ""), ("object", {}), ("null", None), ("numbers", [1, 2]), ("lists", [["a"], []])):
        text = compact({"size": 3, "hashes": value})
        yield bundle().but(f"before-hashes-{case}", "no list of texts", "list of hashes", UNREADABLE, before=text)


def _older() -> Iterator[Case]:
    """The checkpoint of the earlier visit against this bundle."""
    grown = [*LINES, line(11)]
    yield bundle().but("old-is-larger", "a database that was set back", "more than there are now", old=note_of(grown))
    other = note_of([*LINES[: OLD - 1], line(40)])
    yield bundle().but("old-of-another-past", "another fifth entry was seen", REWRITTEN, old=other)
    epoch = note(text_of(LINES[:OLD], f"{NAME}/2"))
    yield bundle().but("old-of-another-epoch", "a log of its own", "two logs", old=epoch)
    yield bundle().but(
        "old-of-a-stranger",
        "not signed by the key",
        "no signature",
        DOES_NOT_HOLD,
        old=note(text_of(LINES[:OLD]), STRANGER),
    )
    yield bundle(8).but("later-no-proof", "nothing joins them", "cannot be read", UNREADABLE, consistency=None)
    yield bundle(8).but(
        "later-empty-proof", "an empty proof joins nothing", "proof is empty", consistency=compact({"proof": []})
    )
    yield bundle(8).but(
        "later-other-proof",
        "a proof about others",
        REWRITTEN,
        consistency=compact({"proof": encoded([root_of(LINES)] * 4)}),
    )
    yield bundle(8).but("later-other-past", "the past does not lead here", REWRITTEN, old=other)
