"""Real receivers of an account's log: a TLS listener in the test process that counts octets (RFC 5425), and rsyslog."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.tls import Authority


@dataclass
class SyslogListener:
    """``messages`` as they were framed. ``abrupt`` ends connections without TLS's own end, ``mute`` never ends them."""

    port: int
    messages: list[bytes] = field(default_factory=list)
    abrupt: bool = False
    mute: threading.Event = field(default_factory=threading.Event)


@contextmanager
def syslog_listening(folder: Path, authority: Authority, *, client_ca: str | None = None) -> Iterator[SyslogListener]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server(folder, "127.0.0.1"))
    if client_ca is not None:
        context.load_verify_locations(cadata=client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    server = socket.create_server(("127.0.0.1", 0))
    listener = SyslogListener(server.getsockname()[1])
    listener.mute.set()

    def serve() -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as channel:
                _read(channel, listener)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.mute.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(timeout=5)


def _read(channel: ssl.SSLSocket, listener: SyslogListener) -> None:
    data = b""
    while chunk := channel.recv(1 << 16):
        data += chunk
    while data:
        length, _, rest = data.partition(b" ")
        listener.messages.append(rest[: int(length)])
        data = rest[int(length) :]
    listener.mute.wait(20)
    if not listener.abrupt:
        channel.unwrap()


_RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}"
  defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
template(name="parts" type="list" option.jsonf="on") {{
  property(outname="host" name="hostname" format="jsonf")
  property(outname="program" name="app-name" format="jsonf")
  property(outname="id" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="text" name="msg" format="jsonf")
}}
ruleset(name="keep") {{ action(type="omfile" file="{folder}/received" template="parts") }}
input(type="imtcp" port="0" listenPortFileName="{folder}/port" ruleset="keep")
"""


def rsyslogd() -> str:
    """Debian keeps it where only the administrator's path looks."""
    return shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"


@contextmanager
def rsyslog(folder: Path, authority: Authority) -> Iterator[int]:
    """The real one, on a port of its own; what it received is in the folder's ``received``, one JSON object a line."""
    certificate, key = authority.server(folder, "127.0.0.1")
    (folder / "rsyslog-ca.pem").write_text(authority.pem)
    settings = folder / "rsyslog.conf"
    ca = folder / "rsyslog-ca.pem"
    settings.write_text(_RSYSLOG.format(folder=folder, ca=ca, certificate=certificate, key=key))
    command = [rsyslogd(), "-n", "-f", str(settings), "-i", str(folder / "rsyslog.pid")]
    with (folder / "rsyslog.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield int(_appeared(folder / "port", process))
        finally:
            process.terminate()


def _appeared(path: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(200):
        if path.exists() and path.read_text().strip():
            return path.read_text().strip()
        assert process.poll() is None, (path.parent / "rsyslog.log").read_text()
        time.sleep(0.05)
    raise AssertionError((path.parent / "rsyslog.log").read_text())
