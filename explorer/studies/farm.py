"""What a farm costs: searches on boards that answer after a while, and a crowd of boards that share processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import psutil

from codegen.algorithm import algorithms
from codegen.engine_registry import engine_named
from codegen.graph import Graph, LayerSpec
from codegen.revive import revivable, revive_json
from codegen.schedule import Candidate
from cost_models.registry import cost_model_named
from explorer.compose.compose import compose
from explorer.farm.bench import Answer, Bench, Order
from explorer.farm.board import FarmBoard
from explorer.farm.place import Place
from explorer.farm.processes import JOINED, BoardToOpen, Event, FarmProcesses
from explorer.farm.samples import FarmSamples
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer, overheads_of
from explorer.measure.workers import Workers
from explorer.pipeline.boards import close
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.search.search import search
from explorer.search.state import Searched
from explorer.strategies.registry import strategy_named
from explorer.terminal.progress import Silent
from microbench.board import Board
from microbench.boards.null import NullBoard, roofline_s
from microbench.profile import load_profile
from microbench.store import ProgramDigest, Sample, Store, to_row

LOOPBACK = Place("tcp://127.0.0.1:0")
CROWD_S = 10.0  # a crowd is watched so long while it is idle


class PacedBench(Bench):
    """A null board that makes no programs: what a farm takes of a host is then the farm's alone."""

    def __init__(self, board: NullBoard, name: str, answer_s: float) -> None:
        super().__init__(board, name)
        self._null = board
        self._answer_s = answer_s
        self._jobs = JobBuilder(board.target, 0, algorithms())

    def measure(self, order: Order, address: str = "") -> Answer:
        """The nominal roofline of the candidate's work."""
        candidate = revive_json(Candidate, order.candidate_json, revivable())
        time.sleep(self._answer_s)
        choice, work = candidate.choice, self._jobs.work(candidate)
        kind = "gpu" if engine_named(choice.engine).launches else "cpu"
        times_s = (roofline_s(work, self._null.target, kind, choice.threads),)
        revision = self._jobs.revision(candidate)
        sample = Sample(candidate, self.fingerprint, "modelled", "ok", times_s, work, revision=revision)
        return Answer(self.name, address, (to_row(sample),))


@dataclass(frozen=True)
class PacedBoard(BoardToOpen):
    """Opens a PacedBench."""

    answer_s: float = 0.0

    def open(self) -> Bench:
        return PacedBench(NullBoard(load_profile(self.device)), self.name, self.answer_s)


@dataclass(frozen=True)
class FarmRun:
    """A search on a farm. `measuring_s`: seconds in which candidates were out; `whole_s`: of search and composition;
    `plan_s`: what it found takes; `twice`: candidates that the store has two samples of.
    """

    boards: int
    measured: int
    measuring_s: float
    whole_s: float
    plan_s: float
    twice: int
    asked_of: int  # boards that measured something


class KeptDigests:
    """Digests of programs from one search to the next, which then makes none again; no rounds."""

    def __init__(self) -> None:
        self._programs: list[ProgramDigest] = []

    def programs(self, made_by: str) -> Collection[ProgramDigest]:
        """Those of that maker."""
        return [one for one in self._programs if one.made_by == made_by]

    def add_programs(self, programs: Sequence[ProgramDigest]) -> None:
        """Takes more."""
        self._programs += programs

    def round(self, key: str) -> None:
        """None is kept: each search works out what to measure."""

    def add_round(self, key: str, content: str) -> None:
        """Keeps nothing."""


@contextmanager
def farm_of(boards: Sequence[BoardToOpen], processes: int) -> Iterator[tuple[FarmProcesses, Place]]:
    """A farm whose boards are dealt out to so many processes."""
    with FarmProcesses() as farm:
        place = Place(farm.start_scheduler(LOOPBACK).name)
        for first in range(min(processes, len(boards))):
            farm.start_boards(place, boards[first::processes], lambda event: None)
        yield farm, place


def paced(count: int, device: str, answer_s: float, prefix: str = "null") -> list[BoardToOpen]:
    """Null boards by number."""
    return [PacedBoard(f"{prefix}-{number}", device, answer_s=answer_s) for number in range(count)]


def searched_on(
    graph: Graph,
    place: Place,
    device: str,
    digests: KeptDigests,
    settings: SearchSettings,
    midway: Callable[[], None] = lambda: None,
) -> FarmRun:
    """A search by the default strategy from an empty store; candidates are handed out by the round, so that measuring
    and thinking are told apart. `midway` is called when a third of a search's usual candidates is stored.
    """
    profile = load_profile(device)
    with TemporaryDirectory() as scratch, Store.open(Path(scratch) / "samples.sqlite") as store:
        board = FarmBoard(place, profile)
        jobs = JobBuilder(profile.target(), settings.seed, algorithms())
        overheads = overheads_of(board)
        farm = FarmSamples(board.pool, board, jobs, store, 1, lambda line: None)
        owned: list[Board] = [board]
        begun_s = time.monotonic()
        with Workers(owned, close) as boards, _once_stored(store, midway):
            width = board.pool.width
            measurer = Measurer(boards, jobs, store, board.fingerprint(), Silent(), overheads.launch_s, farm)
            searched = Searched(graph, jobs, profile, overheads, keeper=digests, at_once=width)
            model = cost_model_named("residual", profile)
            strategy = strategy_named("expected_gain", settings)
            found = search(searched, model, measurer, strategy, settings, Silent())
            plan = compose(graph, found.timed_candidates, overheads)
            whole_s = time.monotonic() - begun_s
            samples = tuple(store.samples())
            return FarmRun(
                width,
                measurer.tally.measured,
                board.pool.busy_s,
                whole_s,
                plan.total_s,
                len(samples) - len({sample.candidate_hash for sample in samples}),
                len(board.pool.answered),
            )


