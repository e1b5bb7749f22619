"""A board behind a real OpenSSH server whose constants this side is not told."""

from __future__ import annotations

from pathlib import Path

from microbench.boards.stand_in import BOARD_FILE, Habits, board_file
from microbench.options import SshOptions
from microbench.profile import DeviceProfile
from tests.microbench.loopback_sshd import LoopbackServer

NO_HABITS = Habits()


def stand_in(
    server: LoopbackServer,
    directory: Path,
    true: DeviceProfile,
    habits: Habits = NO_HABITS,
    **changes: object,
) -> SshOptions:
    """Puts a board of such constants at the other end; returns how it is reached."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / BOARD_FILE).write_text(board_file(true, habits))
    return server.options(directory, backend="stand-in", **changes)
