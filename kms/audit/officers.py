"""Those who together may let a record go on that was set back: their keys, how many are needed, what they sign. Pure.

The list is a file in the form of OpenSSH's ``allowed_signers``. It must not know where the file lies, nor what the
token remembers of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accounts.ssh_signatures import SignatureRejected, SshKey, signer_of, ssh_key

NAMESPACE = "keystead-epoch"


class OfficersInvalid(Exception):
    """The list cannot be used as it is. The message names the line."""


class QuorumNotMet(Exception):
    """Too few officers signed this statement. The message says who did, and what is wrong with the rest."""


@dataclass(frozen=True, slots=True)
class Officers:
    """``names`` has the officer of each key; one person may have several. ``quorum`` of them are needed."""

    names: Mapping[SshKey, str]
    quorum: int

    @property
    def fingerprint(self) -> str:
        """Of everything that decides who may: another list, or another number, has another."""
        known = sorted((name, key.blob.hex()) for key, name in self.names.items())
        return hashlib.sha256(json.dumps([self.quorum, known]).encode()).hexdigest()

    def lines(self) -> str:
        """For a reader who is asked to sign."""
        listed = sorted((name, key.fingerprint) for key, name in self.names.items())
        return "".join(f"  {name} {fingerprint}\n" for name, fingerprint in listed)


def officers(text: str, quorum: int) -> Officers:
    """From a file's text. OfficersInvalid: a line that would be understood in part only, or too few people."""
    names: dict[SshKey, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            key, name = _line(line)
        except (SignatureRejected, ValueError) as error:
            raise OfficersInvalid(f"line {number}: {error}") from None
        if names.setdefault(key, name) != name:
            raise OfficersInvalid(f"line {number}: {name} has the key of {names[key]}; each officer has their own")
    people = len(set(names.values()))
    if people < quorum:
        raise OfficersInvalid(f"{quorum} officers are needed, and the list has {people}")
    return Officers(names, quorum)


def _line(line: str) -> tuple[SshKey, str]:
    """``name [options] kind key [comment]``."""
    name, *words = line.split()
    if any(character in name for character in ',*?!"'):
        raise ValueError("an officer has one name, without patterns")
    if words and words[0].lower().startswith("namespaces="):
        if NAMESPACE not in words[0].partition("=")[2].strip('"').split(","):
            raise ValueError(f"the key is not for {NAMESPACE}")
        words = words[1:]
    if len(words) < 2:
        raise ValueError("must be a name, a kind of key and a key")
    if "=" in words[0] or words[0].lower() == "cert-authority":
        raise ValueError("of options, only namespaces is understood")
    return ssh_key(words[0], words[1]), name


def signers(who: Officers, statement: str, signatures: Iterable[str]) -> tuple[str, ...]:
    """The officers who signed, by name. QuorumNotMet when they are too few, or one of the signatures is none."""
    found: set[str] = set()
    for number, signature in enumerate(signatures, 1):
        try:
            key = signer_of(signature, statement.encode(), namespace=NAMESPACE)
        except SignatureRejected as error:
            raise QuorumNotMet(f"signature {number}: {error}") from None
        if key not in who.names:
            raise QuorumNotMet(f"signature {number} is by {key.fingerprint}, which is no officer's key")
        found.add(who.names[key])
    if len(found) < who.quorum:
        signed = ", ".join(sorted(found)) or "nobody"
        raise QuorumNotMet(f"{who.quorum} different officers have to sign, and there signed: {signed}")
    return tuple(sorted(found))


# -- what the token remembers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pinned:
    """``fingerprint`` is that of the officers who decide now; empty: nobody but the host's operator."""

    version: int
    fingerprint: str
    quorum: int

    def packed(self) -> bytes:
        return json.dumps([self.version, self.fingerprint, self.quorum]).encode()


def unpacked(kept: bytes) -> Pinned:
    version, fingerprint, quorum = json.loads(kept)
    return Pinned(int(version), str(fingerprint), int(quorum))
