#!/usr/bin/env python3
"""A witness for the records of Keystead servers: remembers the newest checkpoint of each, and cosigns what extends it.

It runs on a machine of the auditor's own, needs Python 3.11, `cryptography` and keystead_verify.py beside it, and knows
nothing of a record but sizes and roots. What it has cosigned once, no smaller and no other history is cosigned after.

    keystead_witness.py new FOLDER --name example.org/witness          makes its key, and prints the verifier key
    keystead_witness.py serve FOLDER --listen 127.0.0.1:8300 --log KEY [--log KEY] [--cert PEM --key PEM]

A --log is a server's verifier key (`manage.py export_record` prints it), for each epoch of its record. FOLDER holds the
key and, for each log, the checkpoint last cosigned: who loses it starts with a new one and a new key.

Protocol: C2SP tlog-witness; cosignatures: C2SP tlog-cosignature, type 4 (Ed25519).
"""

from __future__ import annotations

import argparse
import base64
import binascii
import fcntl
import hashlib
import os
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    from kms.audit.keystead_verify import Checkpoint, DoesNotHold, Key, Unreadable, check_consistency, opened
else:  # a file beside this one, wherever the auditor has put the two
    from keystead_verify import Checkpoint, DoesNotHold, Key, Unreadable, check_consistency, opened

MAX_BODY = 1 << 16
MAX_PROOF = 63  # lines, as the protocol says
SECONDS = 10.0  # that a connection may be silent
_TYPE = b"\x04"


class Refused(Exception):
    """A request that is not cosigned: the protocol's status, and its answer where it has one."""

    def __init__(self, status: int, body: str = "", content_type: str = "text/plain; charset=utf-8") -> None:
        super().__init__(status)
        self.status, self.body, self.content_type = status, body, content_type


# -- the key -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cosigner:
    name: str
    private: Ed25519PrivateKey

    @classmethod
    def new(cls, path: Path, name: str) -> Cosigner:
        """Kept as Go's signed notes keep theirs: ``PRIVATE+KEY+name+id+base64(type || seed)``."""
        made = cls(name, Ed25519PrivateKey.generate())
        seed = base64.b64encode(_TYPE + made.private.private_bytes_raw()).decode()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"PRIVATE+KEY+{name}+{made.id.hex()}+{seed}\n")
            file.flush()
            os.fsync(file.fileno())
        return made

    @classmethod
    def read(cls, path: Path) -> Cosigner:
        name, _, seed = path.read_text(encoding="utf-8").strip().removeprefix("PRIVATE+KEY+").split("+", 2)
        return cls(name, Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed)[1:]))

    @property
    def public(self) -> bytes:
        return _TYPE + self.private.public_key().public_bytes_raw()

    @property
    def id(self) -> bytes:
        return hashlib.sha256(f"{self.name}\n".encode() + self.public).digest()[:4]

    def verifier_key(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self.public).decode()}"

    def line(self, text: str, now: int) -> str:
        signature = self.private.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
        return f"\N{EM DASH} {self.name} {base64.b64encode(self.id + now.to_bytes(8, 'big') + signature).decode()}\n"


# -- the memory ----------------------------------------------------------------------------------------------------


class Memory:
    """The note last cosigned of each log, in a file each, which is on the disk before anybody has the cosignature."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    def newest(self, origin: str) -> Checkpoint | None:
        try:
            text = self._path(origin).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        kept, size, root = text.split("\n")[:3]
        assert kept == origin  # the file's name is the origin's hash
        return Checkpoint(origin, int(size), base64.b64decode(root))

    def keep(self, origin: str, note: str) -> None:
        path = self._path(origin)
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _path(self, origin: str) -> Path:
        return self._folder / hashlib.sha256(origin.encode()).hexdigest()


# -- what it does --------------------------------------------------------------------------------------------------


class Witness:
    def __init__(self, cosigner: Cosigner, memory: Memory, logs: list[Key]) -> None:
        self._cosigner, self._memory, self._logs = cosigner, memory, logs
        # What is looked at is what is replaced: one request at a time.
        self._turn = threading.Lock()

    def add_checkpoint(self, body: bytes) -> str:
        old, proof, note = _parsed(body)
        checkpoint = self._verified(note)
        if old > checkpoint.size:
            raise Refused(400, "the old size is larger than the checkpoint's\n")
        with self._turn:
            newest = self._memory.newest(checkpoint.origin) or Checkpoint(checkpoint.origin, 0, _EMPTY)
            if old != newest.size:
                raise _conflict(newest)
            if old == checkpoint.size and newest.root != checkpoint.root:
                raise _conflict(newest)
            try:
                check_consistency(newest, checkpoint, proof)
            except DoesNotHold as error:
                print(f"refused, and kept as evidence: {error}\n{note}", file=sys.stderr, flush=True)
                raise Refused(422, f"{error}\n") from None
            line = self._cosigner.line(note.partition("\n\n")[0] + "\n", int(time.time()))
            self._memory.keep(checkpoint.origin, note + line)
        return line

    def _verified(self, note: str) -> Checkpoint:
        origin = note.partition("\n")[0]
        keys = [key for key in self._logs if origin == key.name or _is_epoch(origin, key.name)]
        if not keys:
            raise Refused(404, "this log is none that is witnessed here\n")
        for key in keys:
            try:
                return opened(note, key)
            except DoesNotHold:
                continue
            except Unreadable as error:
                raise Refused(400, f"{error}\n") from None
        raise Refused(403, "no key of this log has signed the checkpoint\n")


_EMPTY = hashlib.sha256(b"").digest()


def _is_epoch(origin: str, name: str) -> bool:
    """A Keystead server's key signs the logs of all its epochs, which are numbered: ``name/1``, ``name/2``."""
    prefix, _, number = origin.rpartition("/")
    return prefix == name and number.isascii() and number.isdigit()


