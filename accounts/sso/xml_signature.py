"""Signatures in XML (XML-Signature 1.1), verified by the program xmlsec1, which canonicalises as they demand.

What a caller may believe is what comes back: the very bytes that were digested. Two parsers that read one document
differently have let forged assertions in more than once (CVE-2025-25291), so nobody reads the document after this.
It must not know SAML's messages, rows or rights.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence

PROGRAM = "xmlsec1"
SECONDS = 5.0
MOST_AT_ONCE = 4
_START, _END = b"== PreDigest data - start buffer:\n", b"\n== PreDigest data - end buffer\n"
_places = threading.BoundedSemaphore(MOST_AT_ONCE)


class ProgramMissing(Exception):
    """xmlsec1 is not installed. The message is for the administrator."""

    def __init__(self) -> None:
        super().__init__("SAML sign-on needs xmlsec1 (apt-get install xmlsec1)")


class VerifierBusy(Exception):
    """As many signatures as this process verifies at once are being verified."""


class SignatureRejected(Exception):
    """No key verifies the signature."""


def program() -> str:
    found = shutil.which(PROGRAM)
    if found is None:
        raise ProgramMissing
    return found


def digested(document: str, tag: str, identifier: str, keys: Sequence[bytes]) -> bytes:
    """The canonical bytes that the signature of one element covers, verified with one of the public keys (PEM).

    ``tag`` is the element's name, with its namespace before a colon; ``identifier`` its attribute ID. The caller has
    made sure that the element holds one signature, over itself, by algorithms that are good enough.
    """
    if not _places.acquire(timeout=SECONDS):
        raise VerifierBusy
    try:
        for key in keys:
            found = _run(document, tag, identifier, key)
            if found is not None:
                return found
    finally:
        _places.release()
    raise SignatureRejected


def _run(document: str, tag: str, identifier: str, key: bytes) -> bytes | None:
    """The document goes by a pipe: it is good for a login, and must not stay on a disk. The key is public."""
    with tempfile.NamedTemporaryFile(prefix="keystead-", suffix=".pem") as key_file:
        key_file.write(key)
        key_file.flush()
        command = [
            *(program(), "--verify", "--store-references"),
            *("--enabled-reference-uris", "same-doc"),
            # Keys that come with the signature are not looked at (CVE-2021-21239).
            *("--enabled-key-data", "raw-x509-cert", "--pubkey-pem", key_file.name),
            *("--id-attr:ID", tag, "--node-id", identifier, "-"),
        ]
        try:
            ended = subprocess.run(  # noqa: S603 - no shell; the identifier is an NCName, so it is no option
                command, input=document.encode(), capture_output=True, timeout=SECONDS, env={"LC_ALL": "C"}, check=False
            )
        except subprocess.TimeoutExpired:
            return None
    return _between(ended.stdout) if ended.returncode == 0 else None


def _between(printed: bytes) -> bytes | None:
    """From the first mark to the last: marks inside belong to the element."""
    _, began, rest = printed.partition(_START)
    content, ended, _ = rest.rpartition(_END)
    return content if began and ended else None