@contextmanager
def _once_stored(store: Store, midway: Callable[[], None], least: int = 200) -> Iterator[None]:
    ended = False

    def watch() -> None:
        while not ended and store.count() < least:
            time.sleep(0.05)
        if not ended:
            midway()

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended = True
        thread.join()


@dataclass(frozen=True)
class Crowd:
    """Many boards in few processes. Bytes are of resident memory, the scheduler's by what it grew; shares are of one
    core.
    """

    boards: int
    processes: int
    start_s: float
    board_bytes: float
    scheduler_bytes: float  # a board
    idle_share: float  # a board, workers and scheduler together
    orders: int
    orders_s: float
    order_cpu_s: float  # workers, scheduler and client together, an order
    twice: int


def crowded(graph: Graph, device: str, count: int, processes: int, answer_s: float) -> Crowd:
    """Two orders for every board of a crowd, after it was idle a while."""
    begun_s = time.monotonic()
    with FarmProcesses() as farm:
        place = Place(farm.start_scheduler(LOOPBACK).name)
        scheduler = psutil.Process(farm.pids[0])
        alone = scheduler.memory_info().rss
        joined: list[Event] = []
        boards = paced(count, device, answer_s)
        empty: list[int] = []
        for first in range(processes):
            farm.start_boards(place, boards[first : first + 1], joined.append)
            empty.append(psutil.Process(farm.pids[-1]).memory_info().rss)
        single = sum(empty)
        rest = boards[processes:]
        hosts = [psutil.Process(pid) for pid in farm.pids[1:]]
        for first in range(processes):
            farm.start_boards(place, rest[first::processes], joined.append)
        hosts += [psutil.Process(pid) for pid in farm.pids[1 + processes :]]
        start_s = time.monotonic() - begun_s
        assert sum(event.what == JOINED for event in joined) == count
        memory = sum(one.memory_info().rss for one in hosts[processes:])
        grown = scheduler.memory_info().rss - alone
        everybody = [scheduler, *hosts]
        before_s = _cpu_s(everybody)
        time.sleep(CROWD_S)
        idle = (_cpu_s(everybody) - before_s) / CROWD_S / count
        with TemporaryDirectory() as scratch, Store.open(Path(scratch) / "samples.sqlite") as store:
            profile = load_profile(device)
            jobs = JobBuilder(profile.target(), 0, algorithms())
            with FarmBoard(place, profile) as board:
                farm_samples = FarmSamples(board.pool, board, jobs, store, 1, lambda line: None)
                some = _candidates(graph, jobs, 2 * count)
                client = psutil.Process()
                before_s, ordered_s = _cpu_s([*everybody, client]), time.monotonic()
                taken = sum(1 for _ in farm_samples.taken(some))
                orders_s = time.monotonic() - ordered_s
                cpu_s = _cpu_s([*everybody, client]) - before_s
            hashes = [sample.candidate_hash for sample in store.samples()]
        return Crowd(
            count,
            processes,
            start_s,
            max(0.0, memory - single) / len(rest),
            grown / count,
            idle,
            taken,
            orders_s,
            cpu_s / taken,
            len(hashes) - len(set(hashes)),
        )


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system for one in times))


def _candidates(graph: Graph, jobs: JobBuilder, count: int) -> list[Candidate]:
    """So many of the network's layers, layer by layer."""
    found: list[Candidate] = []
    for spec in dict.fromkeys(LayerSpec.of(graph, node) for node in graph.nodes):
        layer = LayerSearch(spec, jobs.algorithms.values(), jobs.target, SearchSettings())
        found += layer.candidates[: count - len(found)]
    return found


def steady(graph: Graph, device: str, count: int, answer_s: float, digests: KeptDigests) -> FarmRun:
    """A search on so many null boards, in two processes."""
    with farm_of(paced(count, device, answer_s), 2) as (_, place):
        return searched_on(graph, place, device, digests, SearchSettings())


def simulated(graph: Graph, device: str, count: int, digests: KeptDigests) -> FarmRun:
    """A search on so many virtual boards, each in a process of its own: their host makes programs and simulates."""
    boards = [BoardToOpen(f"virtual-{number}", device, "virtual") for number in range(count)]
    with farm_of(boards, count) as (_, place):
        return searched_on(graph, place, device, digests, SearchSettings())


def changing(graph: Graph, device: str, count: int, answer_s: float, digests: KeptDigests) -> FarmRun:
    """The same, but that the process of a quarter of the boards is killed midway, and as many others join."""
    quarter = count // 4
    with FarmProcesses() as farm:
        place = Place(farm.start_scheduler(LOOPBACK).name)
        farm.start_boards(place, paced(count - quarter, device, answer_s), lambda event: None)
        farm.start_boards(place, paced(quarter, device, answer_s, "lost"), lambda event: None)

        def change() -> None:
            psutil.Process(farm.pids[-1]).kill()
            farm.start_boards(place, paced(quarter, device, answer_s, "new"), lambda event: None)

        return searched_on(graph, place, device, digests, SearchSettings(), change)
