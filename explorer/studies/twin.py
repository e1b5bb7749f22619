"""What a twin is worth: boards drawn anew, each calibrated over SSH and searched with what that found.

Each board is a stand-in at the other end of the connection (`microbench.boards.stand_in`): what is known here of its
constants is what calibration finds. Plans are judged by their bundles' times on the board itself.
"""

from __future__ import annotations

import os
import posixpath
import random
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean

from codegen.algorithm import algorithms
from codegen.bundle import compile_bundle
from explorer.compose.compose import UNLIMITED, Composition
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidates
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer, overheads_of
from explorer.measure.workers import Workers
from explorer.pipeline.boards import close
from explorer.pipeline.run import REPEATS, searched
from explorer.plans.check import trial_inputs
from explorer.plans.network import Network
from explorer.plans.searched_network import SearchedNetwork
from explorer.settings import RunSettings
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.progress import Progress
from explorer.twin.search import TwinSettings, corrected
from microbench.board import Board
from microbench.boards.ssh import SshBoard
from microbench.boards.ssh_link import SshLink
from microbench.boards.stand_in import BOARD_FILE, Habits, board_file
from microbench.calibration.board import measure_gpu
from microbench.calibration.calibrate import Calibration, fitted
from microbench.calibration.profile_file import write_profile
from microbench.options import SshOptions
from microbench.profile import DeviceProfile
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
WITH_PROBES = TwinSettings(heavy=1.0, best=3, rounds=0, most=PROBES)
WITH_TWIN = TwinSettings()
NOISY = Effort(rounds_factor=8, repeats=5)
NOTHING = "constants alone"


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

    `true_s`: searched with its true constants; `stock_s`: with the stock profile; `probes_s`: with that put right by a
    few measurements; `twin_s`: with the twin. `asked`: candidates that the board was asked of for the twin's plan.
    """

    drawn: Drawn
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
        """Beyond the plan that was searched with the true constants."""
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
) -> Iterator[BoardWorth]:
    """One after another. `settings`: store, seed and budget of the searches; `ssh`: where boards are put, each into a
    directory below the runner's. Raises as searches, calibration and boards do.
    """
    with tempfile.TemporaryDirectory(prefix="explore-twin-") as place:
        study = _Study(settings, stock, network, ssh, Path(place), progress)
        plain = study.searched(stock, "stock")
        for seed in seeds:
            yield study.worth(drawn_board(stock, seed), plain)


@dataclass(frozen=True, eq=False)
class _Study:
    settings: RunSettings
    stock: DeviceProfile
    network: Network
    ssh: SshOptions
    place: Path
    progress: Progress

    def worth(self, drawn: Drawn, plain: SearchedNetwork) -> BoardWorth:
        where = self._put(drawn)
        found, launches = self._calibrated(drawn, where)
        true = self.searched(drawn.profile, f"true-{drawn.seed}")
        twin_profile = found.profile.model_copy(update={"name": f"{self.stock.name}-calibrated"})
        twin = self.searched(twin_profile, f"twin-{drawn.seed}")
        names = [f.name for f in found.identified]
        errors = [abs(found.profile.v3d_value(n) / (drawn.profile.v3d_value(n) or 1.0) - 1) for n in names]
        probed, _ = self._put_right(plain, where, WITH_PROBES)
        spared, asked = self._put_right(twin, where, WITH_TWIN)
        true_s, stock_s, probes_s, twin_s = (
            self._time_s(one, where) for one in (true, plain, probed, spared)
        )
        return BoardWorth(
            drawn,
            len(names),
            sum(error <= TOLERANCE for error in errors),
            max(errors, default=0.0),
            launches,
            true_s,
            stock_s,
            probes_s,
            twin_s,
            asked,
        )

    def searched(self, profile: DeviceProfile, name: str) -> SearchedNetwork:
        """The search on the virtual board of a profile."""
        self.progress.phase(f"Search: {name}")
        file = self.place / f"{name}.toml"
        write_profile(profile, file)
        return searched(
            replace(self.settings, device=str(file), board="virtual", prior="none"),
            self.network,
            self.progress,
        )

    def _put(self, drawn: Drawn) -> SshOptions:
        directory = posixpath.join(self.ssh.remote_directory, f"stand-in-{drawn.seed}-{os.getpid()}")
        link = SshLink(self.ssh)
        try:
            link.upload(board_file(drawn.profile, drawn.habits).encode(), directory, BOARD_FILE)
        finally:
            link.close()
        return replace(self.ssh, remote_directory=directory, backend="stand-in")

    def _calibrated(self, drawn: Drawn, where: SshOptions) -> tuple[Calibration, int]:
        self.progress.phase(f"Calibrate board {drawn.seed}")
        effort = NOISY if drawn.habits.launch_noise else Effort()
        with SshBoard(self.stock, where) as board:
            file = self.place / f"{drawn.seed}.jsonl"
            measured = measure_gpu(board, file, effort, lambda done, of, name: None)
        times = measured.times
        workers = os.cpu_count() or 1
        found = fitted(times.times_s, times.depth, measured.shape, self.stock, "a stand-in", workers)
        return found, times.launches

    def _put_right(
        self, twin: SearchedNetwork, where: SshOptions, settings: TwinSettings
    ) -> tuple[SearchedNetwork, int]:
        """The network with what the board said, and of how many candidates it was asked."""
        self.progress.phase("Measure on the board")
        first = SshBoard(twin.profile, where)
        with Workers[Board]([first], close) as boards, Store.open(self.settings.store) as store:
            jobs = JobBuilder(first.target, self.settings.search.seed, algorithms(), REPEATS)
            overheads = overheads_of(first)
            fingerprint = boards.call(lambda board: board.fingerprint())
            measurer = Measurer(boards, jobs, store, fingerprint, self.progress, overheads.launch_s)
            found = corrected(twin.result, measurer.samples, partial(_composed, twin, overheads), settings)
            known = replace(
                twin, result=found.result, expected=found.result.timed_candidates, overheads=overheads
            )
            return known, measurer.tally.measured + measurer.tally.known

    def _time_s(self, found: SearchedNetwork, where: SshOptions) -> float:
        """The network's time on the board, in the mean over the bundle's runs."""
        self.progress.phase("Whole plan")
        plan, (inputs,) = found.plan(found.fastest), trial_inputs(self.network.graph, 0, 1)
        with tempfile.TemporaryDirectory() as scratch, SshBoard(found.profile, where) as board:
            bundle = Path(scratch) / "bundle"
            compile_bundle(self.network.graph, plan, board.target, bundle)
            return fmean(board.run_bundle(bundle, inputs).times_s)


def _composed(twin: SearchedNetwork, overheads: Overheads, timed: TimedCandidates) -> Composition:
    return replace(twin, expected=timed, overheads=overheads).compose(UNLIMITED)


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
            "Times are simulated. `true plan`: of the plan searched with the board's true constants, run on the board; "
            "the other plans' regret against it, below 0 where they are faster. `stock plan`: searched with the stock "
            f"profile. `{PROBES} probes`: that, put right by {PROBES} measurements on the board. `twin`: searched with "
            "the constants that calibration found, `asked` candidates being measured on the board. `launches`: of "
            "calibration. `within`: of the constants found, those off by no more.",
        ),
    )


def _row(worth: BoardWorth) -> tuple[str, ...]:
    regrets = (worth.stock_s, worth.probes_s, worth.twin_s)
    return (
        str(worth.drawn.seed),
        worth.drawn.differs_in,
        str(worth.launches),
        str(worth.identified),
        str(worth.within),
        f"{1e3 * worth.true_s:.2f} ms",
        *(f"{100 * worth.regret(time_s):.2f} %" for time_s in regrets),
        str(worth.asked),
    )
