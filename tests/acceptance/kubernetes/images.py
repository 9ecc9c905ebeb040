"""The images of tests' pods, made of files here and kept in a cache outside the checkout by what they are made of."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.server import CHECKOUT
from tests.kit.oci import Execution, layer_of, size, write_archive

HERE = Path(__file__).parent
AGENT_RECIPE = CHECKOUT / "k8s" / "deploy" / "agent" / "Dockerfile"
LOCK = CHECKOUT / "requirements" / "k8s.lock"
SUITE = "bookworm"
# As the public images have it: no documentation, and no translations.
LEFT_OUT = ("doc", "man", "info", "locale")

# What Python 3.11 and its wheels load: no shell, no package manager, nothing that is set uid.
RUNTIME = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libgcc-s1", "libstdc++6"),
    *("libssl3", "libexpat1", "zlib1g", "libffi8", "libuuid1", "liblzma5", "libbz2-1.0", "libcrypt1", "netbase"),
)
AGENT_USER = 65532
A_DAY = 86400
AGENT_ENV = {
    "PATH": "/usr/local/bin:/usr/bin",
    "PYTHONPATH": "/opt/keystead:/app",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "LANG": "C.UTF-8",
}


class Image(NamedTuple):
    """``reference`` is its name in a pod's spec, ``archive`` the file that `ctr images import` reads."""

    reference: str
    archive: Path

    @property
    def size(self) -> int:
        return size(self.archive)


def probe() -> Image:
    """The program of `probe/` alone, which also holds a pod's namespaces, as `pause` does elsewhere."""
    execution = Execution(entrypoint=["/probe"], cmd=["pause"])

    def make(work: Path) -> list[Path]:
        (work / "root").mkdir()
        _go(HERE / "probe", work / "root" / "probe")
        return [layer_of(work / "root", work / "layer.tar")]

    return _cached("probe", _digest(repr(execution), *_files(HERE / "probe")), make, execution)


def nginx() -> Image:
    """Debian's package, as it is. Its default site listens on port 80 of every address: mount another over it."""
    execution = Execution(cmd=["nginx", "-g", "daemon off;"], stop_signal="SIGQUIT")
    hooks = [
        "ln -sf /dev/stdout $1/var/log/nginx/access.log",
        "ln -sf /dev/stderr $1/var/log/nginx/error.log",
    ]
    return _debian("nginx-light", hooks, execution)


def postgresql() -> Image:
    """Debian's package, as it is, without a database: the entrypoint makes one, by the public image's variables."""
    entrypoint = HERE / "postgresql-entrypoint.sh"
    execution = Execution(
        entrypoint=["/usr/local/bin/docker-entrypoint.sh"],
        cmd=["postgres"],
        env={"PATH": "/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin", "PGDATA": "/var/lib/postgresql/data"},
        user="postgres",
        stop_signal="SIGINT",
    )
    hooks = [
        f'install -m 755 "{entrypoint}" $1/usr/local/bin/docker-entrypoint.sh',
        "rm -rf $1/var/lib/postgresql/15 $1/etc/postgresql/15",
        "chroot $1 install -d -o postgres -g postgres -m 2775 /var/run/postgresql /var/lib/postgresql/data",
    ]
    # LLVM, a third of the image, compiles the expressions of long queries; the server does without.
    compiler = ("/usr/lib/*/libLLVM*", "/usr/lib/*/libz3*", "/usr/lib/postgresql/15/lib/bitcode/*")
    options = ["--skip=cleanup/run", *(f"--dpkgopt=path-exclude={each}" for each in compiler)]
    return _debian("postgresql-15", hooks, execution, options, [entrypoint])


