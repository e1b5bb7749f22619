"""Opens a board by device name; built-in boards and plug-ins come through the same entry points.

A board is a class named in the entry-point group `explore.boards`. It is made by one class method,
`open(profile: DeviceProfile, options: BoardOptions) -> Board`, which raises BoardError (what is missing, and
the remedy) where the options do not suffice.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from microbench.board import Board
from microbench.devices import find_device
from microbench.errors import BoardError
from microbench.options import BoardOptions, SshOptions
from microbench.profile import DeviceProfile, load_profile

ENTRY_POINT_GROUP = "explore.boards"


class BoardClass(Protocol):
    """What an entry point of `explore.boards` names."""

    def open(self, profile: DeviceProfile, options: BoardOptions) -> Board: ...


def known_boards() -> tuple[str, ...]:
    """Names that `--board` accepts."""
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))


def board_class(name: str) -> BoardClass:
    """The class of that name; raises BoardError listing the known ones, or telling why it does not load."""
    points = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name == name]
    if not points:
        raise BoardError(f"unknown board {name!r}; known boards: {', '.join(known_boards())}")
    if len({point.value for point in points}) > 1:
        values = ", ".join(sorted(point.value for point in points))
        raise BoardError(f"several boards are named {name!r} ({values}); rename the plug-in")
    return _load(points[0])


def open_board(
    device: str,
    *,
    board: str | None = None,
    ssh: SshOptions | None = None,
    v3d_hz: float | None = None,
    qpus: int | None = None,
    store: str | Path | None = None,
    devices: Path | None = None,
) -> Board:
    """The board of a device: a board named in the file `devices`, otherwise a profile's name or `.toml` file, of
    which by default the board that the profile names.

    A named board is reached over SSH, unless `board` is another way to its profile. `ssh` alone selects the SSH
    board; `v3d_hz` overrides the GPU clock of the profile; `qpus` is how many QPUs programs use; `store` is what a
    replay board answers from. Raises ProfileError for an unknown device, DevicesError for a malformed file of
    boards, BoardError for an unknown or unreachable board.
    """
    named = find_device(device, devices)
    if named.ssh is not None and board in (None, "ssh"):
        if ssh is not None:
            raise BoardError(
                f"device {device!r} is a board of {devices}, which says where it is; leave out --ssh"
            )
        ssh = named.ssh
    profile = load_profile(named.profile)
    if v3d_hz is not None:
        profile = profile.with_v3d(clock_hz=v3d_hz)
    if qpus is not None:
        profile = profile.with_qpus(qpus)
    name = board or ("ssh" if ssh is not None else profile.board)
    return board_class(name).open(profile, BoardOptions(ssh=ssh, store=store))


def _load(point: EntryPoint) -> BoardClass:
    try:
        loaded: BoardClass = point.load()
    except (ImportError, AttributeError) as error:
        raise BoardError(
            f"board {point.name!r} ({point.value}) does not load: {error}; reinstall it"
        ) from error
    if not callable(getattr(loaded, "open", None)):
        raise BoardError(f"board {point.name!r} ({point.value}) has no class method open(profile, options)")
    return loaded
