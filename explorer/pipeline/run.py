"""One run from end to end: search, composition, plan, bundle, check, report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from codegen.algorithm import algorithms
from codegen.bundle import Model, compose, write_bundle
from codegen.errors import GpuMemoryError
from codegen.plan import Plan, write_plan
from cost_models.registry import cost_model_named
from explorer.compose.compose import UNLIMITED, Composition, Limits
from explorer.errors import CompositionError, TooLittleMemoryError, UsageError
from explorer.front.front import Front, explore_front
from explorer.front.search import fewer_qpus
from explorer.measure.clocked import require_rest, rested
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer, Tally, overheads_of
from explorer.measure.workers import Workers
from explorer.objectives.power import power_of
from explorer.objectives.registry import weights_of
from explorer.pipeline.again import contents_of, store_of
from explorer.pipeline.boards import alike, close, farm_samples, open_board_of, width_of
from explorer.pipeline.cpu_plan import CPU_PLAN_FILE, cpu_plan_report, cpu_plan_within
from explorer.pipeline.gpu_memory import fastest_way, other_ways
from explorer.pipeline.prior import Prior, prior_of
from explorer.pipeline.reporting import build_report
from explorer.pipeline.robust import require_variants, robust
from explorer.plans.check import (
    Trial,
    check_side_by_side,
    failure_of,
    runs_side_by_side,
    staged,
    tolerance_of,
    trials_as_stored,
    trials_of,
)
from explorer.plans.least_memory import least_bytes
from explorer.plans.network import Network, kept, open_network
from explorer.plans.searched_network import SearchedNetwork
from explorer.rehearse.rehearsal import Perform, Rehearsals
from explorer.runs.claim import claim, given_back_if_refused
from explorer.runs.files import (
    COMMAND_FILE,
    MEASURED,
    PRIOR,
    record_contents,
    record_ids,
    recorded_ids,
)
from explorer.runs.identity import identity_of
from explorer.runs.report import RunReport
from explorer.search.search import search
from explorer.search.state import Searched
from explorer.settings import RunSettings
from explorer.strategies.registry import strategy_named
from explorer.terminal.progress import FoundPlan, Progress
from explorer.twin.default import told, with_default_twin
from explorer.twin.plans import fastest_plan
from explorer.twin.put_right import Asking, put_right
from microbench.board import Board, BundleRun, Fingerprint
from microbench.conditions import Conditions
from microbench.devices import find_device
from microbench.store import Store
from microbench.twin import require_spared, require_twin, twin_device
from microbench.virtual.bundle import virtual_platform

REPEATS = 5  # where a clock is read; elsewhere a time is the same every time

Announce = Callable[[str], None]


def limits_of(settings: RunSettings, board: Board) -> Limits:
    """What the plan may use and what it minimises; raises UsageError for what the board's plans cannot be asked for."""
    if not settings.prices:
        return UNLIMITED
    return Limits(weights=weights_of(settings.prices, power_of(board.profile, board.target)))


@dataclass(frozen=True)
class Run:
    """Where a run left its results, and what they are."""

    report: RunReport
    plan: Plan
    directory: Path
    front: Front | None = None


