"""What peers' programs for AArch64 need to run: Debian's libraries and Python for arm64, and the peers' wheels.

Nothing of it is installed: packages are fetched by an apt state of its own and unpacked, wheels likewise.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen.engines.cpu.toolchain import cache_directory
from microbench.errors import PeerError

PYTHON = "3.11"
PACKAGES = (
    *("libc6", "libstdc++6", "libgcc-s1", "libgomp1", "zlib1g", "libexpat1"),
    *(f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib"),
)
WHEEL_PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
_LIMIT_S = 600.0
_SHOWN_LINES = 3


@dataclass(frozen=True)
class Wheel:
    """A release of a peer on the package index."""

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


NCNN_OF_THE_TABLE = Wheel("ncnn", "1.0.20230517")  # five weeks older than the published times
NCNN_OF_TODAY = Wheel("ncnn", "1.0.20261020")
PEERS = (NCNN_OF_THE_TABLE, NCNN_OF_TODAY)


def default_directory() -> Path:
    """Where packages, wheels and finished runs are kept unless another place is named."""
    return cache_directory() / "cpu-clock"


def make_userland(directory: Path, tell: Callable[[str], None]) -> Path:
    """The root of the libraries and Python for arm64 in `directory`; kept once it is there.

    Raises PeerError with the reason where packages cannot be had.
    """
    root = directory / "arm64"
    if root.is_dir():
        return root
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise PeerError(f"no program {program}: libraries for arm64 are taken from Debian's packages")
    tell(f"fetching {len(PACKAGES)} packages of Debian for arm64 (about 15 MB)")
    work, unpacked = directory / "apt", directory / "arm64.new"
    for place in (work / "lists" / "partial", work / "archives" / "partial"):
        place.mkdir(parents=True, exist_ok=True)
    (work / "status").touch()
    shutil.rmtree(unpacked, ignore_errors=True)
    options = {
        "Dir::State": work,
        "Dir::State::status": work / "status",
        "Dir::Cache": work,
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
    }
    apt = ("apt-get", "-q", *(word for name, value in options.items() for word in ("-o", f"{name}={value}")))
    _run((*apt, "update"), work)
    _run((*apt, "download", *PACKAGES), work)
    for package in sorted(work.glob("*.deb")):
        _run(("dpkg-deb", "-x", str(package), str(unpacked)), work)
    unpacked.rename(root)
    shutil.rmtree(work)
    return root


def unpack_wheel(wheel: Wheel, directory: Path, tell: Callable[[str], None]) -> Path:
    """A directory for PYTHONPATH with the wheel for AArch64 unpacked; raises PeerError where it cannot be had."""
    place = directory / f"{wheel.distribution}-{wheel.version}"
    if place.is_dir():
        return place
    tell(f"fetching the wheel of {wheel}")
    fetched, unpacked = (place.with_name(f"{place.name}.{end}") for end in ("wheel", "new"))
    for old in (fetched, unpacked):
        shutil.rmtree(old, ignore_errors=True)
    fetched.mkdir(parents=True)
    platforms = (word for name in WHEEL_PLATFORMS for word in ("--platform", name))
    options = (
        *("--retries", "0", "--timeout", "20", "--no-deps", "--only-binary=:all:"),
        *("--python-version", PYTHON, "--implementation", "cp"),
    )
    what = f"{wheel.distribution}=={wheel.version}"
    pip = (sys.executable, "-m", "pip", "download", "-q", *options, *platforms, "--dest", ".", what)
    _run(pip, fetched)
    for path in fetched.glob("*.whl"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(unpacked)
    unpacked.rename(place)
    shutil.rmtree(fetched)
    return place


def _run(command: Sequence[str], place: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{command[0]} failed: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-_SHOWN_LINES:]
        raise PeerError(f"{' '.join(command[:1])} failed: {' '.join(said) or 'no word why'}")
