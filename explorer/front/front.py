"""The front: every plan that no other beats in any objective, each compiled, run and measured."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from codegen.bundle import compile_bundle, read_manifest
from codegen.bundle.manifest import Manifest
from codegen.plan import write_plan
from explorer.front.pareto import dominated, spread
from explorer.front.search import Knobs, Proposal, compared, objectives_of, propose, values_of
from explorer.measure.workers import Workers
from explorer.objectives.objective import ENERGY, LATENCY, OBJECTIVES, Objective
from explorer.plans.check import Trial, check_bundle, require, tolerance_of
from explorer.plans.searched_network import SearchedNetwork
from explorer.runs.data import FRONT_COLUMNS, FRONT_FILE
from explorer.settings import RunSettings
from explorer.terminal.progress import Progress
from microbench.board import Board, BundleRun, Kind

FRONT_DIRECTORY = "front"
FRONT_DETAILS = "front.json"
FRONT_FORMAT = 2
MOST_PLANS = 12
POWER_SERIES = ("power", "W")  # of a board with a meter
ROUNDS = 15  # of all plans, one after another, where a clock is read

EnergyKind = Literal["metered", "modelled", ""]


@dataclass(frozen=True)
class FrontPlan:
    """A plan that was run. Times in seconds, of the whole network; memory as its bundle allocates it for activations.

    `latencies_s` and `cpu_times_s` have an entry per round; the plan's own are their medians. `objectives`: by their
    columns; `energy_kind`: metered, modelled, or nothing where no energy is told.
    """

    name: str
    knobs: Knobs
    steps: int
    launches: int
    predicted: Mapping[str, float]
    objectives: Mapping[str, float]
    energy_kind: EnergyKind
    kind: Kind
    largest_error: float
    same_top5: bool
    latencies_s: tuple[float, ...]
    cpu_times_s: tuple[float, ...]

    @property
    def latency_s(self) -> float:
        """Of the whole network."""
        return self.objectives[LATENCY.column]


@dataclass(frozen=True)
class Front:
    """The plans that none beats as measured, the fastest first, with what can be told of them; those that were run but
    turned out to be beaten; and how many more were not run, being close to one that was.
    """

    objectives: tuple[Objective, ...]
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
    predictable = compared(objectives_of(searched[0]))
    chosen = spread(np.array([proposal.values(predictable) for proposal in proposals]), MOST_PLANS, plain)
    place = settings.directory / FRONT_DIRECTORY
    shutil.rmtree(place, ignore_errors=True)
    compiled = [
        _compiled(proposals[index], place / f"plan-{n:02}") for n, index in enumerate(chosen, start=1)
    ]
    progress.phase("Front: runs")
    rounds = ROUNDS if first.reads_clock else 1
    measured = _measured(compiled, trials, boards, rounds, progress)
    told = tuple(o for o in OBJECTIVES if all(o.column in plan.objectives for plan in measured))
    values = np.array([[plan.objectives[o.column] for o in compared(told)] for plan in measured])
    beaten = dominated(values)
    order = sorted(range(len(measured)), key=lambda index: tuple(values[index]))
    ranked = [(measured[index], beaten[index]) for index in order]
    return Front(
        told,
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
            cells = {"plan": plan.name, **plan.objectives, "kind": plan.kind, "energy_kind": plan.energy_kind}
            writer.writerow([cells.get(column) for column in FRONT_COLUMNS])
    content = {"format": FRONT_FORMAT, **_details(front)}
    (directory / FRONT_DETAILS).write_text(
        json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )


def _details(front: Front) -> dict[str, Any]:
    objectives = [
        {"name": o.name, "column": o.column, "unit": o.unit, "compared": o.compared} for o in front.objectives
    ]
    plans = {"plans": front.plans, "beaten": front.beaten}
    return {
        "objectives": objectives,
        "not_run": front.not_run,
        **{name: [asdict(plan) for plan in group] for name, group in plans.items()},
    }


@dataclass(frozen=True, eq=False)
class _Compiled:
    name: str
    proposal: Proposal
    bundle: Path
    tolerance: float
    manifest: Manifest


def _compiled(proposal: Proposal, directory: Path) -> _Compiled:
    plan = proposal.searched.plan(proposal.composition)
    bundle = directory / "bundle"
    compile_bundle(proposal.searched.network.graph, plan, proposal.searched.target, bundle)
    write_plan(plan, directory / "plan.json")
    return _Compiled(directory.name, proposal, bundle, tolerance_of(plan), read_manifest(bundle))


def gpu_activation_bytes(manifest: Manifest) -> int:
    """What a bundle allocates for activations in the GPU's memory."""
    return manifest.gpu.activation_bytes if manifest.gpu else 0


def activation_bytes(manifest: Manifest) -> int:
    """What a bundle allocates for activations and workspaces: the arena, and its share of GPU memory."""
    return manifest.arena_bytes + gpu_activation_bytes(manifest)


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
    composition, searched = one.proposal.composition, one.proposal.searched
    predictable = objectives_of(searched)
    latencies_s = tuple(run.time_s for run in runs)
    cpu_times_s = tuple(run.cpu_time_s for run in runs)
    metered_j = _metered_j(runs)
    used = replace(
        composition.usage,
        latency_s=median(latencies_s),
        cpu_s=median(cpu_times_s),
        gpu_bytes=gpu_activation_bytes(one.manifest),
        arena_bytes=one.manifest.arena_bytes,
        metered_j=metered_j,
    )
    told = predictable if metered_j is None else tuple(dict.fromkeys((*predictable, ENERGY)))
    return FrontPlan(
        name=one.name,
        knobs=one.proposal.knobs,
        steps=len(composition.steps),
        launches=composition.launches,
        predicted=_by_column(predictable, one.proposal.values(predictable)),
        objectives=_by_column(told, values_of(told, used, searched)),
        energy_kind=_energy_kind(told, metered_j),
        kind=runs[0].kind,
        largest_error=largest_error,
        same_top5=same_top5,
        latencies_s=latencies_s,
        cpu_times_s=cpu_times_s,
    )


def _by_column(objectives: Sequence[Objective], values: Sequence[float]) -> dict[str, float]:
    return {objective.column: value for objective, value in zip(objectives, values, strict=True)}


def _energy_kind(objectives: Sequence[Objective], metered_j: float | None) -> EnergyKind:
    if ENERGY not in objectives:
        return ""
    return "modelled" if metered_j is None else "metered"


def _metered_j(runs: Sequence[BundleRun]) -> float | None:
    """What the board's meter saw, by run, where it has one: its mean power by the time of a run."""
    energies_j = [
        series.mean * run.time_s
        for run in runs
        for series in run.series
        if (series.name, series.unit) == POWER_SERIES
    ]
    return median(energies_j) if energies_j else None
