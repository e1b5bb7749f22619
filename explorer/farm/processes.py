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
from explorer.farm.place import Place
from microbench.registry import open_board

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from explorer.farm.bench import Bench

START_S = 120.0  # for a process to import what it needs and open its boards
POLL_S = 0.2
PATIENCE_S = 5.0  # for a process to end by itself

JOINED, LEFT, REFUSED, LISTENING = "joined", "left", "was refused", "listening"


@dataclass(frozen=True)
class BoardToOpen:
    """A board by its name in the farm, and what `microbench.registry.open_board` takes."""

    name: str
    device: str
    board: str | None = None
    devices: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)


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
        self._start(_run_scheduler, place, dashboard_port, self._events)
        event = self._next(START_S)
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
            event = self._next(START_S)
            if event is None or not process.is_alive():
                raise FarmError(f"the process of {', '.join(sorted(waiting))} ended; see what it said above")
            hear(event)
            waiting.discard(event.name)
            joined += event.what == JOINED
        return joined

    def watch(self, hear: Hear) -> None:
        """Tells of boards until all processes have ended."""
        while any(process.is_alive() for process in self._processes):
            if event := self._next(POLL_S, others=False):
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

    def _next(self, seconds: float, others: bool = True) -> Event | None:
        """The next event; None where there is none so long, or a process ended meanwhile."""
        waited = 0.0
        while waited < seconds:
            try:
                return self._events.get(timeout=POLL_S)
            except Empty:
                waited += POLL_S
                if others and not all(process.is_alive() for process in self._processes):
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
    from explorer.farm.bench import Bench
    from explorer.farm.serving import configure, serve
    from explorer.one_thread import import_numpy_for_one_thread

    _end_quietly()
    import_numpy_for_one_thread()
    configure()
    benches: list[Bench] = []
    for one in boards:
        try:
            opened = open_board(one.device, board=one.board, devices=one.devices, options=one.options)
            benches.append(Bench(opened, one.name))
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
