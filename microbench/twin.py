"""Which profile a board's twin has, and whether it is this board's."""

from __future__ import annotations

from pathlib import Path

from microbench.board import Board
from microbench.calibration.profile_file import is_fitted_on
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


def is_calibrated(device: str) -> bool:
    """Whether `explore calibrate` wrote a profile with constants that it found on the QPUs of a device, over SSH.

    Raises TwinError where what it wrote cannot be read.
    """
    path = calibrated_file(device)
    if not path.exists():
        return False
    try:
        return is_fitted_on(Path(device).stem, load_profile(str(path)))
    except ProfileError as error:
        raise TwinError(f"{error}; calibrate again, or search on the board itself by --no-twin") from error


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
        raise TwinError(f"{without.name!r} has no QPUs, so no virtual board is its twin; take --no-twin")
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
            f"profile that `explore calibrate --device {device}` wrote, or none by --no-twin"
        )
    return profile


def require_spared(board: Board) -> None:
    """Raises TwinError for a board in whose place no virtual one need be searched."""
    if board.name != SSH_BOARD:
        raise TwinError(
            f"the {board.name} board is no board that a twin or few probes spare; leave out --twin and --probes, or "
            "reach the device over SSH"
        )


def require_twin(board: Board) -> None:
    """Raises TwinError where a board that was opened with a twin's profile is none, or runs at another clock."""
    require_spared(board)
    told_hz, twin_hz = board.fingerprint().clock_hz, board.profile.v3d_value("clock_hz")
    if abs(told_hz - twin_hz) > NEARLY_HZ * twin_hz:
        raise TwinError(
            f"the board's QPUs run at {told_hz / 1e6:g} MHz and its twin {board.profile.name!r} at "
            f"{twin_hz / 1e6:g} MHz: set that clock, calibrate again at this one, or take --no-twin"
        )
