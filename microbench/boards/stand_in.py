"""A simulator at the other end that stands for a real board: it has constants of its own, which are not told here.

What is written for real boards is tried with it: calibration, searches on a board that no profile has, clocks that
scatter. Its times of the QPUs are simulated, and said to be; those of the CPU are modelled by the profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from codegen.bundle.manifest import read_manifest
from codegen.errors import ToolchainError
from codegen.plan import read_plan
from codegen.program import GpuProgram
from codegen.tensor import AnyArray
from microbench.board import BundleRun, Fingerprint, Job, Measurement
from microbench.boards.admission import admit
from microbench.boards.bundle_bench import run_bench
from microbench.boards.gpu_measurement import measure_on_gpu
from microbench.boards.ssh_runner import RemoteRunner
from microbench.boards.virtual import BUNDLE_LIMIT_S, VirtualBoard, virtual_bundle_run
from microbench.errors import BoardError
from microbench.profile import DeviceProfile
from microbench.protocol import Timing
from microbench.virtual.bundle import build_virtual_bundle
from microbench.virtual.constants import constants_of

BOARD_FILE = "board.constants"  # in the runner's directory
RUNS = 5  # of a bundle
SHORT = Timing(warm_up_s=0.0, minimum_total_s=0.0)  # it has no clock to warm up


@dataclass(frozen=True)
class Habits:
    """How a board differs in what no constant of a profile expresses; the defaults are the virtual board's.

    `launch_noise`: standard deviation of a launch's time, as a share of it. `sfu_qpus`: how many QPUs, one after
    another, have a special functions unit in common, 0: those of a slice. `spared_uniform_lines`: 1: every other
    line of uniforms takes no longer than a TMU's.
    """

    launch_noise: float = 0.0
    sfu_qpus: int = 0
    spared_uniform_lines: int = 0


class StandInBoard(VirtualBoard):
    """Every launch and every repeat is a run of its own, since their times may scatter."""

    name = "ssh"
    reads_clock = True
    stands_in = True

    def __init__(self, profile: DeviceProfile, remote: RemoteRunner) -> None:
        super().__init__(
            profile, gpu=remote, executor=remote, called="a simulator that stands for a board (ssh)"
        )
        self._info = remote.info

    def fingerprint(self) -> Fingerprint:
        """Tells boards apart by what their simulators say of themselves; the clock is the one that it reports."""
        return Fingerprint(
            f"stand-in {self.profile.name}", self.profile.hash, self._info.clock_hz, self._info.software
        )

    def measure(self, job: Job) -> Measurement:
        """Raises as the virtual board does."""
        if not isinstance(job.program, GpuProgram):
            return super().measure(job)
        admit(job, self.target)
        return measure_on_gpu(self._gpu, job, job.program, "simulated", SHORT)

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """As the virtual board does, a few times, with the constants of the board there."""
        manifest = read_manifest(bundle)
        plan = read_plan(bundle / "plan.json")
        try:
            executable = build_virtual_bundle(bundle, manifest, plan, self.profile, stands_in=self.stands_in)
        except ToolchainError as error:
            raise BoardError(f"bundle {bundle}: {error}") from error
        outputs, report = run_bench(
            self._executor, executable, bundle, manifest, inputs, runs=RUNS, warmup=0, limit_s=BUNDLE_LIMIT_S
        )
        return virtual_bundle_run(self.profile, plan, outputs, report)


def board_file(profile: DeviceProfile, habits: Habits) -> str:
    """The text of `BOARD_FILE` for a board with a profile's constants."""
    lines: Mapping[str, float] = {**constants_of(profile), **asdict(habits)}
    return "".join(f"{name} {value!r}\n" for name, value in lines.items())