def agent() -> Image:
    """The substance of k8s/deploy/agent/Dockerfile, which says what is in it: Python, packages, `k8s`, the launcher."""
    execution = Execution(
        entrypoint=["/usr/bin/python3", "-m", "k8s.agent"],
        cmd=["fetch"],
        env=AGENT_ENV,
        user=f"{AGENT_USER}:{AGENT_USER}",
        workdir="/app",
        stop_signal="SIGTERM",
    )
    programs, lock = _programs(), _locked()

    def make(work: Path) -> list[Path]:
        base, root = work / "base", work / "root"
        python = _cached_file("python", _digest(repr(RUNTIME), lock), lambda place: _python(place, lock))
        _extract(python, base)
        for program in programs:
            copy = base / "app" / program.relative_to(CHECKOUT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(program, copy)
        _compile(base, "/app")
        (root / "usr" / "local" / "bin").mkdir(parents=True)
        shutil.move(base / "app", root / "app")
        _launcher(root / "usr" / "local" / "bin" / "keystead-launch")
        return [python, layer_of(root, work / "layer.tar")]

    recipe = [*programs, *_files(CHECKOUT / "k8s" / "launcher")]
    return _cached("agent", _digest(repr(execution), lock, *recipe), make, execution)


def _programs() -> list[Path]:
    """Files of `k8s` that the Dockerfile copies."""
    copied = re.findall(r"^COPY (k8s/.*) /app/", AGENT_RECIPE.read_text(), re.MULTILINE)
    paths = [CHECKOUT / path for line in copied for path in line.split()]
    assert paths, f"{AGENT_RECIPE} copies nothing of k8s to /app"
    return [file for path in paths for file in (_files(path) if path.is_dir() else [path])]


def _locked() -> str:
    """The part of the lock that the Dockerfile keeps: it names the packages in a pattern, `^(NAME|NAME…)==`."""
    pattern = re.search(r"\^\([a-z0-9|-]+\)==", AGENT_RECIPE.read_text())
    assert pattern is not None, f"{AGENT_RECIPE} names no packages"
    entries = re.split(r"^(?=[a-z])", LOCK.read_text(), flags=re.MULTILINE)
    return "".join(entry for entry in entries if re.match(pattern[0], entry))


# -- how they are made -------------------------------------------------------------------------------------------------


def _debian(
    package: str, hooks: Sequence[str], execution: Execution, options: Sequence[str] = (), files: Sequence[Path] = ()
) -> Image:
    command = [
        *("mmdebstrap", "--quiet", "--variant=essential", f"--include={package}"),
        *(f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in LEFT_OUT),
        *options,
        *(f"--customize-hook={hook}" for hook in hooks),
        SUITE,
    ]

    def make(work: Path) -> list[Path]:
        _run([*command, str(work / "layer.tar")])
        return [work / "layer.tar"]

    return _cached(package, _digest(repr((command, execution)), *files), make, execution)


def _python(work: Path, lock: str) -> Path:
    """Debian's Python, extracted and not installed, so that nothing that installs is in it; and the locked packages."""
    root, downloads = work / "root", work / "downloads"
    for folder in ("usr/lib", "usr/lib64", "usr/bin", "etc", "tmp", "opt"):
        (root / folder).mkdir(parents=True)
    for name in ("lib", "lib64", "bin"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "tmp").chmod(0o1777)
    downloads.mkdir()
    _run(["apt-get", "-qq", "download", *RUNTIME], cwd=downloads)
    for package in sorted(downloads.glob("*.deb")):
        _run(["dpkg-deb", "--fsys-tarfile", str(package)], output=work / "package.tar")
        _extract(work / "package.tar", root)
    (root / "usr" / "bin" / "python3").symlink_to("python3.11")
    for left_out in LEFT_OUT:
        shutil.rmtree(root / "usr" / "share" / left_out, ignore_errors=True)
    (root / "etc" / "passwd").write_text(f"nonroot:x:{AGENT_USER}:{AGENT_USER}:nonroot:/nonexistent:/nonexistent\n")
    (root / "etc" / "group").write_text(f"nonroot:x:{AGENT_USER}:\n")
    (work / "lock").write_text(lock)
    _packages(work / "lock", root / "opt" / "keystead")
    _compile(root, "/usr/lib/python3.11", "/opt/keystead")
    return layer_of(root, work / "layer.tar")


def _packages(lock: Path, target: Path) -> None:
    """For the image's Python, whichever runs this."""
    wheels = ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
    platforms = [f"--platform={each}_x86_64" for each in ("manylinux_2_34", "manylinux_2_28", "manylinux2014")]
    pip = [
        str(CHECKOUT / ".venv" / "bin" / "pip"),
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--no-compile",
    ]
    _run([*pip, *wheels, *platforms, f"--target={target}", "-r", str(lock)])


def _extract(tar: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    _run(["tar", "-x", "--keep-directory-symlink", "-f", str(tar), "-C", str(folder)])


def _compile(root: Path, *folders: str) -> None:
    """By its own Python, which so has run once. Times of files are not kept in a layer, and so are not compared."""
    unchecked = "--invalidation-mode=unchecked-hash"
    _run(["chroot", str(root), "/usr/bin/python3", "-m", "compileall", "-q", unchecked, *folders])


def _launcher(target: Path) -> None:
    _run(["sh", str(CHECKOUT / "k8s" / "launcher" / "build.sh"), str(target)])


def _go(folder: Path, target: Path) -> None:
    options = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w"]
    _run(["go", "build", *options, "-o", str(target), "."], cwd=folder, env={**os.environ, "CGO_ENABLED": "0"})


def _run(
    command: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None, output: Path | None = None
) -> None:
    with (output or Path(os.devnull)).open("wb") as written:
        done = subprocess.run(
            command, cwd=cwd, env=env, stdout=written, stderr=subprocess.PIPE, timeout=900, check=False
        )
    assert done.returncode == 0, f"{' '.join(command[:2])}: {done.stderr.decode()[-2000:]}"


# -- the cache ---------------------------------------------------------------------------------------------------------


def cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "keystead" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _cached(name: str, recipe: str, make: Callable[[Path], list[Path]], execution: Execution) -> Image:
    reference = f"keystead.test/{name}:{recipe}"

    def archive(work: Path) -> Path:
        return write_archive(work / "image.tar", reference, make(work), execution)

    return Image(reference, _cached_file(name, recipe, archive))


def _cached_file(name: str, recipe: str, make: Callable[[Path], Path]) -> Path:
    """The file of this recipe. One process makes it, others wait; yesterday's of another recipe goes."""
    target = cache() / f"{name}-{recipe}.tar"
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache(), prefix="making-") as work:
                Path(work).chmod(0o755)
                made = make(Path(work))
                for earlier in cache().glob(f"{name}-*.tar"):
                    if time.time() - earlier.stat().st_mtime > A_DAY:  # another checkout may have it in hand
                        earlier.unlink()
                made.rename(target)
    return target


def _digest(*parts: str | Path) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode() if isinstance(part, str) else part.name.encode() + b"\0" + part.read_bytes())
    return found.hexdigest()[:16]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
