"""Which profile a board's twin has, and whether it is this board's."""

from __future__ import annotations

from pathlib import Path

from microbench.board import Board
from microbench.devices import find_device
from microbench.errors import ProfileError, TwinError
from microbench.profile import DeviceProfile, load_profile
from microbench.registry import SSH_BOARD
from microbench.suite.gpu import BoardShape

CALIBRATED = "calibrated"  # the profile that `explore calibrate` wrote for the device
PROFILES_DIRECTORY = Path("results") / "profiles"
NEARLY_HZ = 0.01  # share by which a clock may be off
_SHARED = ("cpu", "cores", "compiler_target", "gpu_memory_bytes")


def calibrated_file(device: str) -> Path:
    """Where `explore calibrate` puts the profile of a device."""
    return PROFILES_DIRECTORY / f"{Path(device).stem}-calibrated.toml"


def twin_device(device: str, twin: str) -> str:
    """The profile's name, or its file, that `--twin` means for a device."""
    return str(calibrated_file(device)) if twin == CALIBRATED else twin


def twin_profile(device: str, devices: Path | None, twin: str) -> DeviceProfile:
    """The profile that `--twin` names, for a device; raises TwinError where there is none, or it is another machine's.

    Raises ProfileError and DevicesError for a device that cannot be understood.
    """
    try:
        profile = load_profile(twin_device(device, twin))
    except ProfileError as error:
        raise TwinError(
            f"no twin of {device!r}: {error}; `explore calibrate --device {device}` makes one"
        ) from error
    own = load_profile(find_device(device, devices).profile)
    if not profile.v3d or not own.v3d:
        without = own if not own.v3d else profile
        raise TwinError(f"{without.name!r} has no QPUs, so no virtual board is its twin; leave out --twin")
    here, there = BoardShape.of(profile), BoardShape.of(own)
    differing = [name for name in _SHARED if getattr(profile, name) != getattr(own, name)]
    differing += [
        name
        for name in ("qpus", "qpus_per_slice", "tmus_per_slice")
        if getattr(here, name) != getattr(there, name)
    ]
    if differing:
        raise TwinError(
            f"twin {profile.name!r} is no twin of {device!r} ({own.name}): {', '.join(differing)} differ; take the "
            f"profile that `explore calibrate --device {device}` wrote"
        )
    return profile


def require_twin(board: Board) -> None:
    """Raises TwinError where a board that was opened with a twin's profile is none, or runs at another clock."""
    if board.name != SSH_BOARD:
        raise TwinError(
            f"the {board.name} board is no board that a twin spares; leave out --twin, or reach the device over SSH"
        )
    told_hz, twin_hz = board.fingerprint().clock_hz, board.profile.v3d_value("clock_hz")
    if abs(told_hz - twin_hz) > NEARLY_HZ * twin_hz:
        raise TwinError(
            f"the board's QPUs run at {told_hz / 1e6:g} MHz and its twin {board.profile.name!r} at "
            f"{twin_hz / 1e6:g} MHz: set that clock, or calibrate again at this one"
        )
