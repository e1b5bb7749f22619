"""A board behind a real OpenSSH server whose constants this side is not told."""

from __future__ import annotations

from pathlib import Path

from microbench.boards.stand_in import BOARD_FILE, Habits, board_file
from microbench.options import SshOptions
from microbench.profile import DeviceProfile
from tests.microbench.loopback_sshd import LoopbackServer

NO_HABITS = Habits()
DEVICES = """
[boards.attic]
profile = "pi-zero"
host = "127.0.0.1"
port = {port}
user = "{user}"
key = "{directory}/user_key"
known_hosts = "{directory}/known_hosts"
directory = "{there}"
backend = "stand-in"
"""


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


def devices_file(
    server: LoopbackServer, place: Path, true: DeviceProfile, habits: Habits = NO_HABITS
) -> Path:
    """Names a board `attic` whose constants are at the other end alone."""
    there = place / "there"
    stand_in(server, there, true, habits)
    path = place / "devices.toml"
    path.write_text(
        DEVICES.format(port=server.port, user=server.user, directory=server.directory, there=there)
    )
    return path