def run(settings: RunSettings, progress: Progress, announce: Announce) -> Run:
    """The search, the plan and its bundle, checked; `explorer.pipeline.results` writes the rest. Raises ExploreError.

    The check's verdict is in the report: a failed one does not lose plan, figures and summary.
    """
    settings = with_default_twin(settings)
    first = open_board_of(settings)
    with Workers(alike(first, settings), close) as boards:
        if settings.robust:
            require_variants(first)
        if settings.twin:
            boards.call(require_twin)
        if settings.probes:
            boards.call(require_spared)
        limits = limits_of(settings, first)
        if settings.objective == "front" and not first.computes:
            raise UsageError(f"a front is made of plans that were run; the {first.name} board runs nothing")
        fingerprint = boards.call(lambda board: board.fingerprint())
        announce(f"{first.profile.title}: {boards.call(lambda board: board.describe())}")
        if line := told(settings):
            announce(line)
        progress.phase("Import")
        with tempfile.TemporaryDirectory() as scratch:
            network = open_network(settings, Path(scratch))
            settings = claim(settings, identity_of(settings, network.sha256))
            network = kept(network, settings)
        progress.directory(settings.directory)
        with given_back_if_refused(settings.directory):
            found, tally = investigate(settings, network, boards, first, fingerprint, progress, announce)
        composed = _best(found, limits, settings.max_memory_bytes)
        progress.phase("Compile")
        place, seed = settings.directory, settings.search.seed
        expected = boards.begin(lambda _: trials_of(network, seed)) if first.computes else None
        composed, plan, model = _compiled(found, composed, limits, settings.max_memory_bytes)
        if settings.max_memory_bytes is not None:
            announce(f"The plan takes at most {found.all_memory_bytes(composed):,} bytes of memory in all.")
        write_plan(plan, place / "plan.json")
        progress.plan(_told("composed", plan, plan.predicted_s))
        cpu_model = None
        if settings.with_cpu_plan and model.image is None:
            announce("The plan uses no QPUs: it needs none for the CPU beside it.")
        elif settings.with_cpu_plan:
            cpu_plan = cpu_plan_within(found, settings.max_memory_bytes)
            write_plan(cpu_plan, place / CPU_PLAN_FILE)
            cpu_model = compose(network.graph, cpu_plan, found.target)
        write = partial(_write, first, cpu_model=cpu_model)
        write(model, place / "bundle")
        checked = None
        trials: tuple[Trial, ...] = ()
        memories_s: Mapping[str, float] = {}
        beside = None
        if expected is not None:
            progress.phase("Check")
            trials = expected()
            own = trials_as_stored(network.graph, plan, trials)
            first_runs = partial(runs_side_by_side, boards, trial=own[0])
            complete = partial(check_side_by_side, boards, trials=own, tolerance=tolerance_of(plan))
            others = other_ways(plan, first.profile) if settings.gpu_memory is None else ()
            tried = fastest_way(model, others, write, place, first_runs, complete)
            plan, checked, memories_s = tried.plan, tried.checked, tried.times_s
            require_rest(checked[1], tally.clocks)
            progress.plan(_told("run as a whole", plan, checked[0].time_s))
            if cpu_model is not None:
                beside = cpu_plan_report(cpu_model, place / "bundle", boards, first, trials)
    front = _front(settings, found, trials, progress) if settings.objective == "front" else None
    report = build_report(settings.device, first, fingerprint, found, composed, checked, tally, memories_s)
    report = replace(report, cpu_plan=beside)
    return Run(report, plan, settings.directory, front)


def _told(name: str, plan: Plan, time_s: float) -> FoundPlan:
    kinds = sorted({step.kind for step in plan.steps if step.predicted_s > 0})
    return FoundPlan(name, time_s, plan.peak_activation_bytes, " + ".join(kinds))


def _write(board: Board, model: Model, directory: Path, cpu_model: Model | None) -> None:
    write_bundle(model, board.target, directory, virtual_platform(board.profile, model.plan), cpu_model)


def _best(found: SearchedNetwork, limits: Limits, cap_bytes: int | None) -> Composition:
    """The plan that a run is for; raises CompositionError that names the least memory where none keeps the cap."""
    fastest = found.fastest if limits == UNLIMITED else found.compose(limits)
    if cap_bytes is None or found.all_memory_bytes(fastest) <= cap_bytes:
        return fastest
    try:
        return found.compose_within_all(cap_bytes, limits)
    except TooLittleMemoryError as error:
        least = least_bytes(found, cap_bytes, error.least_bytes, limits)
        raise CompositionError(
            f"no plan was found that takes at most {cap_bytes:,} bytes of memory (--max-memory), weights included; the "
            f"least that one was found for is {least:,} bytes"
        ) from error


def _compiled(
    found: SearchedNetwork, composed: Composition, limits: Limits, cap_bytes: int | None
) -> tuple[Composition, Plan, Model]:
    """The plan and its model; where gaps between buffers exceed GPU memory, those of the best plan with so much less.

    Raises GpuMemoryError where no such plan is found.
    """
    target, graph = found.target, found.network.graph
    room = target.gpu_memory_bytes
    while True:
        plan = found.plan(composed)
        try:
            return composed, plan, compose(graph, plan, target)
        except GpuMemoryError as error:
            room -= error.excess_bytes
            smaller = replace(found, target=replace(target, gpu_memory_bytes=room), best=None)
            if room <= 0:
                raise
            try:
                composed = _best(smaller, limits, cap_bytes)
            except CompositionError:
                raise error from None


def _front(
    settings: RunSettings, found: SearchedNetwork, trials: Sequence[Trial], progress: Progress
) -> Front:
    """The front, once the fastest plan is safe. Boards are opened in turn: a real one serves one host at a time."""
    fewer = (replace(settings, qpus=count) for count in fewer_qpus(found.target))
    variants = [found, *(searched(variant, found.network, progress) for variant in fewer)]
    first = open_board_of(settings)
    with Workers(alike(first, settings), close) as boards, store_of(settings, first) as store:
        keeper = store if first.records else None
        return explore_front(settings, variants, boards, first, trials[:1], progress, keeper)


