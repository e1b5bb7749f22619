"""The front: every plan that no other beats in any objective, each compiled, run and measured."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codegen.bundle import compile_bundle, read_manifest
from codegen.bundle.manifest import Manifest
from codegen.plan import write_plan
from explorer.front.kept_runs import KeptRuns, key_of, read_runs, write_runs
from explorer.front.pareto import dominated, spread
from explorer.front.search import Knobs, Proposal, compared, objectives_of, propose, values_of
from explorer.measure.workers import Workers
from explorer.objectives.objective import ENERGY, LATENCY, MEMORY, Objective
from explorer.objectives.registry import objectives
from explorer.plans.check import Trial, check_bundle, require, tolerance_of, trials_as_stored
from explorer.plans.searched_network import SearchedNetwork
from explorer.runs.data import FRONT_COLUMNS, FRONT_FILE
from explorer.search.keeper import RoundKeeper
from explorer.settings import RunSettings
from explorer.terminal.progress import FoundPlan, Progress
from microbench.board import Board, Kind
from microbench.virtual.bundle import virtual_platform

FRONT_DIRECTORY = "front"
FRONT_STUDY = "front-study.log"  # Optuna's journal
BUNDLE = "bundle"
FRONT_DETAILS = "front.json"
FRONT_FORMAT = 2
MOST_PLANS = 12
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
    keeper: RoundKeeper | None,
) -> Front:
    """Proposes plans, runs those that stand for all, keeps the ones that no other beats; each is a directory of
    `front/` with plan and bundle. Raises CheckFailedError where one computes wrong outputs.
    """
    proposals = propose(searched, settings.search.seed, progress, settings.directory / FRONT_STUDY, keeper)
    plain = [index for index, proposal in enumerate(proposals) if proposal.is_plain]
    predictable = compared(objectives_of(searched[0]))
    chosen = spread(np.array([proposal.values(predictable) for proposal in proposals]), MOST_PLANS, plain)
    place = settings.directory / FRONT_DIRECTORY
    names = [f"plan-{number:02}" for number in range(1, len(chosen) + 1)]
    _tidy(place, names)
    seed = settings.search.seed
    compiled = [
        _compiled(proposals[index], place / name, seed, trials)
        for index, name in zip(chosen, names, strict=True)
    ]
    progress.phase("Front: runs")
    rounds = ROUNDS if first.reads_clock else 1
    measured = _measured(compiled, boards, rounds, progress)
    told = tuple(o for o in objectives() if all(o.column in plan.objectives for plan in measured))
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
        (directory / FRONT_STUDY).unlink(missing_ok=True)
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
    directory: Path
    tolerance: float
    manifest: Manifest
    key: str
    trials: tuple[Trial, ...]  # by the weights that it has

    @property
    def bundle(self) -> Path:
        return self.directory / BUNDLE


def _tidy(place: Path, names: Collection[str]) -> None:
    """Takes away what an earlier front has left that this one does not overwrite."""
    for directory in place.iterdir() if place.is_dir() else ():
        if directory.name not in names:
            shutil.rmtree(directory)


def _compiled(proposal: Proposal, directory: Path, seed: int, trials: Sequence[Trial]) -> _Compiled:
    plan = proposal.searched.plan(proposal.composition)
    bundle = directory / BUNDLE
    shutil.rmtree(bundle, ignore_errors=True)
    searched = proposal.searched
    virtual = virtual_platform(searched.profile, plan)
    compile_bundle(searched.network.graph, plan, searched.target, bundle, virtual)
    write_plan(plan, directory / "plan.json")
    key = key_of(bundle, proposal.searched.fingerprint, seed)
    own = trials_as_stored(searched.network.graph, plan, trials)
    return _Compiled(directory.name, proposal, directory, tolerance_of(plan), read_manifest(bundle), key, own)


def gpu_activation_bytes(manifest: Manifest) -> int:
    """What a bundle allocates for activations in the GPU's memory."""
    return manifest.gpu.activation_bytes if manifest.gpu else 0


def activation_bytes(manifest: Manifest) -> int:
    """What a bundle allocates for activations and workspaces: the arena, and its share of GPU memory."""
    return manifest.arena_bytes + gpu_activation_bytes(manifest)


def _measured(
    compiled: Sequence[_Compiled],
    boards: Workers[Board],
    rounds: int,
    progress: Progress,
) -> list[FrontPlan]:
    """Round by round, so that what disturbs the machine for a while disturbs all plans alike."""
    kept = {one.name: known for one in compiled if (known := read_runs(one.directory, one.key)) is not None}
    progress.expect(rounds * len(compiled) - sum(len(known.runs) for known in kept.values()))

    def keep(one: _Compiled, known: KeptRuns) -> None:
        kept[one.name] = known
        write_runs(known, one.directory)
        progress.done()

    def tell(one: _Compiled) -> None:
        plan = _front_plan(one, kept[one.name])
        values = plan.objectives
        progress.plan(FoundPlan(one.name, values[LATENCY.column], values[MEMORY.column], plan.kind))

    for one in compiled:
        if one.name in kept:
            tell(one)
    new = [one for one in compiled if one.name not in kept]
    checks = boards.map(lambda board, one: check_bundle(board, one.bundle, one.trials, one.tolerance), new)
    for one, (check, run) in zip(new, checks, strict=True):
        require(check)
        error = check.accuracy.largest_error if check.accuracy else check.largest_error
        empty = KeptRuns(key=one.key, largest_error=error, same_top5=check.same_top5, runs=())
        keep(one, empty.with_run(run))
        tell(one)
    for number in range(1, rounds):
        waiting = [one for one in compiled if len(kept[one.name].runs) <= number]
        again = boards.map(lambda board, one: board.run_bundle(one.bundle, one.trials[0].inputs), waiting)
        for one, run in zip(waiting, again, strict=True):
            keep(one, kept[one.name].with_run(run))
            if len(kept[one.name].runs) == rounds:
                tell(one)
    return [_front_plan(one, kept[one.name]) for one in compiled]


def _front_plan(one: _Compiled, kept: KeptRuns) -> FrontPlan:
    composition, searched = one.proposal.composition, one.proposal.searched
    predictable = objectives_of(searched)
    metered_j = kept.metered_j
    used = replace(
        composition.usage,
        latency_s=kept.latency_s,
        cpu_s=kept.cpu_time_s,
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
        kind=kept.runs[0].kind,
        largest_error=kept.largest_error,
        same_top5=kept.same_top5,
        latencies_s=tuple(run.latency_s for run in kept.runs),
        cpu_times_s=tuple(run.cpu_time_s for run in kept.runs),
    )


def _by_column(objectives: Sequence[Objective], values: Sequence[float]) -> dict[str, float]:
    return {objective.column: value for objective, value in zip(objectives, values, strict=True)}


def _energy_kind(objectives: Sequence[Objective], metered_j: float | None) -> EnergyKind:
    if ENERGY not in objectives:
        return ""
    return "modelled" if metered_j is None else "metered"
