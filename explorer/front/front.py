"""The front: every plan that no other beats in latency, memory and CPU time, each compiled, run and measured."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from codegen.bundle import compile_bundle, read_manifest
from codegen.bundle.manifest import Manifest
from codegen.plan import write_plan
from explorer.front.pareto import dominated, spread
from explorer.front.search import Knobs, Proposal, propose
from explorer.measure.workers import Workers
from explorer.plans.check import Trial, check_bundle, require, tolerance_of
from explorer.plans.searched_network import SearchedNetwork
from explorer.runs.data import FRONT_COLUMNS, FRONT_FILE
from explorer.settings import RunSettings
from explorer.terminal.progress import Progress
from microbench.board import Board, BundleRun, Kind

FRONT_DIRECTORY = "front"
FRONT_DETAILS = "front.json"
FRONT_FORMAT = 1
MOST_PLANS = 12
ROUNDS = 15  # of all plans, one after another, where a clock is read


@dataclass(frozen=True)
class FrontPlan:
    """A plan that was run. Times in seconds, of the whole network; memory as its bundle allocates it for activations.

    `latencies_s` and `cpu_times_s` have an entry per round; the plan's own are their medians.
    """

    name: str
    knobs: Knobs
    steps: int
    launches: int
    predicted_s: float
    predicted_cpu_s: float
    latency_s: float
    peak_memory_bytes: int
    cpu_time_s: float
    kind: Kind
    largest_error: float
    same_top5: bool
    latencies_s: tuple[float, ...]
    cpu_times_s: tuple[float, ...]

    @property
    def objectives(self) -> tuple[float, float, float]:
        """Latency, memory, CPU time."""
        return self.latency_s, float(self.peak_memory_bytes), self.cpu_time_s


@dataclass(frozen=True)
class Front:
    """The plans that none beats as measured, the fastest first; those that were run but turned out to be beaten; and
    how many more were not run, being close to one that was.
    """

    plans: tuple[FrontPlan, ...]
    beaten: tuple[FrontPlan, ...]
    not_run: int


def explore_front(
    settings: RunSettings,
    searched: Sequence[SearchedNetwork],
    boards: Workers[Board],
    first: Board,
    trials: Sequence[Trial],
    progress: Progress,
) -> Front:
    """Proposes plans, runs those that stand for all, keeps the ones that no other beats; each is a directory of
    `front/` with plan and bundle. Raises CheckFailedError where one computes wrong outputs.
    """
    proposals = propose(searched, settings.search.seed, progress)
    plain = [index for index, proposal in enumerate(proposals) if proposal.is_plain]
    chosen = spread(np.array([proposal.objectives for proposal in proposals]), MOST_PLANS, plain)
    place = settings.directory / FRONT_DIRECTORY
    shutil.rmtree(place, ignore_errors=True)
    compiled = [
        _compiled(proposals[index], place / f"plan-{n:02}") for n, index in enumerate(chosen, start=1)
    ]
    progress.phase("Front: runs")
    rounds = ROUNDS if first.reads_clock else 1
    measured = _measured(compiled, trials, boards, rounds, progress)
    beaten = dominated(np.array([plan.objectives for plan in measured]))
    ranked = sorted(zip(measured, beaten, strict=True), key=lambda pair: pair[0].objectives)
    return Front(
        tuple(plan for plan, is_beaten in ranked if not is_beaten),
        tuple(plan for plan, is_beaten in ranked if is_beaten),
        len(proposals) - len(chosen),
    )


def write_front(front: Front | None, directory: Path) -> None:
    """front.csv with the plans of the front, front.json with all that were run; none of them where there is none."""
    for name in (FRONT_FILE, FRONT_DETAILS):
        (directory / name).unlink(missing_ok=True)
    if front is None:
        shutil.rmtree(directory / FRONT_DIRECTORY, ignore_errors=True)
        return
    with (directory / FRONT_FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FRONT_COLUMNS)
        for plan in front.plans:
            writer.writerow((plan.name, plan.latency_s, plan.peak_memory_bytes, plan.cpu_time_s, plan.kind))
    content = {"format": FRONT_FORMAT, **asdict(front)}
    (directory / FRONT_DETAILS).write_text(
        json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )


@dataclass(frozen=True, eq=False)
class _Compiled:
    name: str
    proposal: Proposal
    bundle: Path
    tolerance: float
    memory_bytes: int


def _compiled(proposal: Proposal, directory: Path) -> _Compiled:
    plan = proposal.searched.plan(proposal.composition)
    bundle = directory / "bundle"
    compile_bundle(proposal.searched.network.graph, plan, proposal.searched.target, bundle)
    write_plan(plan, directory / "plan.json")
    return _Compiled(
        directory.name, proposal, bundle, tolerance_of(plan), activation_bytes(read_manifest(bundle))
    )


def activation_bytes(manifest: Manifest) -> int:
    """What a bundle allocates for activations and workspaces: the arena, and its share of GPU memory."""
    return manifest.arena_bytes + (manifest.gpu.activation_bytes if manifest.gpu else 0)


def _measured(
    compiled: Sequence[_Compiled],
    trials: Sequence[Trial],
    boards: Workers[Board],
    rounds: int,
    progress: Progress,
) -> list[FrontPlan]:
    """Round by round, so that what disturbs the machine for a while disturbs all plans alike."""
    progress.expect(rounds * len(compiled))
    checks = []
    runs: list[list[BundleRun]] = []
    for check, run in boards.map(
        lambda board, one: check_bundle(board, one.bundle, trials, one.tolerance), compiled
    ):
        require(check)
        checks.append(check)
        runs.append([run])
        progress.done()
    for _ in range(rounds - 1):
        again = boards.map(lambda board, one: board.run_bundle(one.bundle, trials[0].inputs), compiled)
        for known, run in zip(runs, again, strict=True):
            known.append(run)
            progress.done()
    return [
        _front_plan(one, check.largest_error, check.same_top5, known)
        for one, check, known in zip(compiled, checks, runs, strict=True)
    ]


def _front_plan(
    one: _Compiled, largest_error: float, same_top5: bool, runs: Sequence[BundleRun]
) -> FrontPlan:
    composition = one.proposal.composition
    latencies_s = tuple(run.time_s for run in runs)
    cpu_times_s = tuple(run.cpu_time_s for run in runs)
    return FrontPlan(
        name=one.name,
        knobs=one.proposal.knobs,
        steps=len(composition.steps),
        launches=composition.launches,
        predicted_s=composition.total_s,
        predicted_cpu_s=composition.cpu_s,
        latency_s=median(latencies_s),
        peak_memory_bytes=one.memory_bytes,
        cpu_time_s=median(cpu_times_s),
        kind=runs[0].kind,
        largest_error=largest_error,
        same_top5=same_top5,
        latencies_s=latencies_s,
        cpu_times_s=cpu_times_s,
    )
