"""What a farm's workers and its scheduler are asked to do; functions that frames name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from codegen.tensor import AnyArray
from explorer.farm.bench import Answer, Bench, Introduction, Order
from microbench.board import BundleRun

if TYPE_CHECKING:
    from distributed import Scheduler, Worker


class BenchPlugin(WorkerPlugin):  # type: ignore[misc]
    """Gives a worker its board."""

    name = "bench"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def setup(self, worker: Worker) -> None:
        """Nothing: the board is open already."""


def introduce() -> Introduction:
    """What boards of the worker's class are."""
    return _bench().introduce()


def measure(order: Order) -> Answer:
    """Measures a candidate on the worker's board."""
    return _bench().measure(order, get_worker().address)


def run_bundle(files: Mapping[str, bytes], inputs: tuple[AnyArray, ...]) -> BundleRun:
    """Runs a bundle on the worker's board."""
    return _bench().run_bundle(files, inputs)


def boards_of(prefix: str, dask_scheduler: Scheduler | None = None) -> dict[str, tuple[str, str]]:
    """On the scheduler: workers by address, each with its name and its resource, of those that begin so."""
    assert dask_scheduler is not None
    return {
        address: (str(worker.name), resource)
        for address, worker in dask_scheduler.workers.items()
        if worker.status.name == "running"
        for resource in worker.resources
        if resource.startswith(prefix)
    }


async def remove_board(address: str, dask_scheduler: Scheduler | None = None) -> None:
    """On the scheduler: lets a board's worker go, whatever it does; what it was to do others do."""
    assert dask_scheduler is not None
    await dask_scheduler.remove_worker(address, stimulus_id="set-aside", expected=True)


def _bench() -> Bench:
    plugin: BenchPlugin = get_worker().plugins[BenchPlugin.name]
    return plugin.bench
