"""The ways to allocate GPU memory that a board has, each tried with the whole plan."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codegen.bundle import compile_bundle
from codegen.graph import Graph
from codegen.plan import Plan, write_plan
from codegen.target import Target
from explorer.runs.report import CheckReport
from microbench.board import BundleRun
from microbench.profile import DeviceProfile

Checked = tuple[CheckReport, BundleRun]
Check = Callable[[Path], Checked]


@dataclass(frozen=True)
class Tried:
    """The plan that is kept, what its check said, and the seconds that it took with each way to allocate."""

    plan: Plan
    checked: Checked
    times_s: dict[str, float]


def other_ways(plan: Plan, profile: DeviceProfile) -> tuple[Plan, ...]:
    """The same plan with the other ways that the board has; none where there is one, or nothing runs on the GPU."""
    if plan.gpu_memory is None or plan.is_of_host:
        return ()
    return tuple(
        plan.model_copy(update={"gpu_memory": way}) for way in profile.gpu_memories if way != plan.gpu_memory
    )


def fastest_way(
    graph: Graph,
    plan: Plan,
    checked: Checked,
    profile: DeviceProfile,
    target: Target,
    place: Path,
    check: Check,
) -> Tried:
    """Runs the plan's bundle with GPU memory allocated otherwise; where that is faster and as right, `place`, a run's
    directory, holds that plan and bundle afterwards.

    Raises as `compile_bundle` and `check`.
    """
    others = other_ways(plan, profile)
    times_s = {str(plan.gpu_memory): checked[0].time_s} if others else {}
    for other in others:
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch) / "bundle"
            compile_bundle(graph, other, target, bundle)
            found = check(bundle)
        times_s[str(other.gpu_memory)] = found[0].time_s
        if found[0].time_s < checked[0].time_s and found[0].largest_error <= found[0].tolerance:
            plan, checked = other, found
            write_plan(plan, place / "plan.json")
            compile_bundle(graph, plan, target, place / "bundle")
    return Tried(plan, checked, times_s)
