"""A Raspberry Pi's own QPUs and CPU, through a runner on it: real silicon, real time."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from codegen.bundle.manifest import read_manifest
from codegen.engines.cpu.toolchain import compiler_identity
from codegen.program import GpuProgram
from codegen.target import Target
from codegen.tensor import AnyArray
from microbench.board import BundleRun, Fingerprint, Job, Kind, Measurement, clocked_on
from microbench.boards.admission import admit
from microbench.boards.bundle_bench import BenchReport, time_bundle
from microbench.boards.bundle_stream import time_stream
from microbench.boards.cpu_harness import time_kernel
from microbench.boards.gpu_measurement import measure_on_gpu
from microbench.boards.ssh_runner import RemoteRunner
from microbench.profile import DeviceProfile
from microbench.protocol import STANDARD, Timing
from microbench.streams import StreamRequest, StreamRun


class SiliconBoard:
    """Everything it measures is of one kind. The runner is its owner's to close."""

    kind: Kind = "silicon"
    timing: Timing = STANDARD
    name = "ssh"
    computes = True
    reads_clock = True
    records = True

    def __init__(self, profile: DeviceProfile, remote: RemoteRunner) -> None:
        self.profile = profile
        self.target: Target = profile.target()
        self._remote = remote

    def fingerprint(self) -> Fingerprint:
        """The board's model, kernel and the GPU clock it reports (the profile's where it reports none)."""
        info = self._remote.info
        compiler = compiler_identity(self.profile.compiler_target)
        software = f"{compiler} {' '.join(self.target.compiler[1:])}, launches by {info.backend}"
        clock_hz = info.clock_hz or self.target.v3d_clock_hz
        return Fingerprint(
            info.board or info.cpu, self.profile.hash, clock_hz, software, **self._remote.identity
        )

    def describe(self) -> str:
        return clocked_on(self.fingerprint())

    def kind_of(self, engine: str) -> Kind:
        return self.kind

    def measure(self, job: Job) -> Measurement:
        """Raises CandidateError, HazardError where the GPU stopped the program, BoardError."""
        admit(job, self.target)
        if isinstance(job.program, GpuProgram):
            measured = measure_on_gpu(self._remote, job, job.program, "silicon", self.timing)
            return replace(measured, kind=self.kind)
        executor = self._remote.pinned(job.program.threads)
        output, times_s = time_kernel(job, job.program, self.target, executor, self.timing)
        taken = tuple(readings.conditions() for readings in executor.readings)
        return Measurement(times_s, self.kind, output, conditions=taken)

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """Cross-compiles a bundle and runs it there; times are medians over several runs after a warm-up."""
        platform = "none" if read_manifest(bundle).gpu is None else "mailbox"
        executor = self._remote.pinned(0)  # to no core: for its readings
        outputs, report = time_bundle(executor, self.target, bundle, platform, inputs)
        return replace(bundle_run(outputs, report, self.kind), conditions=executor.conditions)

    def stream_bundle(self, bundle: Path, request: StreamRequest) -> StreamRun:
        """See `StreamingBoard`."""
        platform = "none" if read_manifest(bundle).gpu is None else "mailbox"
        return time_stream(self._remote.pinned(0), self.target, bundle, platform, request, self.kind)

    def close(self) -> None:
        """Nothing of its own to free."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def bundle_run(outputs: tuple[AnyArray, ...], report: BenchReport, kind: Kind) -> BundleRun:
    """Medians of a bundle's runs. Steps that cannot be told from others of their launch have no time of their own."""
    times_s: dict[str, float] = {}
    for step in report.steps:
        known = [time_s for time_s in step.times_s if time_s is not None]
        if len(known) == report.runs:
            times_s[step.name] = statistics.median(known)
    return BundleRun(
        outputs=outputs,
        times_s=report.wall_s,
        cpu_time_s=statistics.fmean(report.cpu_s),
        kind=kind,
        step_times_s=times_s,
        step_kinds={name: kind for name in times_s},
        counters=report.counters,
    )
