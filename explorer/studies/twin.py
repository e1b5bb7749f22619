"""What a twin is worth: boards drawn anew, each calibrated over SSH and searched with what that found.

Each board is a stand-in at the other end of the connection (`microbench.boards.stand_in`): what is known here of its
constants is what calibration finds. Plans are judged by their bundles' times on the board itself.
"""

from __future__ import annotations

import json
import os
import posixpath
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from codegen.algorithm import algorithms
from codegen.canonical import content_hash
from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from explorer.compose.timed_candidates import (
    TimedCandidate,
    TimedCandidates,
    by_candidate,
    launchable,
)
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer, overheads_of
from explorer.measure.workers import Workers
from explorer.pipeline.boards import alike, close, open_board_of
from explorer.pipeline.run import SPARED, searched
from explorer.plans.network import Network
from explorer.plans.searched_network import SearchedNetwork
from explorer.settings import RunSettings
from explorer.strategies.through import times_through
from explorer.studies.asked_board import AskedBoard
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.progress import Progress
from explorer.twin.probes import probed
from explorer.twin.search import Compose, Measure, corrected
from explorer.twin.times import Corrected
from microbench.boards.ssh import SshBoard
from microbench.boards.ssh_link import SshLink
from microbench.boards.stand_in import BOARD_FILE, Habits, board_file
from microbench.calibration.board import measure_gpu
from microbench.calibration.calibrate import SOURCE, fitted
from microbench.calibration.profile_file import write_profile
from microbench.options import SshOptions
from microbench.profile import DeviceProfile, load_profile
from microbench.store import Store
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
PROBED_PLANS = 2  # of the probes
NOISY = Effort(rounds_factor=8, repeats=5)
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

    `identified`: constants that were found, `within` of them off by no more than TOLERANCE, the `worst` by so much.
    `true_s`: the best by its true constants of all that the searches came by; `stock_s`: searched with the stock
    profile; `probes_s`: with that put right by a few measurements; `twin_s`: with the twin. `asked`:
    candidates that the board was asked of for the twin's plan.
    """

    board: int
    differs_in: str
    identified: int
    within: int
    worst: float
    launches: int
    true_s: float
    stock_s: float
    probes_s: float
    twin_s: float
    asked: int

    def regret(self, time_s: float) -> float:
        """Beyond the best plan by the true constants."""
        return time_s / self.true_s - 1


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
    seeds: range,
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
            [self.network.sha256, profile, search.seed, search.layer_budget, *own, PROBES, asdict(SPARED)]
        )

    def worth(self, drawn: Drawn) -> BoardWorth:
        """Raises as `board_worths`."""
        where = self._put(drawn)
        twin_profile, launches = self._calibrated(drawn, where)
        errors = errors_of(twin_profile, drawn.profile)
        plain = self.plain
        twin = self.searched(twin_profile, f"twin-{drawn.seed}")
        true = self._with_true_times(drawn, plain, twin)
        with AskedBoard(SshBoard(drawn.profile, where), self.settings, self.progress) as board:
            probes_s, _ = board.put_right(plain, partial(_probed, plain), PROBED_PLANS)
            twin_s, asked = board.put_right(twin, partial(_spared, twin), SPARED.plans)
            return BoardWorth(
                drawn.seed,
                drawn.differs_in,
                len(errors),
                sum(error <= TOLERANCE for error in errors.values()),
                max(errors.values(), default=0.0),
                launches,
                board.time_s(true, true.fastest),
                board.time_s(plain, plain.fastest),
                probes_s,
                twin_s,
                asked,
            )

    def searched(self, profile: DeviceProfile, name: str) -> SearchedNetwork:
        """The search on the virtual board of a profile."""
        self.progress.phase(f"Search: {name}")
        settings = replace(self.settings, device=self._written(profile, name), prior="none")
        return searched(settings, self.network, self.progress)

    def _with_true_times(
        self, drawn: Drawn, plain: SearchedNetwork, twin: SearchedNetwork
    ) -> SearchedNetwork:
        """All that both searches came by, with the times of the virtual board that has the board's constants."""
        self.progress.phase(f"True times: {drawn.seed}")
        settings = replace(self.settings, device=self._written(drawn.profile, f"true-{drawn.seed}"))
        first = open_board_of(settings)
        with Workers(alike(first, settings), close) as boards, Store.open(settings.store) as store:
            jobs = JobBuilder(first.target, settings.search.seed, algorithms())
            overheads, fingerprint = overheads_of(first), boards.call(lambda board: board.fingerprint())
            measurer = Measurer(boards, jobs, store, fingerprint, self.progress, overheads.launch_s)
            ways = {
                **by_candidate(plain.result.timed_candidates),
                **by_candidate(twin.result.timed_candidates),
            }
            samples = measurer.samples(ways)
        timed: dict[LayerSpec, list[TimedCandidate]] = {}
        for way, sample in zip(ways.values(), samples, strict=True):
            known = replace(way, time_s=sample.time_s, kind=sample.kind, sample_id=sample.id)
            timed.setdefault(way.candidate.spec, []).append(known)
        expected = {spec: tuple(of_one) for spec, of_one in timed.items()}
        result = replace(plain.result, timed_candidates=expected, samples=samples)
        return replace(
            plain,
            profile=first.profile,
            target=first.target,
            fingerprint=fingerprint,
            overheads=overheads,
            result=result,
            expected=expected,
        )

    def _written(self, profile: DeviceProfile, name: str) -> str:
        file = self.place / f"{name}.toml"
        write_profile(profile, file)
        return str(file)

    def _put(self, drawn: Drawn) -> SshOptions:
        directory = posixpath.join(self.ssh.remote_directory, f"stand-in-{drawn.seed}")
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


