"""The suite on a board, kept in a file as it comes: what was interrupted goes on where it stopped."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from codegen.canonical import content_hash
from microbench.errors import BoardError, CalibrationError, CalibrationInterruptedError, CandidateError
from microbench.suite.benchmark import Benchmark
from microbench.suite.gpu import BoardShape, Launcher
from microbench.suite.runner import Effort, queue_depth_with, round_s
from microbench.suite.suite import suite

FORMAT = 1
MOST_LAUNCHES = 300  # of a family of benchmarks
MOST_S = 3600.0  # of this machine's time
QUEUE_DEPTH = "queue_depth"


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Shared = TypeVar("Shared", bound=_Dataclass)
Told = Callable[[int, int, str], None]  # how many are done, of how many, which comes next


@dataclass(frozen=True)
class Circumstances:
    """What measurements of one file have in common.

    `board`: what tells the board from others. `gpu_memory`: how the GPU's memory is allocated.
    """

    board: str
    gpu_memory: str
    shape: BoardShape
    rounds_factor: int


@dataclass
class MeasurementsFile(Generic[Shared]):
    """Lines of JSON: the circumstances, then a line a measurement, on the disk before the next one is taken.

    A benchmark is known by its content too: one that was changed since is measured again. Raises CalibrationError for
    a file of other circumstances or none of its kind.
    """

    path: Path
    circumstances: Shared
    _known: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        header = {"format": FORMAT, **asdict(self.circumstances)}
        if not self.path.exists() or not self.path.stat().st_size:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append(header)
            return
        lines = list(self._lines())
        if not lines or lines[0] != header:
            told = lines[0] if lines else None
            raise CalibrationError(
                f"{self.path} holds measurements of other circumstances ({told}, now {header}): name another file "
                "with --measurements, or remove this one"
            )
        self._known = {(line["name"], line["content"]): line for line in lines[1:]}

    def _lines(self) -> Iterator[dict[str, Any]]:
        """The whole lines; a last one that is torn was never finished, and is cut off."""
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        try:
            for line in whole.splitlines():
                yield dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise CalibrationError(
                f"{self.path} holds no measurements of a calibration: {error}; name another file with --measurements"
            ) from error

    def known(self, name: str, content: str) -> Mapping[str, Any] | None:
        """What was measured of a benchmark as it is now."""
        return self._known.get((name, content))

    def add(self, name: str, content: str, **measured: Any) -> None:
        """Keeps a measurement: it is on the disk when this returns."""
        line = {"name": name, "content": content, **measured}
        self._append(line)
        self._known[name, content] = line

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


@dataclass(frozen=True)
class SuiteTimes:
    """What was measured of a board: seconds a round by benchmark, and the depth of the TMUs' queues.

    `failed`: messages of benchmarks that the board stopped or had no memory for, by name; they have no time.
    `launches`: of all of them, those of interrupted calibrations too.
    """

    depth: int
    times_s: Mapping[str, float]
    failed: Mapping[str, str]
    launches: int


def measure_suite(
    launcher: Launcher,
    kept: MeasurementsFile[Circumstances],
    repeats: int = 1,
    most_s: float = MOST_S,
    told: Told = lambda done, of, name: None,
) -> SuiteTimes:
    """All benchmarks that the file does not know yet, each at most as often as a family's share of launches allows.

    Raises CalibrationInterruptedError where the board was lost or time is up, and CalibrationError where no launch
    comes back; what was measured is kept.
    """
    until_s = time.monotonic() + most_s
    shape, factor = kept.circumstances.shape, kept.circumstances.rounds_factor
    with nothing_lost(kept):
        depth = _depth(launcher, kept)
        benchmarks = suite(shape, depth)
        efforts = {family: Effort(factor, n) for family, n in repeats_within(benchmarks, repeats).items()}
        for done, benchmark in enumerate(benchmarks):
            told(done, len(benchmarks), benchmark.name)
            if kept.known(benchmark.name, content_of(benchmark)):
                continue
            if time.monotonic() > until_s:
                raise CalibrationInterruptedError(
                    f"{done} of {len(benchmarks)} benchmarks took {most_s:g} s, they are kept in {kept.path}: the same "
                    "command goes on from there; fewer --repeats and a smaller --rounds-factor are faster"
                )
            _measure(launcher, benchmark, efforts[benchmark.family], kept)
    return _collected(depth, benchmarks, kept)


def repeats_within(
    benchmarks: Iterable[Benchmark], repeats: int, most_launches: int = MOST_LAUNCHES
) -> dict[str, int]:
    """How often each family's benchmarks are launched: as often as wished, or as its launches allow; at least once."""
    once = Counter[str]()
    for benchmark in benchmarks:
        once[benchmark.family] += _launches(benchmark)
    return {family: max(1, min(repeats, most_launches // count)) for family, count in once.items()}


def content_of(benchmark: Benchmark) -> str:
    """What tells a benchmark from others of the same name."""
    return content_hash(asdict(benchmark))[:16]


def _launches(benchmark: Benchmark) -> int:
    return 1 if benchmark.rounds is None else 2


def _depth(launcher: Launcher, kept: MeasurementsFile[Circumstances]) -> int:
    known = kept.known(QUEUE_DEPTH, "")
    if known:
        return int(known["depth"])
    depth = queue_depth_with(launcher)
    if depth == 0:
        raise CalibrationError(
            "no launch comes back from the board; look at it with `explore doctor`, then run again"
        )
    kept.add(QUEUE_DEPTH, "", depth=depth)
    return depth


def _measure(
    launcher: Launcher, benchmark: Benchmark, effort: Effort, kept: MeasurementsFile[Circumstances]
) -> None:
    launches = effort.repeats * _launches(benchmark)
    try:
        time_s = round_s(launcher, benchmark, effort)
    except CandidateError as error:
        kept.add(benchmark.name, content_of(benchmark), failed=str(error), launches=launches)
    else:
        kept.add(benchmark.name, content_of(benchmark), round_s=time_s, launches=launches)


def _collected(
    depth: int, benchmarks: Iterable[Benchmark], kept: MeasurementsFile[Circumstances]
) -> SuiteTimes:
    launches = 0
    times_s, failed = {}, {}
    for benchmark in benchmarks:
        line = kept.known(benchmark.name, content_of(benchmark)) or {}
        launches += int(line.get("launches", 0))
        if "round_s" in line:
            times_s[benchmark.name] = float(line["round_s"])
        else:
            failed[benchmark.name] = str(line.get("failed"))
    return SuiteTimes(depth, times_s, failed, launches)


@contextmanager
def nothing_lost(kept: MeasurementsFile[Any]) -> Iterator[None]:
    """Says of a board that fails that the same command goes on from the file."""
    try:
        yield
    except BoardError as error:
        raise CalibrationInterruptedError(
            f"{error}; what was measured is kept in {kept.path}: the same command goes on from there"
        ) from error
