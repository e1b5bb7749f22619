"""The suite on a board over SSH, under the clock and the shape that the board states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from microbench.boards.ssh import SshBoard
from microbench.calibration.measurements import (
    Circumstances,
    MeasurementsFile,
    SuiteTimes,
    Told,
    measure_suite,
)
from microbench.suite.gpu import BoardShape
from microbench.suite.runner import Effort


@dataclass(frozen=True)
class Measured:
    """What a board states of itself, and what the suite measured of it."""

    shape: BoardShape
    times: SuiteTimes


def measure_gpu(board: SshBoard, file: Path, effort: Effort, told: Told) -> Measured:
    """All of the suite, or what the file does not have of it yet; raises as `measure_suite`, ProfileError without QPUs.

    Slices, QPUs and TMUs are the profile's, as every VideoCore IV has them; the clock is the one the board reports.
    """
    shape = replace(BoardShape.of(board.profile), clock_hz=board.gpu_clock_hz)
    fingerprint = board.fingerprint()
    told_of_board = f"{fingerprint.board}, {fingerprint.software}, {fingerprint.serial_hash}"
    circumstances = Circumstances(told_of_board, board.profile.gpu_memory or "", shape, effort.rounds_factor)
    times = measure_suite(board.launcher(), MeasurementsFile(file, circumstances), effort.repeats, told=told)
    return Measured(shape, times)