def searched(settings: RunSettings, network: Network, progress: Progress) -> SearchedNetwork:
    """What a search finds out; errors as for `run`."""
    first = open_board_of(settings)
    with Workers(alike(first, settings), close) as boards:
        fingerprint = boards.call(lambda board: board.fingerprint())
        return investigate(settings, network, boards, first, fingerprint, progress)[0]


def investigate(
    settings: RunSettings,
    network: Network,
    boards: Workers[Board],
    first: Board,
    fingerprint: Fingerprint,
    progress: Progress,
    announce: Announce = lambda _: None,
) -> tuple[SearchedNetwork, Tally]:
    """Searches the network on a board."""
    repeats = REPEATS if first.reads_clock else 1
    jobs = JobBuilder(first.target, settings.search.seed, algorithms(), repeats)
    overheads = overheads_of(first)
    with store_of(settings, first) as store:
        farm = farm_samples(first, jobs, store, repeats, announce)
        measurer = Measurer(boards, jobs, store, fingerprint, progress, overheads.launch_s, farm)
        model = cost_model_named(settings.cost_model, first.profile)
        compositions: tuple[Composition, ...] = ()
        prior = Prior()
        asking = Asking(probes=settings.probes)
        if settings.twin or settings.probes:
            virtual = searched(_on_virtual(settings), network, progress)
            progress.phase("Measure on the board")
            known = put_right(virtual, overheads, measurer.samples, asking)
            result, compositions = known.result, known.compositions
        else:
            prior = _prior(settings, store, first, fingerprint, network)
            strategy = strategy_named(settings.strategy, settings.search)
            keeper = store if first.records else None
            asked = Searched(
                network.graph,
                jobs,
                first.profile,
                overheads,
                keeper=keeper,
                begin=measurer.begin,
                at_once=width_of(first),
                reads_clock=first.reads_clock,
            )
            result = search(asked, model, measurer, strategy, settings.search, progress, prior.observations)
        seed = settings.search.seed
        alone = SearchedNetwork(
            network,
            first.profile,
            first.target,
            fingerprint,
            overheads,
            seed,
            result,
            result.timed_candidates,
        )
        perform = _performer(boards, network, seed, measurer.tally.clocks) if first.computes else None
        decided_otherwise = settings.probes or (settings.robust and not first.reads_clock)
        rehearsal = replace(settings.rehearsal, rounds=0) if decided_otherwise else settings.rehearsal
        rehearsals = Rehearsals(
            alone,
            perform,
            store.add,
            measurer.rehearsals,
            rehearsal,
            progress,
            reads_clock=first.reads_clock,
        )
        found = rehearsals.rehearsed()
        if perform is not None and compositions:
            best = fastest_plan(found, compositions, asking.plans, perform, progress)
            found = replace(found, best=best or found.best)
        if settings.robust:
            found = robust(found, settings, jobs, store, progress)
        if (settings.directory / COMMAND_FILE).is_file():  # a study searches without a directory of results
            measured = tuple(sample.id for sample in (*found.result.samples, *found.rehearsals))
            record_ids(settings.directory, MEASURED, measured)
            record_contents(settings.directory, contents_of(store, prior.sample_ids, measured))
        return found, measurer.tally


def _on_virtual(settings: RunSettings) -> RunSettings:
    """The same search on the twin, or on the board of the device's profile, which are in this process."""
    named = find_device(settings.device, settings.devices)
    device = twin_device(settings.device, settings.twin) if settings.twin else named.profile
    spared = replace(settings, device=device, board="virtual", board_options={}, ssh=None, devices=None)
    return replace(spared, twin=None, probes=None)


def _prior(
    settings: RunSettings, store: Store, board: Board, fingerprint: Fingerprint, network: Network
) -> Prior:
    """What the cost model learns from beside this run's samples; when the run goes on, the same as when it began."""
    if settings.prior == "none":
        return Prior()
    prior = prior_of(store, board, fingerprint, network.graph, recorded_ids(settings.directory, PRIOR))
    if (settings.directory / COMMAND_FILE).is_file():  # a study searches without a directory of results
        record_ids(settings.directory, PRIOR, prior.sample_ids)
    return prior


def _performer(boards: Workers[Board], network: Network, seed: int, clocks: Conditions | None) -> Perform:
    """Runs bundles at the clocks that their layers were timed at; raises as `require_rest` and boards do."""
    trial = cache(lambda: trials_of(network, seed, 1)[0])

    def perform(bundle: Path, plan: Plan) -> tuple[BundleRun, str]:
        inputs = trial().inputs
        run = rested(lambda: boards.call(lambda board: board.run_bundle(bundle, inputs)), clocks)
        (own,) = trials_as_stored(network.graph, plan, [trial()])
        again = partial(boards.call, lambda board: staged(board, bundle, [own]))
        return run, failure_of(run, own, plan, again)

    return perform