def _conflict(newest: Checkpoint) -> Refused:
    return Refused(409, f"{newest.size}\n", "text/x.tlog.size")


def _parsed(body: bytes) -> tuple[int, list[bytes], str]:
    """The old size, the proof and the note."""
    try:
        head, separator, note = body.decode().partition("\n\n")
        first, *lines = head.split("\n")
        word, size = first.split(" ")
        proof = [base64.b64decode(line, validate=True) for line in lines]
    except (ValueError, binascii.Error):
        raise Refused(400, "the request is not in the format\n") from None
    canonical = size.isascii() and size.isdigit() and len(size) < 20 and str(int(size)) == size
    if word != "old" or not canonical or not separator or len(proof) > MAX_PROOF or any(len(p) != 32 for p in proof):
        raise Refused(400, "the request is not in the format\n")
    return int(size), proof, note


# -- HTTP ----------------------------------------------------------------------------------------------------------


def handler(witness: Witness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS

        def do_POST(self) -> None:
            try:
                if not self.path.endswith("/add-checkpoint"):
                    raise Refused(404)
                self._answer(200, witness.add_checkpoint(self.rfile.read(self._length())))
            except Refused as refused:
                self._answer(refused.status, refused.body, refused.content_type)

        def _length(self) -> int:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit() and int(length) <= MAX_BODY):
                raise Refused(400, f"a request has at most {MAX_BODY} bytes\n")
            return int(length)

        def _answer(self, status: int, body: str, content_type: str = "text/plain; charset=utf-8") -> None:
            raw = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            print(f"{self.address_string()} {format % args}", file=sys.stderr, flush=True)

    return Handler


class Server(ThreadingHTTPServer):
    """With TLS where there is a certificate; each connection shakes hands in its own thread, so that none waits."""

    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(SECONDS)
        with self.tls.wrap_socket(request, server_side=True) as channel:
            super().finish_request(channel, client_address)
            channel.unwrap()

    def handle_error(self, request: Any, client_address: Any) -> None:
        print(f"{client_address[0]}: {type(sys.exception()).__name__}", file=sys.stderr, flush=True)


def serve(wanted: argparse.Namespace) -> None:
    lock = os.open(wanted.folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # two with one memory would each cosign their own history
    cosigner = Cosigner.read(wanted.folder / "key")
    logs = [Key.parse(Path(each).read_text() if Path(each).is_file() else each) for each in wanted.log]
    host, _, port = wanted.listen.rpartition(":")
    server = Server((host, int(port)), handler(Witness(cosigner, Memory(wanted.folder / "logs"), logs)))
    if wanted.cert:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(wanted.cert, wanted.key)
    print(f"witnessing on port {server.server_address[1]} as {cosigner.verifier_key()}", flush=True)
    server.serve_forever()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Witness the records of Keystead servers.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="make a key")
    new.add_argument("folder", type=Path)
    new.add_argument("--name", required=True, help="how the witness is called, as a URL without its scheme")
    serving = commands.add_parser("serve", help="serve add-checkpoint")
    serving.add_argument("folder", type=Path)
    serving.add_argument("--listen", required=True, help="address and port; port 0 takes a free one")
    serving.add_argument("--log", action="append", required=True, help="a server's verifier key, or a file with it")
    serving.add_argument("--cert", help="certificate chain, PEM; without it the witness speaks plain HTTP")
    serving.add_argument("--key", help="its private key, PEM")
    wanted = parser.parse_args(arguments)
    try:
        if wanted.command == "serve":
            serve(wanted)
        wanted.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        print(Cosigner.new(wanted.folder / "key", wanted.name).verifier_key())
    except (OSError, ValueError, Unreadable) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
