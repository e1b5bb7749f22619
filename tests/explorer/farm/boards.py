"""Boards that answer at once and may be slow, moody or broken, for farms on loopback in one process."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from codegen.algorithm import algorithms
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Candidate
from codegen.tensor import TensorType
from explorer.farm.bench import Bench
from explorer.farm.place import Place
from explorer.farm.serving import configure, opened_scheduler, serve
from explorer.search.layer_search import LayerSearch, SearchSettings
from microbench.board import Fingerprint, Job, Measurement
from microbench.boards.null import NullBoard
from microbench.conditions import Conditions
from microbench.errors import BoardError
from microbench.profile import load_profile

PROFILE = load_profile("pi-zero")
Fault = Callable[[Job], str]


class MoodyBoard(NullBoard):
    """A null board with a serial number, whose times are `slowness` times the nominal ones; `fault` says of a job why
    the board fails, `clock_hz` what its CPU's clock is.
    """

    def __init__(
        self,
        serial: str = "",
        *,
        slowness: float = 1.0,
        reads_clock: bool = False,
        fault: Fault = lambda job: "",
        clock_hz: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(PROFILE)
        self.reads_clock = reads_clock
        self.asked: list[str] = []  # hashes of candidates
        self.is_closed = False
        self._serial = serial
        self._slowness = slowness
        self._fault = fault
        self._clock_hz = clock_hz

    def fingerprint(self) -> Fingerprint:
        return replace(super().fingerprint(), serial_hash=self._serial)

    def measure(self, job: Job) -> Measurement:
        self.asked.append(job.candidate.hash)
        if reason := self._fault(job):
            raise BoardError(reason)
        found = super().measure(job)
        readings = () if self._clock_hz is None else (Conditions(self._clock_hz()),)
        times_s = tuple(self._slowness * time_s for time_s in found.times_s)
        return replace(found, times_s=times_s, conditions=readings)

    def close(self) -> None:
        self.is_closed = True


@cache
def candidates(count: int) -> tuple[Candidate, ...]:
    """So many ways to compute a small convolution."""
    tensor = TensorType((1, 16, 8, 8))
    spec = LayerSpec(Conv2d((1, 1)), (tensor,), (tensor,), (TensorType((16, 16, 1, 1)), TensorType((16,))))
    layer = LayerSearch(spec, algorithms().values(), PROFILE.target(), SearchSettings())
    found = layer.candidates[:count]
    assert len(found) == count
    return found


class LocalFarm:
    """A farm in threads of this process, over TCP on loopback."""

    def __init__(self, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._scratch = tempfile.TemporaryDirectory()
        self._served: list[Future[None]] = []
        self._left: dict[str, threading.Event] = {}
        self._scheduler = self._run(opened_scheduler(place, 0))
        self.place = replace(place, address=self._scheduler.address)

    def join(self, **boards: NullBoard) -> None:
        """Returns when all are there."""
        joined = {name: threading.Event() for name in boards}
        self._left |= {name: threading.Event() for name in boards}
        benches = [Bench(board, name) for name, board in boards.items()]
        service = serve(
            self.place,
            benches,
            self._scratch.name,
            joined=lambda name: joined[name].set(),
            left=lambda name: self._left[name].set(),
        )
        self._served.append(asyncio.run_coroutine_threadsafe(service, self._loop))
        assert all(event.wait(10) for event in joined.values())

    def lose(self, name: str) -> None:
        """The connection to a board's worker breaks, whatever it does."""
        (address,) = (
            address
            for address, worker in self._scheduler.workers.items()
            if str(worker.name).startswith(f"{name}-")
        )
        self._run(self._scheduler.remove_worker(address, stimulus_id="lost", expected=False))

    def has_left(self, name: str) -> bool:
        """Waits a moment for it."""
        return self._left[name].wait(10)

    def end(self) -> None:
        """All boards leave."""
        self._run(self._scheduler.close())
        for service in self._served:
            service.result(10)
        self._scratch.cleanup()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextmanager
def local_farm(**boards: NullBoard) -> Iterator[LocalFarm]:
    """A farm with boards by their names."""
    configure()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    farm = LocalFarm(Place("tcp://127.0.0.1:0"), loop)
    try:
        farm.join(**boards)
        yield farm
    finally:
        farm.end()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
