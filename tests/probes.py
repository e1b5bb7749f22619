"""What this machine has: each probe says what is lacking, or None; places of programs that servers need."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from explorer.report.notebook import EXTRA_PACKAGES
from microbench.emulation.emulator import why_no_counting
from microbench.emulation.judges.userland import (
    NCNN_OF_THE_TABLE,
    default_directory,
    make_userland,
    unpack_wheel,
)
from microbench.errors import PeerError
from microbench.profile import load_profile
from microbench.virtual_pi.server import why_no_virtual_pi

Probe = Callable[[], str | None]

PRIVILEGE_DIRECTORY = Path("/run/sshd")  # the server wants it to exist
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root
POSTGRESQL_VERSIONS = Path("/usr/lib/postgresql")  # Debian's place, a directory per version
BESIDE_THE_PROJECT = Path(__file__).parents[1].parent / "shared"
NETWORKS = BESIDE_THE_PROJECT / "models"
SILICON_VECTORS = BESIDE_THE_PROJECT / "data"


AXE = Path(__file__).parent / "explorer" / "report" / "node_modules" / "axe-core" / "axe.min.js"


def programs(*names: str) -> Probe:
    """A probe for programs on the search path."""
    return partial(_programs, names)


def _programs(names: tuple[str, ...]) -> str | None:
    missing = [name for name in names if shutil.which(name) is None]
    return f"no program {', no program '.join(missing)}" if missing else None


def sshd_program() -> str | None:
    """The OpenSSH server, which must be started by its whole path; it often stands outside a user's search path."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def ssh_server() -> str | None:
    if sshd_program() is None:
        return "no program sshd"
    if not PRIVILEGE_DIRECTORY.is_dir() and os.geteuid() != 0:
        return f"{PRIVILEGE_DIRECTORY} is missing and only root may make it"
    return _programs(("ssh-keygen",))


def postgresql_program(name: str) -> str | None:
    """Of the newest version that is installed."""
    versions = sorted(POSTGRESQL_VERSIONS.glob(f"[0-9]*/bin/{name}"), reverse=True)
    return str(versions[0]) if versions else shutil.which(name)


def unprivileged_user() -> str | None:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((user for user in UNPRIVILEGED if user in known), None)


def postgresql_server() -> str | None:
    if postgresql_program("initdb") is None or postgresql_program("postgres") is None:
        return "no program initdb or no program postgres"
    if importlib.util.find_spec("psycopg") is None:
        return "no driver psycopg: install the extra `postgresql`"
    if os.geteuid() != 0:
        return None
    return _programs(("setpriv",)) if unprivileged_user() else f"no user of {', '.join(UNPRIVILEGED)}"


def instruction_counting() -> str | None:
    return why_no_counting("qemu-arm") or why_no_counting("qemu-aarch64")


def virtual_pi() -> str | None:
    return (
        ssh_server()
        or why_no_virtual_pi(load_profile("pi-zero"))
        or why_no_virtual_pi(load_profile("pi-3-64"))
    )


def peers_for_arm64() -> str | None:
    """Whether Debian's packages and a peer's wheel can be had; they are kept where the benchmark keeps them."""
    place = default_directory()
    try:
        make_userland(place, lambda text: None)
        unpack_wheel(NCNN_OF_THE_TABLE, place, lambda text: None)
    except PeerError as error:
        return str(error)
    return None


def report_extra() -> str | None:
    missing = [name for name in EXTRA_PACKAGES if importlib.util.find_spec(name) is None]
    return f"no {', '.join(missing)}: install the extra `report`" if missing else None


def axe_core() -> str | None:
    return None if AXE.is_file() else f"no axe-core: npm ci --prefix {AXE.parents[2]}"


def ortools() -> str | None:
    found = importlib.util.find_spec("ortools")
    return None if found else "no package ortools: install the extra `solvers`"


def mount_namespace() -> str | None:
    """Whether a file system can be mounted for one program alone."""
    command = ("unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
    try:
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "no program unshare"
    return None if tried.returncode == 0 else f"the kernel refuses it: {tried.stderr.strip()}"


def mountable_tmpfs() -> str | None:
    """Whether this very process may mount a file system."""
    with tempfile.TemporaryDirectory() as place:
        reason = mount_tmpfs(Path(place), 64)
        if reason is None:
            unmount(Path(place))
    return reason


def mount_tmpfs(place: Path, kilobytes: int) -> str | None:
    """Mounts a file system of that size; says why it could not."""
    command = ("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place))
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def unmount(place: Path) -> None:
    subprocess.run(("umount", "-l", str(place)), check=True, capture_output=True)


def directory(path: Path) -> Probe:
    """A probe for data that are no part of the project."""
    return lambda: None if path.is_dir() else f"no directory {path}"


def no_firmware() -> str | None:
    return "this machine has a firmware" if Path("/dev/vcio").exists() else None
