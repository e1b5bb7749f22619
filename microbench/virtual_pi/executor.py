"""Programs run as on a virtual Pi, without a server: the same emulator, firmware, QPUs and clock."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from microbench.boards.execution import Finished, LocalExecutor
from microbench.boards.stand_in import Habits, board_file
from microbench.errors import BoardError
from microbench.profile import DeviceProfile
from microbench.virtual_pi.emulation import emulator_words, release_of, why_no_emulation
from microbench.virtual_pi.files import boot, make_machine

_HABITS = Habits()


class PiExecutor:
    """`microbench.boards.execution.Executor`; one program at a time. `release` is what `uname -r` says there: it tells
    the constants, the simulator and the clock.
    """

    def __init__(self, profile: DeviceProfile) -> None:
        """Raises BoardError where this machine lacks the emulator, ToolchainError as `make_machine`."""
        reason = why_no_emulation(profile)
        if reason is not None:
            raise BoardError(f"device {profile.name!r} cannot be emulated: {reason}")
        self.release = release_of(profile, board_file(profile, _HABITS) if profile.v3d else "")
        self._files = tempfile.TemporaryDirectory(prefix="emulated-pi-")
        self._board = Path(self._files.name)
        try:
            make_machine(self._board, profile, _HABITS)
        except BaseException:
            self.close()
            raise
        self._words = emulator_words(profile, self._board, self.release)

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        """See `Executor`. What a program that was ended had of the GPU's memory is free again."""
        boot(self._board)
        emulator, *options = self._words
        words = (*options, str(executable), *arguments)
        return LocalExecutor().execute(Path(emulator), words, files, outputs, limit_s)

    @property
    def directory(self) -> Path:
        """The machine's files."""
        return self._board

    def close(self) -> None:
        """Removes its files; harmless when that was done."""
        self._files.cleanup()
