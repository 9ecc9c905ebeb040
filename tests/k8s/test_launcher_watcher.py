"""The launcher's watcher, run for real: the application is told of changes, and of nothing else."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit.launcher import Application, launcher_at, replace, variables, within

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed; tests/tools.sh does it")

# Says its PID, then each HUP. With a file's name it catches the signal once that file is there.
APPLICATION = """
import os, signal, sys, time
print(os.getpid(), flush=True)
while sys.argv[1:] and not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
signal.signal(signal.SIGHUP, lambda number, frame: os.write(1, b"HUP\\n"))
print("READY", flush=True)
while True:
    signal.pause()
"""
PYTHON = [sys.executable, "-S", "-c", APPLICATION]
# The same for whoever may not execute this environment's Python; it ends when a file is gone.
SHELL = ["sh", "-c", "echo $$; trap 'echo HUP' HUP; echo READY; while test -e $0; do sleep 0.2; done"]
# What a restricted container is: nobody in particular, no capabilities, no way to more, nothing to write on.
RESTRICTED = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
RESTRICTED += ["--inh-caps=-all"]
AS_FIRST_PROCESS = ["unshare", "-pf", "--mount-proc", "--kill-child"]
READ_ONLY = ["unshare", "-m", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh"]
Start = Callable[..., Application]


@pytest.fixture(scope="session")
def launcher() -> Path:
    return launcher_at()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    replace(tmp_path / "secret", "old")
    return tmp_path / "secret"


def on_change(**wanted: Any) -> list[str]:
    return ["--on-change", json.dumps(wanted, default=str)]


def hup(secret: Path) -> list[str]:
    return on_change(file=secret, signal="HUP")


def test_a_changed_file_is_a_signal_to_the_application_itself(launcher: Path, secret: Path) -> None:
    with Application([launcher, *hup(secret), "--", *PYTHON]) as application:
        assert application.line() == str(application.process.pid)
        assert application.line() == "READY"
        for content in ("new", "newer"):
            replace(secret, content)
            assert application.line() == "HUP"
            application.watcher_said(f"{secret} has changed: SIGHUP sent")
        assert application.errors == []


def test_what_is_away_or_written_again_alike_is_no_change(launcher: Path, secret: Path) -> None:
    """Then something does change, and that is the first and only thing it hears."""
    other = secret.with_name("other")
    replace(other, "old")
    reload = on_change(file=other, command=["echo", "reloaded"])
    with Application([launcher, *hup(secret), *reload, "--", *PYTHON]) as application:
        assert [application.line(), application.line()][1] == "READY"
        replace(secret, "old")
        secret.rename(secret.with_name("away"))
        replace(other, "new")
        application.watcher_said("echo done")
        secret.with_name("away").rename(secret)
        replace(other, "newer")
        application.watcher_said("echo done")
        assert application.quiet()


def test_files_that_change_together_are_one_signal(launcher: Path, tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(20)]
    for file in files:
        replace(file, "old")
    asked = [word for file in files for word in hup(file)]
    with Application([launcher, *asked, "--", *PYTHON]) as application:
        assert [application.line(), application.line()][1] == "READY"
        for file in files:
            replace(file, "new")
        assert application.line() == "HUP"
        replace(files[0], "newer")
        assert application.line() == "HUP"
        application.watcher_said("SIGHUP sent")
        assert application.quiet()


def test_an_optional_secret_that_comes_is_a_change(launcher: Path, tmp_path: Path) -> None:
    with Application([launcher, *hup(tmp_path / "late"), "--", *PYTHON]) as application:
        assert [application.line(), application.line()][1] == "READY"
        replace(tmp_path / "late", "here")
        assert application.line() == "HUP"


def test_a_signal_waits_for_an_application_that_would_die_of_it(launcher: Path, secret: Path) -> None:
    ready = secret.with_name("ready")
    with Application([launcher, *hup(secret), "--", *PYTHON, ready]) as application:
        application.line()
        replace(secret, "new")
        application.watcher_said("waits until the application takes it")
        ready.touch()
        assert [application.line(), application.line()] == ["READY", "HUP"]


def test_a_signal_that_means_the_end_is_not_held_back(launcher: Path, secret: Path) -> None:
    with Application([launcher, *on_change(file=secret, signal="TERM"), "--", "sleep", "100"]) as application:
        application.wait_until_it_is("sleep")
        replace(secret, "new")
        assert application.process.wait(60) == -15


def test_a_command_runs_with_the_variables_as_they_are_now(launcher: Path, tmp_path: Path) -> None:
    file = variables(tmp_path / "v", {b"PASSWORD": b"old", b"OTHER": b"1"})
    command = ["sh", "-c", 'echo "$PASSWORD $OTHER $KEPT $PWD $0"', "$(hush);"]
    asked = ["--environment", file, *on_change(variable="PASSWORD", command=command)]
    with Application([launcher, *asked, "--", *PYTHON], env={"KEPT": "kept"}, cwd="/usr") as application:
        application.line()
        variables(file, {b"PASSWORD": b"new", b"OTHER": b"2"})
        application.watcher_said("new 2 kept /usr $(hush);")
        application.watcher_said("PASSWORD has changed: sh done")


def test_a_command_that_fails_is_told_and_the_next_is_run(launcher: Path, secret: Path) -> None:
    asked = on_change(file=secret, command=["sh", "-c", "exit 3"])
    asked += on_change(file=secret, command=["no-such-command"]) + hup(secret)
    with Application([launcher, *asked, "--", *PYTHON]) as application:
        assert [application.line(), application.line()][1] == "READY"
        replace(secret, "new")
        application.watcher_said(f"{secret} has changed; sh failed: exit status 3")
        application.watcher_said(f"{secret} has changed; no-such-command failed: no-such-command: not found in PATH")
        assert application.line() == "HUP"


def test_commands_run_one_at_a_time_and_changes_meanwhile_are_one(launcher: Path, secret: Path) -> None:
    go, log = secret.with_name("go"), secret.with_name("log")
    os.mkfifo(go)
    script = 'echo begin $(cat "$1") >> "$2"; read line < "$3"; echo end >> "$2"'
    asked = on_change(file=secret, command=["sh", "-c", script, "sh", secret, log, go])
    with Application([launcher, *asked, "--", *PYTHON]) as application:
        application.line()
        replace(secret, "1")
        within(log.exists)
        for content in "234":
            replace(secret, content)
        for _ in range(2):
            go.write_text("on\n")
            application.watcher_said("sh done")
    assert log.read_text().split("\n")[:-1] == ["begin 1", "end", "begin 4", "end"]


def test_it_has_nothing_of_the_applications_open_and_no_variable(launcher: Path, tmp_path: Path, secret: Path) -> None:
    file = variables(tmp_path / "v", {b"PASSWORD": b"hush"})
    reads, writes = os.pipe()
    os.set_inheritable(writes, True)
    asked = ["--environment", file, *hup(secret)]
    with Application([launcher, *asked, "--", *PYTHON], pass_fds=[writes]) as application:
        application.line()
        (watcher,) = application.children()
        about = Path(f"/proc/{watcher}")
        opened = {each.name: os.readlink(each) for each in (about / "fd").iterdir()}
        kept = os.readlink(about / "fd" / "2")
        assert [opened["0"], opened["1"], opened["2"]] == ["/dev/null", "/dev/null", kept]
        assert os.readlink(f"/proc/{application.process.pid}/fd/{writes}") not in opened.values()
        for name in ("environ", "cmdline"):
            assert b"hush" not in (about / name).read_bytes()
        print((about / "status").read_text().split("VmRSS:")[1].split("\n")[0])
    os.close(writes)
    assert os.read(reads, 1) == b""
    os.close(reads)


@pytest.mark.parametrize("ending", ["application.process.kill()", "application.process.terminate()"])
def test_it_ends_with_the_application(launcher: Path, secret: Path, ending: str) -> None:
    with Application([launcher, *hup(secret), "--", *PYTHON]) as application:
        application.line()
        (watcher,) = application.children()
        {"kill": application.process.kill, "terminate": application.process.terminate}[ending.split(".")[-1][:-2]]()
        within(lambda: not Path(f"/proc/{watcher}/fd/2").exists())


def test_no_watcher_without_something_to_watch(launcher: Path, tmp_path: Path) -> None:
    file = variables(tmp_path / "v", {b"PASSWORD": b"hush"})
    with Application([launcher, "--environment", file, "--", *PYTHON]) as application:
        application.line()
        assert application.children() == []


def test_the_signals_that_it_causes_do_not_end_it(launcher: Path, secret: Path) -> None:
    """An application that passes each HUP on to everybody, as some do to all their children."""
    script = "import os,signal\nsignal.signal(1, lambda n, f: (os.write(1, b'HUP\\n'), [os.kill(int(c), s) for c in"
    script += " open('/proc/self/task/%d/children' % os.getpid()).read().split() for s in (1, 2, 3, 10, 12, 13)]))\n"
    script += "os.write(1, b'READY\\n')\nwhile True: signal.pause()"
    with Application([launcher, *hup(secret), "--", sys.executable, "-S", "-c", script]) as application:
        assert application.line() == "READY"
        for content in ("new", "newer", "newest"):
            replace(secret, content)
            assert application.line() == "HUP"


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and other users need root")
@pytest.mark.parametrize("around", [[], RESTRICTED, [*READ_ONLY, *RESTRICTED]], ids=["root", "restricted", "read-only"])
def test_as_first_process_of_a_container(launcher: Path, secret: Path, around: list[str]) -> None:
    for parent in secret.relative_to(tempfile.gettempdir()).parents[:-1]:
        (tempfile.gettempdir() / parent).chmod(0o755)
    secret.chmod(0o644)
    file = variables(secret.with_name("v"), {b"PASSWORD": b"hush"})
    say = on_change(file=secret, command=["sh", "-c", 'echo "$PASSWORD $(id -u)"'])
    asked = [launcher, "--environment", file, *hup(secret), *say, "--", *SHELL, secret]
    with Application([*AS_FIRST_PROCESS, *around, *asked]) as application:
        assert [application.line(), application.line()] == ["1", "READY"]
        replace(secret, "new")
        assert application.line() == "HUP"
        application.watcher_said("hush 54321" if around else "hush 0")
        secret.unlink()
        assert application.process.wait(30) == 0
