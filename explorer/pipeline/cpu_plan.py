"""The plan for the CPU alone that a bundle carries beside the one for the GPU: composed, and checked as that one is."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from codegen.bundle import Model, read_manifest, write_bundle
from codegen.bundle.two_plans import CPU_PLAN
from codegen.plan import Plan
from explorer.compose.compose import cpu_only
from explorer.errors import CompositionError
from explorer.measure.workers import Workers
from explorer.plans.check import Trial, check_side_by_side, runs_side_by_side, tolerance_of
from explorer.plans.searched_network import SearchedNetwork
from explorer.runs.report import CpuPlanReport
from microbench.board import Board

CPU_PLAN_FILE = CPU_PLAN  # in a run's directory as in its bundle


def cpu_plan_within(found: SearchedNetwork, cap_bytes: int | None) -> Plan:
    """The fastest plan without the QPUs that takes at most `cap_bytes` of memory in all; raises CompositionError where
    there is none.
    """
    try:
        composed = found.compose(cpu_only())
        if cap_bytes is not None:
            composed = found.compose_within_all(cap_bytes, cpu_only())
    except CompositionError as error:
        raise CompositionError(
            f"there is no plan for the CPU alone, which --with-cpu-plan asks for: {error}; leave it out, or loosen "
            "--force, --forbid and --max-memory"
        ) from error
    return found.plan(composed)


def cpu_plan_report(
    cpu_model: Model, bundle: Path, boards: Workers[Board], board: Board, trials: Sequence[Trial]
) -> CpuPlanReport:
    """What the plan beside adds to `bundle`, and its check: its outputs on all trials, run as a bundle of its own.

    Raises as the board's `run_bundle`.
    """
    entry = read_manifest(bundle).cpu_plan
    if entry is None:
        raise AssertionError("a bundle without the plan that was written to it")
    with tempfile.TemporaryDirectory() as scratch:
        alone = Path(scratch) / "bundle"
        write_bundle(cpu_model, board.target, alone)
        (first,) = runs_side_by_side(boards, [alone], trials[0])
        checked, _ = check_side_by_side(boards, alone, first, trials, tolerance_of(cpu_model.plan))
    return CpuPlanReport(entry.source_bytes, entry.weights_bytes, checked)
