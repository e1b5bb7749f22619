"""Opens a board by device name; built-in boards and plug-ins come through the same entry points.

A board is a class named in the entry-point group `explore.boards`. It is made by one class method,
`open(profile: DeviceProfile, options: BoardOptions) -> Board`, which raises BoardError (what is missing, and
the remedy) where the options do not suffice.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from codegen.suggestion import unknown
from codegen.target import GpuMemory
from microbench.board import Board
from microbench.devices import Device, find_device
from microbench.errors import BoardError
from microbench.options import BoardOptions, OwnOptions, SshOptions, own_options
from microbench.profile import DeviceProfile, load_profile

ENTRY_POINT_GROUP = "explore.boards"
SSH_BOARD = "ssh"  # what opens where a place is given and no board


class BoardClass(Protocol):
    """What an entry point of `explore.boards` names.

    `over_ssh`: it is reached by what a user says about SSH. `own_options`: what it wants to be told besides.
    """

    over_ssh: bool
    own_options: type[OwnOptions]

    def open(self, profile: DeviceProfile, options: BoardOptions) -> Board: ...


def known_boards() -> tuple[str, ...]:
    """Names that `--board` accepts."""
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))


def board_class(name: str, place: str = "") -> BoardClass:
    """The class of that name; raises BoardError listing the known ones, or telling why it does not load.

    `place` begins the message about an unknown one.
    """
    points = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name == name]
    if not points:
        raise BoardError(
            f"{place}unknown board {unknown(name, known_boards())} known boards: {', '.join(known_boards())}; "
            "install the plug-in that brings it, or take another by --board"
        )
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
    gpu_memory: GpuMemory | None = None,
    store: str | Path | None = None,
    devices: Path | None = None,
    options: Mapping[str, object] | None = None,
    profile: DeviceProfile | None = None,
) -> Board:
    """The board of a device: a board named in the file `devices`, otherwise a profile's name or `.toml` file, of
    which by default the board that the profile names.

    A named board is reached as its entry says, unless `board` is another way to its profile. `ssh` alone selects the
    SSH board; `v3d_hz` overrides the GPU clock of the profile; `qpus` is how many QPUs programs use; `gpu_memory`
    is how the GPU's memory is allocated, None: as the profile has it; `store` is what a
    replay board answers from. `options` are the board's own, and go before those of the named board, and these before
    the profile's; both files speak of the board that they name. `profile` takes the place of the device's own, where
    its constants are known better. Raises ProfileError for an unknown device, DevicesError
    for a malformed file of boards, BoardError for an unknown or unreachable board, BoardOptionError.
    """
    named = find_device(device, devices)
    profile = profile_with(profile or load_profile(named.profile), v3d_hz, qpus, gpu_memory)
    usual = _usual_board(named, ssh, profile)
    name = board or usual
    chosen = board_class(name, f"device {device!r}: ")
    own = {
        **(profile.board_options if name == profile.board else {}),
        **(named.board_options if name == usual else {}),
        **(options or {}),
    }
    opened = chosen.open(
        profile,
        BoardOptions(
            ssh=_reached_over(chosen, name, ssh, named, f"device {device!r} is a board of {devices}"),
            store=store,
            own=own_options(name, chosen.own_options, own),
        ),
    )
    missing = [field for field in Board.__annotations__ if not hasattr(opened, field)]
    if missing:
        opened.close()
        raise BoardError(
            f"board {name!r} does not say {', '.join(missing)} of itself; ask its author to add it"
        )
    return opened


def profile_with(
    profile: DeviceProfile, v3d_hz: float | None, qpus: int | None, gpu_memory: GpuMemory | None
) -> DeviceProfile:
    """The profile with another GPU clock, fewer QPUs, another way to allocate GPU memory; None: as it has it."""
    if v3d_hz is not None:
        profile = profile.with_v3d(clock_hz=v3d_hz)
    if gpu_memory is not None:
        profile = profile.with_gpu_memory(gpu_memory)
    return profile if qpus is None else profile.with_qpus(qpus)


def is_over_ssh(device: str, *, board: str | None, ssh: SshOptions | None, devices: Path | None) -> bool:
    """Whether `open_board` would take the SSH board; raises as it does for a device that cannot be understood."""
    named = find_device(device, devices)
    return (board or _usual_board(named, ssh, load_profile(named.profile))) == SSH_BOARD


def _usual_board(named: Device, ssh: SshOptions | None, profile: DeviceProfile) -> str:
    return named.board or (SSH_BOARD if ssh or named.ssh else profile.board)


def _reached_over(
    chosen: BoardClass, name: str, ssh: SshOptions | None, named: Device, place: str
) -> SshOptions | None:
    if chosen.over_ssh:
        if ssh is not None and named.ssh is not None:
            raise BoardError(f"{place}, which says where it is; leave out --ssh")
        return ssh or named.ssh
    if ssh is not None:
        raise BoardError(
            f"the {name} board is not reached over SSH: leave out --ssh, or take --board {SSH_BOARD}"
        )
    if named.ssh is not None and named.board == name:
        raise BoardError(f"{place} that is not reached over SSH ({name}); remove its host")
    return None


def _load(point: EntryPoint) -> BoardClass:
    try:
        loaded: BoardClass = point.load()
    except (ImportError, AttributeError) as error:
        raise BoardError(
            f"board {point.name!r} ({point.value}) does not load: {error}; reinstall it"
        ) from error
    if not callable(getattr(loaded, "open", None)):
        raise BoardError(f"board {point.name!r} ({point.value}) has no class method open(profile, options)")
    missing = [field for field in BoardClass.__annotations__ if not hasattr(loaded, field)]
    if missing:
        raise BoardError(
            f"board {point.name!r} ({point.value}) declares no {', '.join(missing)}; ask its author to add it"
        )
    return loaded
