"""The ways to allocate GPU memory that a board has, each tried with the whole plan."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen.bundle import Model
from codegen.plan import Plan, write_plan
from codegen.target import GpuMemory
from explorer.runs.report import CheckReport
from microbench.board import BundleRun
from microbench.profile import DeviceProfile

Checked = tuple[CheckReport, BundleRun]
FirstRuns = Callable[[Sequence[Path]], Sequence[BundleRun]]
Write = Callable[[Model, Path], object]
Complete = Callable[[Path, BundleRun], Checked]


@dataclass(frozen=True)
class Tried:
    """The plan that is kept, what its check said, and the seconds that it took with each way to allocate, where
    there are several.
    """

    plan: Plan
    checked: Checked
    times_s: Mapping[str, float]


def other_ways(plan: Plan, profile: DeviceProfile) -> tuple[GpuMemory, ...]:
    """The other ways that the board has; none where there is one, or nothing of the plan runs on the GPU."""
    if plan.gpu_memory is None or plan.is_of_host:
        return ()
    return tuple(way for way in profile.gpu_memories if way != plan.gpu_memory)


def fastest_way(
    model: Model,
    others: Sequence[GpuMemory],
    write: Write,
    place: Path,
    first_runs: FirstRuns,
    complete: Complete,
) -> Tried:
    """Checks the plan whose bundle and plan.json `place`, a run's directory, has; where it is faster with GPU memory
    allocated otherwise, and as right, `place` holds that plan and bundle afterwards.

    `write` writes the bundle of a model; `first_runs` runs bundles on one input; `complete` checks a bundle, of which
    that run is known, on all of them. Raises as these do, and BundleError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ways = {place / "bundle": model}
        for other in others:
            bundle = Path(scratch) / other
            ways[bundle] = model.with_gpu_memory(other)
            write(ways[bundle], bundle)
        runs = dict(zip(ways, first_runs(tuple(ways)), strict=True))
        for bundle in sorted(ways, key=lambda bundle: runs[bundle].time_s):
            checked = complete(bundle, runs[bundle])
            if ways[bundle] is model or checked[0].largest_error <= checked[0].tolerance:
                break
        kept = ways[bundle]
    if kept is not model:
        write_plan(kept.plan, place / "plan.json")
        write(kept, place / "bundle")
    times_s = {str(ways[bundle].plan.gpu_memory): run.time_s for bundle, run in runs.items()}
    return Tried(kept.plan, checked, times_s if others else {})
