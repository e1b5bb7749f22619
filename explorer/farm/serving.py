"""The servers of a farm: a scheduler, and workers of which each has one board."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import dask
from distributed import Scheduler, Worker

from explorer.errors import FarmError
from explorer.farm.bench import Bench
from explorer.farm.place import LOOPBACK, Place, is_loopback, security_of
from explorer.farm.tasks import BenchPlugin

LOST_BOARDS = 3  # that a candidate may be lost with before it counts as its fault
DASK = {
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.allowed-failures": LOST_BOARDS,
    "distributed.worker.profile.enabled": False,  # samples every worker's stack a hundred times a second
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",  # each worker of a process has a watch over its event loop, 50 a second
    "distributed.worker.http.routes": [],
}

Hear = Callable[[str], None]


def configure() -> None:
    """Sets Dask's own options for this process, and lets it speak of what is wrong alone."""
    dask.config.set(DASK)
    logging.getLogger("distributed").setLevel(logging.ERROR)


async def opened_scheduler(place: Place, dashboard_port: int) -> Scheduler:
    """Listens; Dask's pages are on loopback alone, whatever the place. Raises FarmError where the port is taken."""
    options: dict[str, Any] = {} if place.tls is None else {"security": security_of(place)}
    try:
        return await Scheduler(
            host=place.address, dashboard_address=f"{LOOPBACK}:{dashboard_port}", dashboard=True, **options
        )
    except RuntimeError as error:  # Dask's, of whatever kept it from starting
        why = error.__cause__ or error
        raise FarmError(
            f"no farm can listen at {place.address}: {why}; name another port with --listen"
        ) from error


async def serve(
    place: Place,
    benches: Sequence[Bench],
    scratch: str,
    joined: Hear = lambda _: None,
    left: Hear = lambda _: None,
) -> None:
    """Lets boards join the farm at a place, each with a worker; returns when all have left. Their boards are closed.

    `joined` and `left` hear names; a board leaves when it is set aside, or the farm ends.
    """
    security = security_of(place)
    workers = [
        Worker(
            place.address,
            nthreads=1,
            name=f"{bench.name}-{os.getpid()}",
            resources={bench.resource: 1},
            memory_limit=None,
            local_directory=scratch,
            plugins=[BenchPlugin(bench)],
            host=LOOPBACK if is_loopback(place.host) else None,
            dashboard=False,
            dashboard_address=f"{LOOPBACK}:0",
            **({"security": security} if security else {}),
        )
        for bench in benches
    ]

    async def live(worker: Worker, bench: Bench) -> None:
        try:
            await worker
            joined(bench.name)
            await worker.finished()
        finally:
            left(bench.name)
            await asyncio.to_thread(bench.close)

    await asyncio.gather(*(live(worker, bench) for worker, bench in zip(workers, benches, strict=True)))
