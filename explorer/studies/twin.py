"""What a twin is worth: boards drawn anew, each calibrated over SSH and searched with what that found.

Each board is a stand-in at the other end of the connection (`microbench.boards.stand_in`): what is known here of its
constants is what calibration finds. Plans are judged by their bundles' times on the board itself, or where its launches
scatter on one that is the same but for that.
"""

from __future__ import annotations

import json
import os
import posixpath
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median

from codegen.canonical import content_hash
from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from explorer.compose.timed_candidates import (
    TimedCandidate,
    by_candidate,
)
from explorer.pipeline.run import searched
from explorer.plans.network import Network
from explorer.plans.searched_network import SearchedNetwork
from explorer.settings import RunSettings
from explorer.studies.asked_board import AskedBoard
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.progress import Progress
from explorer.twin.put_right import Asking
from microbench.boards.ssh import SshBoard
from microbench.boards.ssh_link import SshLink
from microbench.boards.stand_in import BOARD_FILE, Habits, board_file
from microbench.calibration.board import measure_gpu
from microbench.calibration.calibrate import fitted
from microbench.calibration.measurements import MOST_LAUNCHES
from microbench.calibration.profile_file import fitted_on, write_profile
from microbench.options import SshOptions
from microbench.profile import DeviceProfile, load_profile
from microbench.suite.runner import Effort

SPREAD = 0.5  # share by which constants are drawn off the profile's
TOLERANCE = 0.05
DRAWN = (
    "clock_hz",
    "memory_bytes_per_cycle",
    "sdram_latency_s",
    "l2_latency_cycles",
    "l2_bytes_per_cycle",
    "vdw_setup_s",
    "vdw_row_cycles",
    "vdw_byte_cycles",
    "vdr_setup_s",
    "vdr_row_cycles",
    "vdr_byte_cycles",
)
PROBES = 10
NOISY = Effort(rounds_factor=64, repeats=MOST_LAUNCHES)  # beside which what a launch itself takes is little
NOTHING = "constants alone"
STAND_IN = "a stand-in"  # how sources name the board


@dataclass(frozen=True)
class Drawn:
    """A board: its constants, and what it does otherwise than any profile says."""

    seed: int
    profile: DeviceProfile
    habits: Habits
    differs_in: str


@dataclass(frozen=True)
class BoardWorth:
    """What was found of a board, and the network's seconds on it under four plans.

    `identified`: constants that were found; `off`: those off by more than TOLERANCE, and by which share.
    `true_s`: the best by the board's own times of all candidates that the searches came by; `stock_s`: searched with
    the stock profile; `probes_s`: with that put right by a few measurements; `twin_s`: with the twin. `asked`:
    candidates that the board was asked of for the twin's plan.
    """

    board: int
    differs_in: str
    identified: int
    off: Mapping[str, float]
    launches: int
    true_s: float
    stock_s: float
    probes_s: float
    twin_s: float
    asked: int

    @property
    def regrets(self) -> tuple[float, float, float]:
        """Of the stock plan, that of a few probes and the twin's, against the best by the board's own times."""
        stock, probes, twin = (
            time_s / self.true_s - 1 for time_s in (self.stock_s, self.probes_s, self.twin_s)
        )
        return stock, probes, twin


def drawn_board(stock: DeviceProfile, seed: int) -> Drawn:
    """Clock and memory constants within SPREAD of the stock profile's; four boards of ten differ in habits too."""
    numbers = random.Random(seed)
    constants = {name: stock.v3d_value(name) * numbers.uniform(1 - SPREAD, 1 + SPREAD) for name in DRAWN}
    constants["l2_latency_cycles"] = float(round(constants["l2_latency_cycles"]))
    habits, differs_in = Habits(), NOTHING
    match seed % 10:
        case 2:
            constants["lowest_qpu_first"], differs_in = 1.0, "lowest number first"
        case 4:
            habits, differs_in = Habits(spared_uniform_lines=1), "every other line of uniforms is spared"
        case 6:
            habits, differs_in = Habits(launch_noise=0.02), "launches scatter by 2 %"
        case 8:
            habits, differs_in = Habits(sfu_qpus=int(stock.v3d_value("qpus"))), "one SFU for all QPUs"
    return Drawn(seed, stock.with_v3d(**constants), habits, differs_in)


