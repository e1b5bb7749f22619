"""A real file system of a few kilobytes, to be filled by tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.capabilities import need
from tests.probes import mount_tmpfs, unmount


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
    """Mounts it; skips the test where this machine lets nobody mount."""
    need("mountable tmpfs")
    place.mkdir()
    reason = mount_tmpfs(place, kilobytes)
    if reason is not None:
        raise OSError(f"cannot mount a tmpfs: {reason}")
    try:
        yield SmallDisk(place)
    finally:
        unmount(place)