def _probed(found: SearchedNetwork, measure: Measure, compose: Compose) -> Corrected:
    through = partial(_through, found)
    return probed(found.result, found.profile, measure, compose, through, PROBES - PROBED_PLANS)


def _through(found: SearchedNetwork, timed: TimedCandidates) -> Mapping[Candidate, float]:
    return times_through(found.network.graph, launchable(timed, found.target), found.overheads)


def _spared(found: SearchedNetwork, measure: Measure, compose: Compose) -> Corrected:
    return corrected(found.result, found.profile, measure, compose, SPARED)


def errors_of(found: DeviceProfile, true: DeviceProfile) -> Mapping[str, float]:
    """By how much each constant is off that calibration found, as a share of the true one."""
    names = [
        name for name, constant in found.v3d.items() if constant.source.startswith(f"{SOURCE} {STAND_IN}")
    ]
    return {
        name: abs(found.v3d_value(name) - true.v3d_value(name)) / (true.v3d_value(name) or 1.0)
        for name in names
    }


def worth_tables(worths: Mapping[str, list[BoardWorth]]) -> tuple[StudyTable, ...]:
    """A table a network."""
    return tuple(_table(name, of_one) for name, of_one in worths.items())


def _table(name: str, worths: list[BoardWorth]) -> StudyTable:
    columns = (
        *(("board", RIGHT), ("differs in", LEFT), ("launches", RIGHT)),
        ("constants found", RIGHT),
        (f"within {TOLERANCE:.0%}", RIGHT),
        *(("true plan", RIGHT), ("stock plan", RIGHT)),
        (f"{PROBES} probes", RIGHT),
        *(("twin", RIGHT), ("asked", RIGHT)),
    )
    return StudyTable(
        f"{name} on {len(worths)} boards",
        columns,
        tuple(_row(worth) for worth in worths),
        (
            "Times are simulated. `true plan`: by the board's true constants the best of all candidates that the "
            "searches came by, run on the board; the other plans' regret against it, below 0 where they are faster. "
            f"`stock plan`: searched with the stock profile. `{PROBES} probes`: that, put right by {PROBES} "
            f"measurements on the board, of which {PROBED_PLANS} are whole plans. `twin`: searched with the constants "
            "that calibration found, `asked` candidates being measured on the board. `launches`: of calibration, - "
            "where measurements were kept without their number. "
            "`within`: of the constants found, those off by no more, and the worst.",
        ),
    )


def _row(worth: BoardWorth) -> tuple[str, ...]:
    regrets = (worth.stock_s, worth.probes_s, worth.twin_s)
    return (
        str(worth.board),
        worth.differs_in,
        str(worth.launches or "-"),
        str(worth.identified),
        f"{worth.within}, worst {worth.worst:.1%}",
        f"{1e3 * worth.true_s:.2f} ms",
        *(f"{100 * worth.regret(time_s):.2f} %" for time_s in regrets),
        str(worth.asked),
    )
