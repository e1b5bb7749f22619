"""The virtual board: QPU programs run on the simulator, CPU layers are costed by a table; no clock is read."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from codegen.algorithm import algorithm_named
from codegen.bundle.manifest import read_manifest
from codegen.engine_registry import engine_named
from codegen.errors import ToolchainError
from codegen.plan import Plan, PlanStep, read_plan
from codegen.program import GpuProgram
from codegen.target import Target
from codegen.tensor import AnyArray
from microbench.board import BundleRun, Fingerprint, Job, Kind, Measurement
from microbench.boards.admission import admit
from microbench.boards.bundle_bench import BenchReport, Times, run_bench
from microbench.boards.bundle_stream import PROGRAM as STREAM_PROGRAM
from microbench.boards.bundle_stream import run_stream
from microbench.boards.camera import replayed
from microbench.boards.execution import Executor, LocalExecutor
from microbench.boards.gpu_measurement import Gpu, measure_on_gpu
from microbench.boards.simulated_gpu import SimulatedGpu
from microbench.cpu_cost import cpu_time_s
from microbench.errors import BoardError, HazardError
from microbench.options import BoardOptions, OwnOptions
from microbench.profile import DeviceProfile
from microbench.streams import StreamRequest, StreamRun
from microbench.virtual.build import software_name
from microbench.virtual.bundle import build_virtual_bundle

BUNDLE_LIMIT_S = 1800.0  # of this machine's time, for a network's one run
STREAM_LIMIT_S = 86400.0  # likewise
COMPUTED_FRAMES = 3  # of a stream: their times are the same every time


class VirtualBoard:
    """Times of QPU programs are `simulated`, of CPU layers `modelled`; both are the same every time.

    Any number of boards may measure at once: each measurement has a GPU of its own.
    """

    name = "virtual"
    over_ssh = False
    own_options = OwnOptions
    computes = True
    reads_clock = False
    stands_in = False
    records = True

    def __init__(
        self,
        profile: DeviceProfile,
        gpu: Gpu | None = None,
        executor: Executor | None = None,
        called: str = "the in-process virtual board",
    ) -> None:
        """`gpu` and `executor` None: this process and this machine; others give the same times, and are `called` so."""
        self.profile = profile
        self.target: Target = profile.target()
        self._gpu = gpu or SimulatedGpu(profile)
        self._executor = executor or LocalExecutor()
        self._called = called

    @classmethod
    def open(cls, profile: DeviceProfile, options: BoardOptions) -> VirtualBoard:
        """The virtual board of a profile; raises BoardError for a profile without QPUs."""
        if not profile.v3d:
            raise BoardError(
                f"profile {profile.name!r} has no table [v3d], so there is nothing to simulate; take --device pi-zero"
            )
        return cls(profile)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(
            f"virtual {self.profile.name}", self.profile.hash, self.target.v3d_clock_hz, software_name()
        )

    def describe(self) -> str:
        return (
            f"{self._called}, no silicon.\n"
            f"QPU times are simulated, CPU times modelled from a table ({software_name()})."
        )

    def kind_of(self, engine: str) -> Kind:
        return _kind_of(engine)

    def measure(self, job: Job) -> Measurement:
        """Raises CandidateError for a job that contradicts itself, HazardError where the GPU stopped it."""
        admit(job, self.target)
        if not isinstance(job.program, GpuProgram):
            time_s = cpu_time_s(job.work, self.profile, job.candidate.choice.threads)
            return Measurement((time_s,) * job.repeats, "modelled")
        return measure_on_gpu(self._gpu, job, job.program, "simulated", timing=None)

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """Builds a bundle with the simulator as its platform and runs it once.

        A step's time is simulated on the QPUs and modelled on the CPU; the run's is their sum. Raises BundleError
        for a damaged bundle, HazardError where the GPU stopped a launch, BoardError where it cannot be built.
        """
        manifest = read_manifest(bundle)
        plan = read_plan(bundle / "plan.json")
        try:
            executable = build_virtual_bundle(bundle, manifest, plan, self.profile)
        except ToolchainError as error:
            raise BoardError(f"bundle {bundle}: {error}") from error
        outputs, report = run_bench(
            self._executor, executable, bundle, manifest, inputs, runs=1, warmup=0, limit_s=BUNDLE_LIMIT_S
        )
        for counter, what in (
            ("stale_reads", "reads of stale cached data"),
            ("warnings", "warnings of the QPUs"),
        ):
            if report.counters.get(counter, 0.0) > 0:
                raise HazardError(f"bundle {bundle}: {report.counters[counter]:.0f} {what}")
        return virtual_bundle_run(self.profile, plan, outputs, report)

    def stream_bundle(self, bundle: Path, request: StreamRequest) -> StreamRun:
        """Computes frames one after another by way of the queue and lets them come in simulated time; otherwise as
        `run_bundle`. Between two frames there is no time: what a queue's hand-over takes has no model.
        """
        manifest, plan = read_manifest(bundle), read_plan(bundle / "plan.json")
        computed = min(request.frames, request.computed or COMPUTED_FRAMES)
        try:
            executable = build_virtual_bundle(
                bundle, manifest, plan, self.profile, stands_in=self.stands_in, program=STREAM_PROGRAM
            )
        except ToolchainError as error:
            raise BoardError(f"bundle {bundle}: {error}") from error
        asked = replace(request, fps=None, frames=computed, deadline_s=None)
        limit_s = min(BUNDLE_LIMIT_S * computed, STREAM_LIMIT_S)
        report = run_stream(self._executor, executable, bundle, manifest, asked, limit_s)
        called = [step for step in plan.steps if _kind_of(step.choice.engine) == "modelled"]
        called_s = sum(_cpu_step_s(self.profile, step) for step in called)
        frames, dropped = replayed([(called_s, frame.launched_s) for frame in report.ran], request)
        launches = len(manifest.gpu.launches) if manifest.gpu else 0
        busy_s = sum(_cpu_step_s(self.profile, step) * step.choice.threads for step in called)
        busy_s += launches * self.profile.v3d_value("launch_overhead_s")
        return StreamRun(
            request=request,
            kind="simulated" if launches else "modelled",
            frames=frames,
            dropped=dropped,
            computed=computed,
            elapsed_s=frames[-1].ended_s,
            cpu_s=busy_s * len(frames),
            beside_s=0.0
            if launches
            else None,  # one thread has its steps, launches, and sleeps until it is told
        )

    def close(self) -> None:
        """Nothing to free: every measurement's GPU has gone when its call returns."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def virtual_bundle_run(
    profile: DeviceProfile, plan: Plan, outputs: tuple[AnyArray, ...], report: BenchReport
) -> BundleRun:
    """A bundle's runs with the CPU steps' times replaced by modelled ones; their time is that of steps and launches.

    The CPU is busy with its steps, in all their threads, and with launching: it sleeps while the QPUs work.
    """
    steps = {step.name: step for step in plan.steps}
    kinds = {step.name: _kind_of(step.engine) for step in report.steps}
    times_s = {
        step.name: _median(step.times_s)
        if kinds[step.name] == "simulated"
        else _cpu_step_s(profile, steps[step.name])
        for step in report.steps
    }
    cpu_s = sum(time_s for name, time_s in times_s.items() if kinds[name] == "modelled")
    launches_s = [sum(launch.times_s[run] for launch in report.launches) for run in range(report.runs)]
    kind: Kind = "simulated" if report.launches else "modelled"
    busy_s = sum(
        time_s * steps[name].choice.threads for name, time_s in times_s.items() if kinds[name] == "modelled"
    )
    busy_s += len(report.launches) * profile.v3d_value("launch_overhead_s")
    return BundleRun(
        outputs, tuple(cpu_s + time_s for time_s in launches_s), busy_s, kind, times_s, kinds, report.counters
    )


def _median(times_s: Times) -> float:
    """Nothing where a step of a launch cannot be told from the others."""
    return statistics.median(time_s or 0.0 for time_s in times_s)


def _kind_of(engine: str) -> Kind:
    return "simulated" if engine_named(engine).launches else "modelled"


def _cpu_step_s(profile: DeviceProfile, step: PlanStep) -> float:
    if step.is_view:  # a bundle moves no byte for it
        return 0.0
    work = algorithm_named(step.choice.algorithm).work(step.spec, profile.target(), step.choice)
    return cpu_time_s(work, profile, step.choice.threads)
