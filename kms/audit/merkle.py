"""The Merkle tree of RFC 6962 §2.1: hashes, roots, and proofs of inclusion and of consistency. Pure: it knows no rows.

A tree is read through a function that gives the hash of a complete subtree: ``read(level, index)`` covers the leaves
``index << level`` up to ``(index + 1) << level``. Every subtree that a proof needs is complete or is made of such.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

# RFC 6962 §2.1: the hash of a tree with nothing in it.
EMPTY_ROOT = hashlib.sha256(b"").digest()

Read = Callable[[int, int], bytes]


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def folded(hashes: list[bytes]) -> bytes:
    """The root over a power of two of neighbouring hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def complete_subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The largest complete subtrees that make up the leaves from ``start`` to ``end``, from left to right.

    ``start`` lies where RFC 6962 splits a tree: on a multiple of a power of two not smaller than what follows.
    """
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def range_hash(read: Read, start: int, end: int) -> bytes:
    """MTH(D[start:end]) of RFC 6962 §2.1."""
    if start == end:
        return EMPTY_ROOT
    hashes = [read(level, index) for level, index in complete_subtrees(start, end)]
    root = hashes.pop()
    while hashes:
        root = node_hash(hashes.pop(), root)
    return root


def inclusion_proof(read: Read, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1, from the leaf upwards. ValueError: there is no such leaf."""
    if not 0 <= index < size:
        raise ValueError("the tree has no such leaf")
    return list(_path(read, index, 0, size))


def _path(read: Read, index: int, start: int, end: int) -> Iterator[bytes]:
    if end - start == 1:
        return
    middle = start + _split(end - start)
    if index < middle:
        yield from _path(read, index, start, middle)
        yield range_hash(read, middle, end)
    else:
        yield from _path(read, index, middle, end)
        yield range_hash(read, start, middle)


def consistency_proof(read: Read, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 §2.1.2. Empty when there is nothing to prove. ValueError: not in this order."""
    if not 0 <= old <= new:
        raise ValueError("the older tree is the smaller one")
    if old in (0, new):
        return []
    return list(_subproof(read, old, 0, new, whole=True))


def _subproof(read: Read, old: int, start: int, end: int, *, whole: bool) -> Iterator[bytes]:
    """``whole``: the older tree's part here is a tree that the verifier knows the root of."""
    if old == end:
        if not whole:
            yield range_hash(read, start, end)
        return
    middle = start + _split(end - start)
    if old <= middle:
        yield from _subproof(read, old, start, middle, whole=whole)
        yield range_hash(read, middle, end)
    else:
        yield from _subproof(read, old, middle, end, whole=False)
        yield range_hash(read, start, middle)


def _split(size: int) -> int:
    """The largest power of two smaller than ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


class Frontier:
    """The right edge of a growing tree: the complete subtrees that its size is the sum of, largest first."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError("the frontier does not fit the size")

    def append(self, leaf: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Every subtree that the leaf completes, above itself, as level, index and hash."""
        level, index = 0, self.size
        while index & 1:
            leaf = node_hash(self.hashes.pop(), leaf)
            level, index = level + 1, index >> 1
            yield level, index, leaf
        self.hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY_ROOT
        *lefts, root = self.hashes
        for left in reversed(lefts):
            root = node_hash(left, root)
        return root
