"""This machine's CPU as a board: C kernels are compiled, run in a process of their own and timed for real."""

from __future__ import annotations

import platform
import statistics
from pathlib import Path
from types import TracebackType
from typing import Self

from codegen.bundle.manifest import read_manifest
from codegen.engines.cpu.toolchain import (
    compiler_identity,
    cpu_model,
)
from codegen.errors import ToolchainError
from codegen.program import CpuProgram
from codegen.target import Target
from codegen.tensor import AnyArray, FloatArray
from microbench.board import Board, BundleRun, Fingerprint, Job, Kind, Measurement, clocked_on
from microbench.boards.admission import admit
from microbench.boards.bundle_bench import BenchReport, time_bundle
from microbench.boards.bundle_stream import time_stream
from microbench.boards.cpu_harness import CANDIDATE_LIMIT_S, time_kernel
from microbench.boards.execution import Executor, LocalExecutor
from microbench.boards.local_machine import serial_hash
from microbench.conditions import read_local_conditions
from microbench.errors import BoardError, CandidateError
from microbench.options import BoardOptions, OwnOptions
from microbench.profile import DeviceProfile
from microbench.protocol import STANDARD
from microbench.streams import StreamRequest, StreamRun

BUNDLE_RUNS = 9  # other programs disturb this machine's times


class HostBoard:
    """Times are this machine's clock (kind `host`); there are no QPUs.

    A board that runs the same programs elsewhere derives from this one, with an executor, a `kind`, a `timing` and
    limits of its own.
    """

    name = "host"
    over_ssh = False
    own_options: type[OwnOptions] = OwnOptions
    computes = True
    reads_clock = True
    records = True
    kind: Kind = "host"
    timing = STANDARD
    candidate_limit_s = CANDIDATE_LIMIT_S
    bundle_runs = BUNDLE_RUNS

    def __init__(self, profile: DeviceProfile, executor: Executor | None = None) -> None:
        """`executor` None: programs run on this machine."""
        self.profile = profile
        self.target: Target = profile.target()
        self._executor = executor or LocalExecutor()

    @classmethod
    def open(cls, profile: DeviceProfile, options: BoardOptions) -> Board:
        """The board of this machine; raises BoardError for a profile of another machine."""
        if profile.compiler_target:
            raise BoardError(
                f"profile {profile.name!r} compiles for {profile.compiler_target}, which this machine does not run; "
                "take --device host, or the board that the profile names"
            )
        return cls(profile)

    def fingerprint(self) -> Fingerprint:
        """Raises BoardError where there is no C compiler."""
        try:
            compiler = compiler_identity(self.profile.compiler_target)
        except ToolchainError as error:
            raise BoardError(str(error)) from error
        return Fingerprint(
            cpu_model(),
            self.profile.hash,
            0.0,
            f"{compiler} {' '.join(self.target.compiler[1:])}",
            serial_hash=serial_hash(),
            kernel=f"{platform.system()} {platform.release()}",
        )

    def describe(self) -> str:
        return clocked_on(self.fingerprint())

    def kind_of(self, engine: str) -> Kind:
        return self.kind

    def measure(self, job: Job) -> Measurement:
        """Raises CandidateError as `timed`."""
        before = read_local_conditions()
        output, times_s = self.timed(job, self._executor)
        return Measurement(times_s, self.kind, output, conditions=(before, read_local_conditions()))

    def timed(self, job: Job, executor: Executor) -> tuple[FloatArray, tuple[float, ...]]:
        """Output and times of a job that an executor runs, for this board's target.

        Raises CandidateError where the kernel is refused by the compiler, crashes or hangs.
        """
        admit(job, self.target)
        if not isinstance(job.program, CpuProgram):
            raise CandidateError(f"candidate {job.candidate.hash[:12]}: the {self.name} board has no QPUs")
        return time_kernel(job, job.program, self.target, executor, self.timing, self.candidate_limit_s)

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """Builds and runs a bundle; times are medians over several runs after a warm-up.

        Raises BundleError for a damaged bundle, BoardError for one that wants QPUs and has no plan for the CPU.
        """
        _require_cpu_plan(bundle)
        outputs, report = time_bundle(self._executor, self.target, bundle, "none", inputs, self.bundle_runs)
        return _bundle_run(outputs, report, self.kind)

    def stream_bundle(self, bundle: Path, request: StreamRequest) -> StreamRun:
        """See `StreamingBoard`."""
        _require_cpu_plan(bundle)
        return time_stream(self._executor, self.target, bundle, "none", request, self.kind)

    def close(self) -> None:
        """Nothing to free: every program has ended when its call returns."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _require_cpu_plan(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    if manifest.gpu is not None and manifest.cpu_plan is None:
        raise BoardError(
            f"bundle {bundle} was compiled for {manifest.device!r} with steps on its QPUs; this machine has none: "
            "make a plan with --device host, or a bundle --with-cpu-plan"
        )


def _bundle_run(outputs: tuple[AnyArray, ...], report: BenchReport, kind: Kind) -> BundleRun:
    """Medians over the timed runs of every step; the processor's time is their mean (`BundleRun`)."""
    return BundleRun(
        outputs=outputs,
        times_s=report.wall_s,
        cpu_time_s=statistics.fmean(report.cpu_s),
        kind=kind,
        step_times_s={
            step.name: statistics.median(time_s or 0.0 for time_s in step.times_s) for step in report.steps
        },
        step_kinds={step.name: kind for step in report.steps},
        counters=report.counters,
    )
