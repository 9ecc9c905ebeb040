"""The tree against RFC 6962 §2.1 written out as it stands there, and its proofs against the auditor's verifier."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.audit import keystead_verify as verifier
from kms.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    complete_subtrees,
    consistency_proof,
    folded,
    inclusion_proof,
    leaf_hash,
    range_hash,
)

MOST = 70
LEAVES = [leaf_hash(str(number).encode()) for number in range(MOST)]
# RFC 6962's test tree, as Certificate Transparency's reference implementation publishes it: leaves and roots by size.
PUBLISHED_LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
PUBLISHED_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def by_the_book(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + by_the_book(leaves[:split]) + by_the_book(leaves[split:])).digest()


def read(level: int, index: int) -> bytes:
    return folded(LEAVES[index << level : (index + 1) << level])


def checkpoint(size: int) -> verifier.Checkpoint:
    return verifier.Checkpoint("log", size, range_hash(read, 0, size))


def test_the_published_tree() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for leaf, root in zip(PUBLISHED_LEAVES, PUBLISHED_ROOTS, strict=True):
        list(frontier.append(leaf_hash(bytes.fromhex(leaf))))
        assert frontier.root().hex() == root


@pytest.mark.parametrize("size", range(MOST + 1))
def test_every_root_is_the_books(size: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        list(frontier.append(leaf))
    assert frontier.root() == range_hash(read, 0, size) == by_the_book(LEAVES[:size])
    assert frontier.hashes == [read(level, index) for level, index in complete_subtrees(0, size)]


def test_what_a_leaf_completes_is_told() -> None:
    frontier, told = Frontier(), {}
    for leaf in LEAVES[:64]:
        told.update({(level, index): hashed for level, index, hashed in frontier.append(leaf)})
    assert told == {(level, index): read(level, index) for level in range(1, 7) for index in range(64 >> level)}


@given(st.integers(1, MOST).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size))))
def test_a_leaf_is_proven_and_no_other_in_its_place(place: tuple[int, int]) -> None:
    index, size = place
    path, root = inclusion_proof(read, index, size), checkpoint(size).root
    verifier.check_inclusion(LEAVES[index], index, size, path, root)
    for other in {index - 1, index + 1, 0} - {index}:
        with pytest.raises(verifier.DoesNotHold):
            verifier.check_inclusion(LEAVES[index], other, size, path, root)
        with pytest.raises(verifier.DoesNotHold):
            verifier.check_inclusion(LEAVES[other % MOST], index, size, path, root)
    for cut in (path[:-1], path[1:], [*path, root]):
        if cut != path:
            with pytest.raises(verifier.DoesNotHold):
                verifier.check_inclusion(LEAVES[index], index, size, cut, root)


@given(st.integers(0, MOST).flatmap(lambda new: st.tuples(st.integers(0, new), st.just(new))))
def test_growth_is_proven_and_a_rewritten_past_is_not(sizes: tuple[int, int]) -> None:
    old, new = sizes
    path = consistency_proof(read, old, new)
    verifier.check_consistency(checkpoint(old), checkpoint(new), path)
    if old:
        rewritten = verifier.Checkpoint("log", old, bytes(32))
        with pytest.raises(verifier.DoesNotHold):
            verifier.check_consistency(rewritten, checkpoint(new), path)
        with pytest.raises(verifier.DoesNotHold):
            verifier.check_consistency(checkpoint(old), verifier.Checkpoint("log", new, bytes(32)), path)
    for number in range(len(path)):
        with pytest.raises(verifier.DoesNotHold):
            verifier.check_consistency(checkpoint(old), checkpoint(new), path[:number] + path[number + 1 :])


def test_a_frontier_has_a_hash_for_each_power_of_two() -> None:
    for size, hashes in ((0, 1), (3, 1), (4, 2)):
        with pytest.raises(ValueError, match=r"^the frontier does not fit the size$"):
            Frontier(size, LEAVES[:hashes])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (5, 4)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(read, index, size)
