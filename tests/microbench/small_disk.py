"""A real file system of a few kilobytes, to be filled by tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def why_no_small_disk() -> str | None:
    """Why no tmpfs can be mounted here, or None."""
    with tempfile.TemporaryDirectory() as place:
        reason = _mount(Path(place), 64)
        if reason is not None:
            return f"no tmpfs can be mounted: {reason}"
        _unmount(Path(place))
    return None


@dataclass(frozen=True)
class SmallDisk:
    """A mounted tmpfs."""

    place: Path

    def free_bytes(self) -> int:
        disk = os.statvfs(self.place)
        return disk.f_bavail * disk.f_frsize

    def fill(self, left_bytes: int = 0) -> Path:
        """A file that leaves so little; removing it makes the disk free again."""
        filler = self.place / "filler"
        filler.write_bytes(bytes(max(self.free_bytes() - left_bytes, 0)))
        return filler

    def resize(self, kilobytes: int) -> None:
        """As if somebody had freed space."""
        options = f"remount,size={kilobytes}k"
        subprocess.run(("mount", "-o", options, str(self.place)), check=True, capture_output=True)

    def names(self) -> list[str]:
        """Everything on it, hidden files too."""
        return sorted(str(path.relative_to(self.place)) for path in self.place.rglob("*"))


@contextlib.contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[SmallDisk]:
    """Mounts it; only where `why_no_small_disk` says nothing."""
    place.mkdir()
    reason = _mount(place, kilobytes)
    if reason is not None:
        raise OSError(f"cannot mount a tmpfs: {reason}")
    try:
        yield SmallDisk(place)
    finally:
        _unmount(place)


def _mount(place: Path, kilobytes: int) -> str | None:
    command = ("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place))
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def _unmount(place: Path) -> None:
    subprocess.run(("umount", "-l", str(place)), check=True, capture_output=True)
