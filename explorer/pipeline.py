"""One run from end to end: search, composition, plan, bundle, check, report."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codegen.algorithm import algorithms
from codegen.bundle import compile_bundle
from codegen.plan import Plan, write_plan
from codegen.schedule import Processor
from cost_models.registry import cost_model_named
from explorer.bench import Bench, launch_overhead_s
from explorer.check import TOLERANCES, check_bundle, reference_outputs, trial_inputs
from explorer.compose import Composition, compose
from explorer.jobs import JobBuilder
from explorer.model import Network, open_network
from explorer.options import Options
from explorer.planning import build_plan
from explorer.progress import Progress
from explorer.report import CheckReport, RunReport
from explorer.reporting import build_report
from explorer.search import SearchResult, search
from explorer.settings import RunSettings
from explorer.workers import Workers
from microbench.board import Board, BundleRun, Fingerprint
from microbench.registry import open_board
from microbench.store import Store

REPEATS = 5  # where a clock is read; elsewhere a time is the same every time
MOST_SIMULATORS = 2
WITHOUT_OUTPUTS = frozenset({"null", "replay"})

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """Where a run left its results, and what they are."""

    report: RunReport
    plan: Plan
    directory: Path


def run(settings: RunSettings, progress: Progress, announce: Announce) -> Run:
    """Everything `explore run` does, except showing it. Raises ExploreError and its kin.

    The check's verdict is in the report: a failed one does not lose plan, figures and summary.
    """
    first = _open(settings)
    with Workers(_boards(first, settings), Board.close) as boards:
        fingerprint = boards.call(lambda board: board.fingerprint())
        announce(what_it_is(first, fingerprint))
        _prepare(settings.directory)
        progress.phase("Import")
        network = open_network(settings)
        with Store.open(settings.store) as store:
            found, bench = _search(settings, network, boards, first, fingerprint, store, progress)
        composed, cpu_only = _compose(network, found.options, first)
        plan = _plan(settings, network, found, composed, cpu_only, first, fingerprint)
        write_plan(plan, settings.directory / "plan.json")
        progress.phase("Compile")
        bundle = settings.directory / "bundle"
        compile_bundle(network.graph, plan, first.target, bundle)
        checked = None
        if first.name not in WITHOUT_OUTPUTS:
            progress.phase("Check")
            checked = _check(settings, network, plan, bundle, boards)
    report = build_report(
        settings.device, first, fingerprint, network, found, composed, cpu_only, checked, bench.tally
    )
    return Run(report, plan, settings.directory)


def _prepare(directory: Path) -> None:
    """Makes the directory of results; raises OSError at once where a long search would end in vain."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(directory)) from error


def what_it_is(board: Board, fingerprint: Fingerprint) -> str:
    """The first line of a run: whose clock its numbers come from."""
    title = board.profile.title
    if board.name in WITHOUT_OUTPUTS:
        return f"{title}: the {board.name} board, no silicon; its times are not measured now, nothing is computed"
    if board.reads_clock:
        return f"{title}: {fingerprint.board} ({fingerprint.software})"
    where = "the in-process virtual board" if board.name == "virtual" else f"a virtual board ({board.name})"
    return (
        f"{title}: {where}, no silicon.\n"
        f"QPU times are simulated, CPU times modelled from a table ({fingerprint.software})."
    )


def _open(settings: RunSettings) -> Board:
    return open_board(
        settings.device, board=settings.board, ssh=settings.ssh, v3d_hz=settings.v3d_hz, store=settings.store
    )


def _boards(first: Board, settings: RunSettings) -> list[Board]:
    """One per core, up to two, where no clock is read; a clock is never shared."""
    count = 1 if first.reads_clock else min(MOST_SIMULATORS, os.cpu_count() or 1)
    return [first, *(_open(settings) for _ in range(count - 1))]


def _search(
    settings: RunSettings,
    network: Network,
    boards: Workers[Board],
    first: Board,
    fingerprint: Fingerprint,
    store: Store,
    progress: Progress,
) -> tuple[SearchResult, Bench]:
    repeats = REPEATS if first.reads_clock else 1
    jobs = JobBuilder(first.target, settings.search.seed, algorithms(), repeats)
    overhead_s, recording = launch_overhead_s(first), first.name != "replay"
    bench = Bench(boards, jobs, store, fingerprint, progress, overhead_s, recording)
    model = cost_model_named(settings.cost_model, first.profile)
    return search(network.graph, jobs, model, bench, settings.search, progress), bench


def _compose(network: Network, options: Options, board: Board) -> tuple[Composition, Composition]:
    """The best plan, and the best one without the QPUs."""
    overhead_s = launch_overhead_s(board)
    cpu: tuple[Processor, ...] = ("cpu",)
    return compose(network.graph, options, overhead_s), compose(network.graph, options, overhead_s, cpu)


def _plan(
    settings: RunSettings,
    network: Network,
    found: SearchResult,
    composed: Composition,
    cpu_only: Composition,
    board: Board,
    fingerprint: Fingerprint,
) -> Plan:
    samples = {sample.id: sample for sample in found.samples}
    return build_plan(
        network, composed, samples, board.profile, fingerprint, settings.search.seed, cpu_only.total_s
    )


def _check(
    settings: RunSettings, network: Network, plan: Plan, bundle: Path, boards: Workers[Board]
) -> tuple[CheckReport, BundleRun]:
    inputs = trial_inputs(network.graph, settings.search.seed)
    references = reference_outputs(network.path, network.graph, inputs)
    tolerance = TOLERANCES["qpu" if plan.has_qpu_steps else "cpu"]
    return boards.call(lambda board: check_bundle(board, bundle, inputs, references, tolerance))