def board_worths(
    settings: RunSettings,
    stock: DeviceProfile,
    network: Network,
    ssh: SshOptions,
    seeds: Iterable[int],
    progress: Progress,
    place: Path,
) -> Iterator[BoardWorth]:
    """One after another; what `place` keeps of an interrupted study is not done again.

    `settings`: store, seed and budget of the searches; `ssh`: where boards are put, each into a directory below the
    runner's. Raises as searches, calibration and boards do.
    """
    kept = KeptWorths(place / "worths.jsonl")
    study = _Study(settings, stock, network, ssh, place, progress)
    for seed in seeds:
        drawn = drawn_board(stock, seed)
        key = study.key(drawn)
        if kept.worth(key) is None:
            kept.add(key, study.worth(drawn))
        worth = kept.worth(key)
        assert worth is not None
        yield worth


@dataclass
class KeptWorths:
    """Boards that are done, a line of JSON each; a last line that is torn was never finished."""

    path: Path

    def worth(self, key: str) -> BoardWorth | None:
        """What is kept of a board under one key."""
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        lines = (json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))
        return next((BoardWorth(**line["worth"]) for line in lines if line["key"] == key), None)

    def add(self, key: str, worth: BoardWorth) -> None:
        """Whole, or not at all."""
        whole = self.path.read_text("utf-8") if self.path.exists() else ""
        whole = whole[: whole.rfind("\n") + 1]
        self.path.write_text(whole + json.dumps({"key": key, "worth": asdict(worth)}) + "\n", "utf-8")


@dataclass(frozen=True, eq=False)
class _Study:
    settings: RunSettings
    stock: DeviceProfile
    network: Network
    ssh: SshOptions
    place: Path
    progress: Progress

    @cached_property
    def plain(self) -> SearchedNetwork:
        """With the stock profile."""
        return self.searched(self.stock, "stock")

    def key(self, drawn: Drawn) -> str:
        """What a board's worth depends on, but for the code."""
        search, profile = self.settings.search, self.stock.hash
        own = (drawn.seed, drawn.profile.hash, asdict(drawn.habits))
        return content_hash(
            [
                self.network.sha256,
                profile,
                search.seed,
                search.layer_budget,
                *own,
                asdict(Asking(probes=PROBES)),
            ]
        )

    def worth(self, drawn: Drawn) -> BoardWorth:
        """Raises as `board_worths`."""
        where = self._put(drawn, f"stand-in-{drawn.seed}")
        twin_profile, launches = self._calibrated(drawn, where)
        plain = self.plain
        twin = self.searched(twin_profile, f"twin-{drawn.seed}")
        with self._asked(drawn, where) as board:
            probed_plan, _ = board.put_right(plain, Asking(probes=PROBES))
            twins_plan, asked = board.put_right(twin, Asking())
        steady = replace(drawn, habits=replace(drawn.habits, launch_noise=0.0))
        with self._asked(steady, self._put(steady, f"judge-{drawn.seed}")) as judge:
            plans = (self._by_true_times(judge, drawn, plain, twin), plain, probed_plan, twins_plan)
            true_s, stock_s, probes_s, twin_s = map(judge.time_s, plans)
        errors = errors_of(twin_profile, drawn.profile)
        off = {name: error for name, error in errors.items() if error > TOLERANCE}
        return BoardWorth(
            board=drawn.seed,
            differs_in=drawn.differs_in,
            identified=len(errors),
            off=off,
            launches=launches,
            true_s=true_s,
            stock_s=stock_s,
            probes_s=probes_s,
            twin_s=twin_s,
            asked=asked,
        )

    def _asked(self, drawn: Drawn, where: SshOptions) -> AskedBoard:
        return AskedBoard(SshBoard(drawn.profile, where), self.settings, self.progress)

    def searched(self, profile: DeviceProfile, name: str) -> SearchedNetwork:
        """The search on the virtual board of a profile."""
        self.progress.phase(f"Search: {name}")
        settings = replace(self.settings, device=self._written(profile, name), prior="none")
        return searched(settings, self.network, self.progress)

    def _by_true_times(self, judge: AskedBoard, drawn: Drawn, *found: SearchedNetwork) -> SearchedNetwork:
        """All candidates that searches came by, with the times that the judge takes for each."""
        self.progress.phase(f"True times: {drawn.seed}")
        ways: dict[Candidate, TimedCandidate] = {}
        for one in found:
            ways |= by_candidate(one.result.timed_candidates)
        samples = judge.samples(tuple(ways))
        timed: dict[LayerSpec, list[TimedCandidate]] = {}
        for way, sample in zip(ways.values(), samples, strict=True):
            known = replace(way, time_s=sample.time_s, kind=sample.kind, sample_id=sample.id)
            timed.setdefault(way.candidate.spec, []).append(known)
        expected = {spec: tuple(of_one) for spec, of_one in timed.items()}
        first = found[0]
        result = replace(first.result, timed_candidates=expected, samples=samples)
        alone = replace(first, best=None, rehearsals=(), expected=expected)
        return replace(alone, profile=drawn.profile, overheads=judge.overheads, result=result)

    def _written(self, profile: DeviceProfile, name: str) -> str:
        file = self.place / f"{name}.toml"
        write_profile(profile, file)
        return str(file)

    def _put(self, drawn: Drawn, name: str) -> SshOptions:
        directory = posixpath.join(self.ssh.remote_directory, name)
        link = SshLink(self.ssh)
        try:
            link.upload(board_file(drawn.profile, drawn.habits).encode(), directory, BOARD_FILE)
        finally:
            link.close()
        return replace(self.ssh, remote_directory=directory, backend="stand-in")

    def _calibrated(self, drawn: Drawn, where: SshOptions) -> tuple[DeviceProfile, int]:
        """The profile that the suite gives over the connection, and how many launches that took; both are kept."""
        self.progress.phase(f"Calibrate board {drawn.seed}")
        effort = NOISY if drawn.habits.launch_noise else Effort()
        name = f"{drawn.seed}-{drawn.profile.hash[:8]}"
        with SshBoard(self.stock, where) as board:
            file = self.place / f"{name}.measurements.jsonl"
            measured = measure_gpu(board, file, effort, lambda done, of, name: None)
        times, kept = measured.times, self.place / f"{name}-calibrated.toml"
        if not kept.exists():
            workers = os.cpu_count() or 1
            found = fitted(times.times_s, times.depth, measured.shape, self.stock, STAND_IN, workers)
            write_profile(found.profile.model_copy(update={"name": f"{self.stock.name}-calibrated"}), kept)
        return load_profile(str(kept)), times.launches


