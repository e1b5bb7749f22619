"""Where the time of a compiled network goes on this machine: its steps' times beside the peak of the same minutes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.bundle.manifest import Manifest, read_manifest
from codegen.errors import PlanError
from codegen.operators.conv2d import Conv2d
from codegen.plan import Plan, PlanStep, read_plan
from codegen.schedule import Work
from codegen.target import Target
from codegen.tensor import FloatArray
from explorer.objectives.usage import traffic_bytes
from microbench.boards.bundle_bench import BenchReport, time_bundle
from microbench.boards.execution import Executor
from microbench.peak.fma_peak import measure_fma_peak
from microbench.profile import DeviceProfile

SEED = 0


@dataclass(frozen=True)
class StepTime:
    """A step of a plan with its median time in seconds and what it asks of the machine by shapes."""

    step: PlanStep
    time_s: float
    work: Work

    @property
    def operations(self) -> int:
        """Floating-point operations of direct computation, two a multiply-accumulate."""
        return 0 if self.step.is_view else 2 * self.step.spec.macs

    @property
    def least_bytes(self) -> float:
        """Every byte read once, and what is written."""
        return 0.0 if self.step.is_view else self.work.unique_bytes_read + self.work.bytes_written

    @property
    def streamed_bytes(self) -> float:
        """With what is read again because a cache has lost it: an estimate."""
        if self.step.is_view:
            return 0.0
        return traffic_bytes(self.work)


@dataclass(frozen=True)
class NetworkTimes:
    """A network's steps, its median time as a whole, and the measured peak of one core in operations per second."""

    plan: Plan
    steps: tuple[StepTime, ...]
    time_s: float
    peak_per_core: float
    runs: int

    def share_of_peak(self, steps: Sequence[StepTime]) -> float:
        """Operations of some steps over what the cores in use could have done in that time."""
        possible = sum(step.time_s * step.step.choice.threads for step in steps) * self.peak_per_core
        return sum(step.operations for step in steps) / possible if possible else 0.0


def measure_layers(
    bundle: Path, profile: DeviceProfile, executor: Executor, rounds: int, runs: int
) -> NetworkTimes:
    """Runs a bundle `rounds` times `runs` times, each round between two measurements of the peak.

    Medians over all runs; the peak is the best of its measurements. Raises BundleError for a damaged bundle,
    PlanError for one with steps on the QPUs, BoardError or CandidateError where it fails to run.
    """
    manifest, plan, target = read_manifest(bundle), read_plan(bundle / "plan.json"), profile.target()
    if not plan.is_of_host:
        raise PlanError(
            f"bundle {bundle} has steps on the QPUs of {plan.device!r}, this machine has none; "
            "make a plan with `explore run --device host`"
        )
    inputs = _inputs(manifest)
    peaks, reports = [measure_fma_peak(executor, target)], []
    for _ in range(rounds):
        reports.append(time_bundle(executor, target, bundle, "none", inputs, runs)[1])
        peaks.append(measure_fma_peak(executor, target))
    walls = [time_s for report in reports for time_s in report.wall_s]
    times_s = _medians(reports)
    steps = tuple(StepTime(step, times_s.get(step.name, 0.0), _work(step, target)) for step in plan.steps)
    return NetworkTimes(plan, steps, statistics.median(walls), max(peaks), len(walls))


def kind_of(step: PlanStep) -> str:
    """The kind of layer that totals are summed by."""
    op = step.spec.op
    if not isinstance(op, Conv2d):
        return type(op).__name__
    size = "x".join(map(str, op.kernel))
    if op.groups == 1:
        return f"Conv2d {size}"
    return f"{'depthwise' if op.groups == step.spec.inputs[0].shape[1] else 'grouped'} {size}"


def _medians(reports: Sequence[BenchReport]) -> dict[str, float]:
    """Median seconds of every step by name; views are no steps of a program."""
    times_s: dict[str, list[float]] = {}
    for report in reports:
        for step in report.steps:
            times_s.setdefault(step.name, []).extend(t for t in step.times_s if t is not None)
    return {name: statistics.median(values) for name, values in times_s.items() if values}


def _work(step: PlanStep, target: Target) -> Work:
    return algorithm_named(step.choice.algorithm).work(step.spec, target, step.choice)


def _inputs(manifest: Manifest) -> tuple[FloatArray, ...]:
    random = np.random.default_rng(SEED)
    return tuple(random.standard_normal(tensor.shape, dtype=np.float32) for tensor in manifest.inputs)
