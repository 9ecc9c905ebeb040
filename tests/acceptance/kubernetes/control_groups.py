"""The kernel's control groups, of version 1 (a tree for each controller) or 2 (one tree)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/fs/cgroup")


class Memory(NamedTuple):
    """Bytes: a group's working set as the kubelet reckons it, and what its processes have resident, in sum."""

    working_set: int
    resident: int


def hierarchies() -> list[Path]:
    """Every mounted tree."""
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(line[1]) for line in lines if line[2] in ("cgroup", "cgroup2") and line[1].startswith(str(ROOT))]


def hierarchy(controller: str) -> Path:
    apart = ROOT / controller
    return apart if apart.exists() else ROOT


def make(name: str) -> None:
    """In every tree."""
    for tree in hierarchies():
        (tree / name).mkdir(parents=True, exist_ok=True)


def remove(name: str) -> bool:
    """With all below it, in every tree; no while there is a process in one of them."""
    for tree in hierarchies():
        folders = [path for path in (tree / name).rglob("*") if path.is_dir()]
        for folder in (*sorted(folders, reverse=True), tree / name):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True


def members(group: Path) -> list[int]:
    """Processes, by their numbers on this machine."""
    return [int(line) for line in (group / "cgroup.procs").read_text().split()]


def memory(group: Path) -> Memory:
    used, inactive = ("memory.usage_in_bytes", "total_inactive_file")
    if not (group / used).exists():
        used, inactive = ("memory.current", "inactive_file")
    counted = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    working_set = int((group / used).read_text()) - int(counted[inactive])
    return Memory(working_set, sum(_resident(process) for process in members(group)))


def _resident(process: int) -> int:
    """VmRSS; 0 of a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)