def errors_of(found: DeviceProfile, true: DeviceProfile) -> Mapping[str, float]:
    """By how much each constant is off that calibration found, as a share of the true one."""
    names = [name for name, constant in found.v3d.items() if constant.source.startswith(fitted_on(STAND_IN))]
    return {
        name: abs(found.v3d_value(name) - true.v3d_value(name)) / (true.v3d_value(name) or 1.0)
        for name in names
    }


def worth_tables(worths: Mapping[str, Sequence[BoardWorth]]) -> tuple[StudyTable, ...]:
    """Two tables a network: of boards that constants tell from others, and of those that differ in more."""
    return tuple(
        _table(f"{name}: {title}", apart)
        for name, of_one in worths.items()
        for title, apart in (
            ("boards that differ in constants alone", [w for w in of_one if w.differs_in == NOTHING]),
            ("boards that differ in more", [w for w in of_one if w.differs_in != NOTHING]),
        )
        if apart
    )


def _table(title: str, worths: Sequence[BoardWorth]) -> StudyTable:
    columns = (
        *(("board", RIGHT), ("differs in", LEFT), ("launches", RIGHT)),
        ("constants found", RIGHT),
        (f"off by more than {TOLERANCE:.0%}", LEFT),
        *(("true plan", RIGHT), ("stock plan", RIGHT)),
        (f"{PROBES} probes", RIGHT),
        *(("twin", RIGHT), ("asked", RIGHT)),
    )
    probing = Asking(probes=PROBES)
    return StudyTable(
        title,
        columns,
        (
            *(_row(worth) for worth in worths),
            _of_all("median", worths, median),
            _of_all("worst", worths, max),
        ),
        (
            "Times are simulated. `true plan`: by the times that candidates take on the board the best of all that the "
            "searches came by, run on the board; the other plans' regret against it. "
            f"`stock plan`: searched with the stock profile. `{PROBES} probes`: that, put right by {PROBES} "
            f"measurements on the board, of which {probing.plans} are whole plans. `twin`: searched with the constants "
            "that calibration found, `asked` candidates being measured on the board. `launches`: of calibration.",
        ),
    )


def _row(worth: BoardWorth) -> tuple[str, ...]:
    off = sorted(worth.off.items(), key=lambda item: -item[1])
    return (
        str(worth.board),
        worth.differs_in,
        str(worth.launches),
        str(worth.identified),
        ", ".join(f"{name} {error:.0%}" for name, error in off) or "none",
        f"{1e3 * worth.true_s:.2f} ms",
        *(f"{100 * regret:.2f} %" for regret in worth.regrets),
        str(worth.asked),
    )


def _of_all(
    title: str, worths: Sequence[BoardWorth], one_of: Callable[[Sequence[float]], float]
) -> tuple[str, ...]:
    regrets = [f"{100 * one_of(each):.2f} %" for each in zip(*(w.regrets for w in worths), strict=True)]
    return (title, *[""] * 5, *regrets, "")
