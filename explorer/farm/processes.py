"""A farm's processes: one for the scheduler, and some for boards, each of which may host several."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty
from types import TracebackType
from typing import TYPE_CHECKING, Self

from codegen.errors import ExploreError
from explorer.errors import FarmError
from explorer.farm.bench import Bench
from explorer.farm.place import Place
from microbench.registry import open_board

if TYPE_CHECKING:
    from multiprocessing.queues import Queue


START_S = 120.0  # for a process to import what it needs and open its boards
POLL_S = 0.2
FEW = 5  # names in a message
PATIENCE_S = 5.0  # for a process to end by itself

JOINED, LEFT, REFUSED, LISTENING = "joined", "left", "was refused", "listening"


@dataclass(frozen=True)
class BoardToOpen:
    """A board by its name in the farm, and what `microbench.registry.open_board` takes; `open` does it, in a process of
    the board's, and raises ExploreError.
    """

    name: str
    device: str
    board: str | None = None
    devices: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def open(self) -> Bench:
        board = open_board(self.device, board=self.board, devices=self.devices, options=self.options)
        return Bench(board, self.name)


@dataclass(frozen=True)
class Event:
    """What became of a board, or of the scheduler (`name` is its address, `detail` the link of its pages)."""

    name: str
    what: str
    detail: str = ""


Hear = Callable[[Event], None]


class FarmProcesses:
    """Processes of a farm; leaving ends them and frees the boards."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._events: Queue[Event] = self._context.Queue()
        self._processes: list[BaseProcess] = []

    def start_scheduler(self, place: Place, dashboard_port: int = 0) -> Event:
        """Returns where it listens (a port of 0 becomes one that is free); raises FarmError."""
        process = self._start(_run_scheduler, place, dashboard_port, self._events)
        event = self._next(START_S, process)
        if event is None or event.what != LISTENING:
            raise FarmError(
                event.detail if event else f"the farm's scheduler does not start within {START_S:.0f} s"
            )
        return event

    def start_boards(self, place: Place, boards: Sequence[BoardToOpen], hear: Hear) -> int:
        """Opens boards in a process of their own and lets them join; returns how many joined."""
        process = self._start(_run_boards, place, tuple(boards), self._events)
        waiting, joined = {board.name for board in boards}, 0
        while waiting:
            event = self._next(START_S + len(boards), process)
            if event is None:
                few = ", ".join(sorted(waiting)[:FEW])
                raise FarmError(
                    f"{len(waiting)} boards ({few}{', ...' * (len(waiting) > FEW)}) do not join the farm: their "
                    "process ended or takes too long; see what it said above, or let fewer share a process"
                )
            hear(event)
            waiting.discard(event.name)
            joined += event.what == JOINED
        return joined

    def watch(self, hear: Hear) -> None:
        """Tells of boards until all processes have ended."""
        while any(process.is_alive() for process in self._processes):
            if event := self._next(POLL_S):
                hear(event)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes in the order they were started."""
        return tuple(process.pid or 0 for process in self._processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.join(PATIENCE_S)
            if process.is_alive():
                process.kill()
                process.join()
        self._events.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> BaseProcess:
        process = self._context.Process(target=target, args=arguments, daemon=True)
        process.start()
        self._processes.append(process)
        return process

    def _next(self, seconds: float, awaited: BaseProcess | None = None) -> Event | None:
        """The next event; None where there is none so long, or the process that it is awaited of has ended."""
        waited_s = 0.0
        while waited_s < seconds:
            has_ended = awaited is not None and not awaited.is_alive()
            try:
                return self._events.get(timeout=POLL_S)
            except Empty:
                waited_s += POLL_S
                if has_ended:  # before the look at the events: what it said last is among them
                    return None
        return None


def _run_scheduler(place: Place, dashboard_port: int, events: Queue[Event]) -> None:
    from explorer.farm.serving import configure, opened_scheduler

    _end_quietly()
    configure()

    async def live() -> None:
        try:
            scheduler = await opened_scheduler(place, dashboard_port)
        except FarmError as error:
            events.put(Event(place.address, REFUSED, str(error)))
            return
        pages = f"http://127.0.0.1:{scheduler.http_server.port}/status" if _has_pages() else ""
        events.put(Event(scheduler.address, LISTENING, pages))
        await scheduler.finished()

    asyncio.run(live())


def _run_boards(place: Place, boards: Sequence[BoardToOpen], events: Queue[Event]) -> None:
    from explorer.farm.serving import configure, serve
    from explorer.one_thread import import_numpy_for_one_thread

    _end_quietly()
    import_numpy_for_one_thread()
    configure()
    benches: list[Bench] = []
    for one in boards:
        try:
            benches.append(one.open())
        except ExploreError as error:
            events.put(Event(one.name, REFUSED, str(error)))
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(
            serve(
                place,
                benches,
                scratch,
                joined=lambda name: events.put(Event(name, JOINED)),
                left=lambda name: events.put(Event(name, LEFT)),
            )
        )


def _end_quietly() -> None:
    """An interrupt of the terminal is the parent's to answer; it ends its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _has_pages() -> bool:
    from importlib.util import find_spec

    return find_spec("bokeh") is not None
