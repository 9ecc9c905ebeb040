"""The launcher, run for real: an application under it is as it would be alone, and learns of changes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit.launcher import BUILD, Application, launcher_at, variables

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed; tests/tools.sh does it")

EVERY_BYTE = bytes(range(1, 256))
NOT_CATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
SIGNALS = sorted(signal.valid_signals())
CATCHABLE = [each for each in SIGNALS if each not in NOT_CATCHABLE]
DEADLY = [each for each in SIGNALS if each not in STOPPING | HARMLESS]
# Says READY when it catches every signal, then the number of each that comes.
CATCHES = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda got, frame: os.write(1, b"%d\\n" % got))
os.write(1, b"READY\\n")
while True:
    signal.pause()
"""
DYNAMIC, INTERPRETER = 2, 3


@pytest.fixture(scope="session")
def launcher() -> Path:
    return launcher_at()


def run(*command: str | bytes | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=30, check=False, **more)


# -- the program -------------------------------------------------------------------------------------------------------


def test_it_needs_nothing_of_the_image_that_it_is_put_into(launcher: Path, tmp_path: Path) -> None:
    program = launcher.read_bytes()
    start, size, count = struct.unpack_from("<Q", program, 32)[0], *struct.unpack_from("<HH", program, 54)
    kinds = {struct.unpack_from("<I", program, start + size * at)[0] for at in range(count)}
    assert not kinds & {DYNAMIC, INTERPRETER}
    print(f"launcher: {len(program):,} bytes")
    assert len(program) < 4 << 20
    # In a root folder with nothing else it executes itself, and that one says what it doesn't find.
    shutil.copy(launcher, tmp_path / "launch")
    ended = run("/launch", "--", "/launch", "--", "/app", preexec_fn=lambda: os.chroot(tmp_path), cwd="/")
    assert (ended.returncode, ended.stderr) == (127, b"keystead-launch: /app: not found\n")


def test_it_builds_for_the_other_machine(tmp_path: Path) -> None:
    arm = {**os.environ, "GOARCH": "arm64"}
    subprocess.run(["sh", str(BUILD), str(tmp_path / "arm")], env=arm, check=True, timeout=300)
    assert struct.unpack_from("<H", (tmp_path / "arm").read_bytes(), 18) == (183,)  # EM_AARCH64


# -- what it sets, and leaves alone ------------------------------------------------------------------------------------


def test_variables_may_have_every_byte(launcher: Path, tmp_path: Path) -> None:
    name = EVERY_BYTE.replace(b"=", b"")
    file = variables(tmp_path / "v", {name: EVERY_BYTE, b"EMPTY": b"", b"INHERITED": b"new"})
    asked = ("--environment", file, "--", "/bin/cat", "/proc/self/environ")
    ended = run(launcher, *asked, env={b"INHERITED": b"old", b"KEPT": EVERY_BYTE})
    entries = ended.stdout.split(b"\0")
    assert ended.returncode == 0, ended.stderr
    assert entries == [b"KEPT=" + EVERY_BYTE, name + b"=" + EVERY_BYTE, b"EMPTY=", b"INHERITED=new", b""]


def test_arguments_may_have_every_byte(launcher: Path) -> None:
    words = [bytes([each]) for each in EVERY_BYTE]
    ended = run(launcher, "--", "/bin/sh", "-c", 'cat /proc/$$/cmdline "$0"', "/dev/null", EVERY_BYTE, "--", "", *words)
    assert ended.stdout.split(b"\0")[3:-1] == [b"/dev/null", EVERY_BYTE, b"--", b"", *words]
    assert ended.stdout.startswith(b"/bin/sh\0-c\0")


def test_every_exit_code_is_the_applications(launcher: Path) -> None:
    codes = [run(launcher, "--", "sh", "-c", f"exit {code}").returncode for code in range(256)]
    assert codes == list(range(256))


