"""One network by a peer's own build under a modelled core's clock."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from microbench.emulation.clock import ClockedExecutor
from microbench.emulation.core_model import CoreModel
from microbench.emulation.judges.userland import PYTHON, Wheel
from microbench.errors import PeerError

PUBLISHED = Path(__file__).parent / "published"
PROGRAM = Path(__file__).with_name("time_ncnn.py")
RUNS = 2  # the first finds caches cold and memory not yet allocated; the last counts
LIMIT_S = 1800.0
LEAST_JUDGES, LEAST_RATIO, LARGEST_RATIO = 5, 0.80, 1.25
_PARAM, _RESULT = "network.param", "result.json"


class Published(BaseModel):
    """What a board took for a network on one thread and on four, in milliseconds; `pixels`: of its square picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ms: float
    ms_on_four: float
    pixels: int
    seen: bool

    def ms_on(self, threads: int) -> float:
        """Raises PeerError where there is no time of so many."""
        times = {1: self.ms, 4: self.ms_on_four}
        if threads not in times:
            raise PeerError(
                f"no published time of {threads} threads; there are those of {', '.join(map(str, times))}"
            )
        return times[threads]


class PublishedTimes(BaseModel):
    """A table of a board with that clock, by network's name; its other words are for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    board: str
    date: str
    clock_hz: float
    networks: dict[str, Published]


@dataclass(frozen=True)
class Judged:
    """A network's run: its time in seconds on the modelled core, and instructions of all runs by run."""

    version: str
    time_s: float
    instructions: int
    shape: tuple[int, ...]


def load_published(core: str) -> PublishedTimes:
    """Those of a core; raises PeerError where there are none."""
    path = PUBLISHED / f"{core}.toml"
    if not path.is_file():
        there = ", ".join(sorted(one.stem for one in PUBLISHED.glob("*.toml")))
        raise PeerError(f"no published times of a {core}; there are those of {there}")
    return PublishedTimes.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def judge(
    model: CoreModel,
    clock_hz: float,
    root: Path,
    site: Path,
    wheel: Wheel,
    param: Path,
    pixels: int,
    threads: int = 1,
) -> Judged:
    """Runs a network (a file *.param of ncnn) `RUNS` times on so many threads and takes the last.

    Raises PeerError where the engine refuses it or is not the release that was asked for, BoardError without emulator.
    """
    executor = ClockedExecutor(model, clock_hz, wakes_at_yield=True, library_root=root, threads=threads)
    files = {_PARAM: param.read_bytes(), PROGRAM.name: PROGRAM.read_bytes()}
    environment = {"PYTHONPATH": str(site), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": str(threads)}
    finished, report = executor.clocked(
        root / "usr" / "bin" / f"python{PYTHON}",
        ("-S", "-B", PROGRAM.name, _PARAM, str(pixels), str(threads), str(RUNS), _RESULT),
        files,
        (_RESULT,),
        LIMIT_S,
        environment,
    )
    if report is None or _RESULT not in finished.outputs:
        raise PeerError(f"{wheel}: {param.name}: {finished.ended.complaint or 'it wrote no result'}")
    said = json.loads(finished.outputs[_RESULT])
    if said["version"] != wheel.version:
        raise PeerError(f"{wheel}: what ran calls itself {said['version']}")
    return Judged(
        said["version"], said["times_s"][-1], report.instructions // RUNS, tuple(map(int, said["shape"]))
    )


def is_judged(ratios: tuple[float, ...]) -> bool:
    """Whether a core's modelled times may stand for its own: of so many programs all are that near."""
    return len(ratios) >= LEAST_JUDGES and all(LEAST_RATIO <= one <= LARGEST_RATIO for one in ratios)
