"""The board's disk is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.explorer.faults.fault import PlainFault
from tests.explorer.faults.rig import Rig, SteppedRun
from tests.explorer.faults.steps import Step
from tests.probes import mountable_tmpfs

DISK = "32m"
CHUNK = bytes(1 << 16)


class DiskFull(PlainFault):
    """Not a byte is left where the runner keeps its files, until the user makes room."""

    name = "disk full on the board"

    def why_not(self) -> str | None:
        return mountable_tmpfs()

    @contextmanager
    def prepared(self, rig: Rig) -> Iterator[Rig]:
        rig.board.mkdir()
        subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(rig.board)), check=True)
        try:
            yield rig
        finally:
            subprocess.run(("umount", "-l", str(rig.board)), check=True)

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        with (rig.board / "other-files").open("wb", buffering=0) as file:
            try:
                while file.write(CHUNK) == len(CHUNK):
                    pass
            except OSError:
                pass  # now it is full
        return "go"

    def mend(self, rig: Rig) -> None:
        (rig.board / "other-files").unlink(missing_ok=True)


DISK_FAULTS = (DiskFull(),)