def test_the_application_is_the_process_that_was_started(launcher: Path) -> None:
    with subprocess.Popen([launcher, "--", "sh", "-c", "echo $$"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid


def _inherits(prepare: Callable[[], object]) -> Callable[[tuple[Any, ...]], bytes]:
    """What a process says of itself that was started so; without what differs from one to the next."""
    script = (
        "grep -E '^(Name|State|Umask|Uid|Gid|Groups|Sig[BIC]|Cap|NoNewPrivs|Seccomp|Cpus)' /proc/self/status;"
        "cat /proc/self/limits /proc/self/oom_score_adj; nice; pwd; ls /proc/self/fd; cat <&7"
    )

    def ask(before: tuple[Any, ...]) -> bytes:
        reads, writes = os.pipe()
        os.write(writes, b"inherited")
        os.close(writes)

        def prepared() -> None:
            os.dup2(reads, 7)
            prepare()

        command = [*before, "/bin/sh", "-c", script]
        ended = run(*command, preexec_fn=prepared, close_fds=False, cwd="/usr", restore_signals=False)
        os.close(reads)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return ask


@pytest.mark.parametrize("number", CATCHABLE)
def test_a_signal_that_was_ignored_or_blocked_is_so_still(launcher: Path, number: int) -> None:
    ignores = _inherits(lambda: signal.signal(number, signal.SIG_IGN))
    assert ignores((launcher, "--")) == ignores(())
    blocks = _inherits(lambda: signal.pthread_sigmask(signal.SIG_SETMASK, {number}))
    assert blocks((launcher, "--")) == blocks(())


def test_limits_umask_and_the_rest_are_as_they_were(launcher: Path) -> None:
    def prepare() -> None:
        os.umask(0o037)
        os.nice(3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 900))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for each in CATCHABLE:
            signal.signal(each, signal.SIG_DFL)

    inherits = _inherits(prepare)
    said = inherits(())
    assert b"0037" in said
    assert b"300" in said
    assert inherits((launcher, "--")) == said


def test_every_signal_reaches_the_application(launcher: Path) -> None:
    with Application([launcher, "--", sys.executable, "-S", "-c", CATCHES]) as application:
        assert application.line() == "READY"
        for number in CATCHABLE:
            application.process.send_signal(number)
            assert application.line() == str(int(number))


def test_a_signal_ends_it_that_would_without_the_launcher(launcher: Path) -> None:
    # Whoever runs the tests may ignore signals (nohup does, and pytest's workers), and children ignore them too.
    ignoring_none = ["env", "--default-signal"]
    for number in DEADLY:
        with Application([*ignoring_none, launcher, "--", "sleep", "100"]) as application:
            application.wait_until_it_is("sleep")
            application.process.send_signal(number)
            assert application.process.wait(20) == -number


# -- what it refuses ---------------------------------------------------------------------------------------------------


def test_it_says_what_cannot_be_started(launcher: Path, tmp_path: Path) -> None:
    plain, script, folder = tmp_path / "plain", tmp_path / "script", tmp_path / "folder"
    plain.write_text("x")
    script.write_text("#!/nowhere/interpreter\n")
    script.chmod(0o755)
    folder.mkdir()
    for command, status, named in [
        ("no-such-command", 127, "no-such-command: not found in PATH"),
        ("/no/such/command", 127, "/no/such/command: not found"),
        (f"{plain}/x", 127, f"{plain}/x: not found"),
        (str(script), 127, f"{script}: the interpreter that it names is not there"),
        (str(plain), 126, f"{plain}: permission denied"),
        ("plain", 126, "plain: permission denied"),
        (str(folder), 126, f"{folder}: is a directory"),
    ]:
        ended = run(launcher, "--", command, env={"PATH": f"{tmp_path}"})
        assert (ended.returncode, ended.stderr.decode()) == (status, f"keystead-launch: {named}\n")


def test_a_command_is_looked_for_in_the_path_that_the_files_set(launcher: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to("/bin/echo")
    file = variables(tmp_path / "v", {b"PATH": os.fsencode(tmp_path)})
    assert run(launcher, "--environment", file, "--", "mine", "found").stdout == b"found\n"
    assert run(launcher, "--", "echo", "found", env={}).stdout == b"found\n"


@pytest.mark.parametrize(
    "content", [None, b"NAME=hush", b"hush\0", b"=hush\0", b"A=1\0\0", b"A=" + b"hush" * 40000 + b"\0"]
)
def test_nothing_starts_without_its_variables(launcher: Path, tmp_path: Path, content: bytes | None) -> None:
    file, started = tmp_path / "v", tmp_path / "started"
    if content is not None:
        file.write_bytes(content)
    watched = f'{{"file": "{file}", "signal": "HUP"}}'
    for more in ([], ["--on-change", watched]):
        ended = run(launcher, *more, "--environment", file, "--", "touch", started)
        assert ended.returncode == 125
        assert ended.stderr.startswith(b"keystead-launch: ")
        assert str(file) in ended.stderr.decode()
        assert b"hush" not in ended.stderr
    assert not started.exists()
