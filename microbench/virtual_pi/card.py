"""The disk of a virtual Pi: a file system of its own size, in a mount namespace that its sessions enter."""

from __future__ import annotations

import subprocess
from pathlib import Path

from microbench.errors import BoardError

_READY = b"ready\n"


class Card:
    """Mounted at `place` for those who are `inside`; nobody else sees it."""

    def __init__(self, place: Path, size_bytes: int) -> None:
        self._place = place
        self._size_bytes = size_bytes
        self._holder: subprocess.Popen[bytes] | None = None

    def insert(self) -> None:
        """Raises BoardError where this user may not mount."""
        mounted = f'mount -t tmpfs -o size={self._size_bytes},mode=700 tmpfs "$1" && echo ready && read end'
        command = ("unshare", "--mount", "sh", "-c", mounted, "sh", str(self._place))
        try:
            self._holder = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except FileNotFoundError as error:
            raise BoardError("no program unshare (Debian: util-linux)") from error
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline()
        if said != _READY:
            self.remove()
            raise BoardError(
                "a virtual Pi's disk of a size of its own wants a mount namespace, which only root may have, and "
                f"not in every container: {said.decode(errors='replace').strip()}; start it without one"
            )

    @property
    def holder(self) -> int | None:
        """The process that keeps it; it runs beside the board, not on it."""
        return self._holder.pid if self._holder else None

    def inside(self) -> tuple[str, ...]:
        """Goes before a command that is to see the disk."""
        return ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt") if self._holder else ()

    def remove(self) -> None:
        """Harmless when it is not there."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.communicate()
