"""Whether calibration finds back what a virtual board was given: random profiles, unseen by the fit.

Run as `python -m microbench.calibration.recover --profiles 20`: prints a table by constant, and writes it where
`--out` says.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from microbench.calibration.calibrate import DEPTH, FittedConstant, calibrate
from microbench.calibration.constants import NOT_FITTED, Kind, Range, ranges
from microbench.calibration.forward import ForwardModel
from microbench.calibration.identify import SHARE, THRESHOLD, sensitivities
from microbench.calibration.variants import Mechanism, mechanisms
from microbench.profile import DeviceProfile, load_profile
from microbench.suite.gpu import BoardShape
from microbench.virtual import VirtualV3D

SPREAD = 0.5  # every constant is drawn within this share of the stock profile's
TOLERANCE = 0.05
_SLICES, _QPUS_PER_SLICE, _TMUS_PER_SLICE = (2, 3, 4), (2, 3, 4, 5, 6), (1, 2)
_MOST_QPUS = 16  # of the simulator


@dataclass(frozen=True)
class Trial:
    """One constant on one random board.

    `shows`: at the true values. `named`: as identified, by the calibration. `covered`: its interval holds the truth.
    `stock`: what the stock profile has.
    """

    seed: int
    name: str
    true: float
    found: float
    stock: float
    shows: bool
    named: bool
    covered: bool

    @property
    def error(self) -> float:
        """Relative to the true value; where that is 0, to the stock profile's, or to 1 where that is 0 too."""
        return abs(self.found - self.true) / (self.true or self.stock or 1.0)


@dataclass(frozen=True)
class Choice:
    """Which variant a random board is, and which the calibration named; None: it said that it does not show.

    `constants`: those that the variants switch. `shows`: the times of every other variant differ at the true values.
    """

    seed: int
    constants: tuple[str, ...]
    true: str
    found: str | None
    shows: bool


@dataclass(frozen=True)
class Recovery:
    """What was found of one random board."""

    trials: tuple[Trial, ...]
    choices: tuple[Choice, ...]


def random_profile(stock: DeviceProfile, seed: int) -> DeviceProfile:
    """Every constant within SPREAD of its own: real ones evenly, whole numbers rounded, sizes half, same or double.

    Which variant a board is, is drawn too: what that does not have is 0. The number of slices, and of QPUs and TMUs in
    one, vary as well, but are stated to the fit, as is the clock, and how memory is allocated; the VPM's rows do not
    vary, as the simulator has none but 64.
    """
    numbers = random.Random(seed)
    drawn = {name: _drawn(bounds, numbers) for name, bounds in ranges(stock.v3d).items()}
    per_slice = numbers.choice(_QPUS_PER_SLICE)
    slices = numbers.choice([n for n in _SLICES if n * per_slice <= _MOST_QPUS])
    drawn |= {
        "qpus": slices * per_slice,
        "qpus_per_slice": per_slice,
        "vpm_rows": stock.v3d_value("vpm_rows"),
    }
    drawn |= {"tmus_per_slice": numbers.choice(_TMUS_PER_SLICE)}
    for mechanism in mechanisms(stock):
        drawn |= mechanism.values_of(numbers.choice(list(mechanism.choices)), drawn)
    return stock.with_v3d(**drawn)


def _drawn(bounds: Range, numbers: random.Random) -> float:
    if bounds.kind in (Kind.SWITCH, Kind.CHOSEN):
        return float(numbers.randint(0, 1))
    if bounds.kind is Kind.POWER:
        return bounds.start * numbers.choice((0.5, 1.0, 2.0))
    if bounds.kind in (Kind.FIXED, Kind.HIDDEN):
        return bounds.start
    value = bounds.start * numbers.uniform(1 - SPREAD, 1 + SPREAD)
    return value if bounds.kind is Kind.TOLD else bounds.nearest(value)


def recover(stock: DeviceProfile, seed: int) -> Recovery:
    """Calibrates the virtual board of a random profile, starting from the stock one with memory allocated alike."""
    true = random_profile(stock, seed)
    stock = stock.with_v3d(memory_is_cached=true.v3d_value("memory_is_cached"))
    shape = BoardShape.of(true)
    with VirtualV3D(true) as gpu:
        found = calibrate(gpu, shape, stock)
    kinds = ranges(stock.v3d)
    truth = {name: c.value for name, c in true.v3d.items() if kinds[name].kind not in NOT_FITTED}
    with ForwardModel(true, int(truth[DEPTH])) as model:
        shown = {name: s.shows for name, s in sensitivities(model, truth, kinds).items()}
        choices = tuple(_choice(seed, m, model, truth, found.variants(stock)) for m in mechanisms(stock))
    shown[DEPTH] = True  # more in flight stop a launch
    trials = tuple(
        _trial(seed, fitted, truth[fitted.name], shown[fitted.name])
        for fitted in found.fitted_constants
        if fitted.name in truth
    )
    return Recovery(trials, choices)


def _choice(
    seed: int,
    mechanism: Mechanism,
    model: ForwardModel,
    truth: dict[str, float],
    found: Mapping[tuple[str, ...], str | None],
) -> Choice:
    constants, true = tuple(mechanism.full), mechanism.choice(truth)
    others = [
        {**truth, **mechanism.values_of(pattern, truth)}
        for pattern, name in mechanism.choices.items()
        if name != true
    ]
    base = model.log_times(truth, model.benchmarks)
    shows = all(np.abs(t - base).max() >= THRESHOLD for t in model.many(others, model.benchmarks))
    return Choice(seed, constants, true, found[constants], shows)


def _trial(seed: int, fitted: FittedConstant, true: float, shows: bool) -> Trial:
    interval = fitted.interval
    covered = (
        interval is not None and interval.low <= true * (1 + 1e-9) and true <= interval.high * (1 + 1e-9)
    )
    return Trial(seed, fitted.name, true, fitted.value, fitted.start, shows, interval is not None, covered)


def recover_many(
    stock: DeviceProfile, seeds: Sequence[int], processes: int, ended: Callable[[Recovery], None]
) -> Recovery:
    """What was found of the boards of all seeds, one process a board; tells of each when it has `ended`, in order."""
    boards = []
    with ProcessPoolExecutor(processes) as pool:
        for board in pool.map(recover, [stock] * len(seeds), seeds):
            ended(board)
            boards.append(board)
    return Recovery(tuple(t for b in boards for t in b.trials), tuple(c for b in boards for c in b.choices))


def missed(recovery: Recovery) -> list[str]:
    """A line for each constant that shows and was not found, and for each variant that shows and was named wrongly."""
    return [
        *(_miss(t) for t in recovery.trials if t.shows and not _good(t)),
        *(_misnamed(c) for c in recovery.choices if c.shows and c.found != c.true),
    ]


def table(recovery: Recovery) -> str:
    """Markdown: what was found of each constant, and what was not; which variants were named rightly."""
    trials = recovery.trials
    boards = len({t.seed for t in trials})
    header = (
        f"| constant | shows on | within {TOLERANCE:.0%} | worst error where it shows | "
        "within its interval | named not identifiable | though it shows |"
    )
    rows = [_row([t for t in trials if t.name == name]) for name in dict.fromkeys(t.name for t in trials)]
    wrong = [t for t in trials if t.shows and not _good(t)]
    unknown = sum(not t.shows for t in trials)
    return "\n".join(
        [
            f"{boards} boards, {len(trials)} constants: {sum(t.shows for t in trials)} show, of which "
            f"{len(wrong)} are not found within {TOLERANCE:.0%}; {unknown} do not show.",
            "",
            header,
            "|---|---|---|---|---|---|---|",
            *rows,
            *(["", "Not found:", "", *(_miss(t) for t in wrong)] if wrong else []),
            "",
            *_choices_table(recovery.choices),
        ]
    )


def _choices_table(choices: Sequence[Choice]) -> list[str]:
    rows = [
        _choice_row([c for c in choices if (c.constants, c.true) == drawn])
        for drawn in sorted({(c.constants, c.true) for c in choices})
    ]
    wrong = [c for c in choices if c.shows and c.found != c.true]
    return [
        "| constants that variants switch | variant drawn | boards | shows on | named rightly |",
        "|---|---|---|---|---|",
        *rows,
        *(["", "Named wrongly:", "", *(_misnamed(c) for c in wrong)] if wrong else []),
    ]


def _choice_row(same: Sequence[Choice]) -> str:
    shown = [c for c in same if c.shows]
    right = sum(c.found == c.true for c in shown)
    return f"| {', '.join(same[0].constants)} | {same[0].true} | {len(same)} | {len(shown)} | {right} |"


def _misnamed(choice: Choice) -> str:
    found = choice.found or "not identifiable"
    return f"- board {choice.seed}: {', '.join(choice.constants)}: {choice.true}, named {found}"


def _good(trial: Trial) -> bool:
    return trial.named and trial.error <= TOLERANCE


def _row(trials: Sequence[Trial]) -> str:
    shown = [t for t in trials if t.shows]
    errors = [t.error for t in shown]
    worst = f"{max(errors):.2%}" if errors else "-"
    good, unnamed = sum(map(_good, shown)), sum(not t.named for t in trials)
    missed = sum(not t.named for t in shown)
    covered = f"{sum(t.covered for t in shown if t.named)} of {sum(t.named for t in shown)}"
    return f"| {trials[0].name} | {len(shown)} | {good} | {worst} | {covered} | {unnamed} | {missed} |"


def _miss(trial: Trial) -> str:
    named = "fitted" if trial.named else "named not identifiable"
    return f"- board {trial.seed}: {trial.name} is {trial.true:.6g}, {named}, {trial.found:.6g}"


TITLE = f"""# Calibration finds back what a virtual board was given

Every constant of the GPU drawn at random within {SPREAD:.0%} of the stock profile's: real numbers evenly, counts as
whole numbers, cache sizes and ways half, same or double. The fit starts from the stock profile and sees nothing but
launch times of the suite, and what a board states: its clock, and its slices, QPUs and TMUs. A constant shows when
{SHARE:.0%} less of it and {SHARE:.0%} more of it (a step at least, for a discrete one) each change some measurement by
{THRESHOLD:.0%} or more, at the true values. One that changes measurements on one side only has a bound and no value.

Which variant of the profile a board is, is drawn too, each as likely: whether lines of uniforms take more than a
TMU's on every miss (the profile itself), on those from SDRAM only, or on none; and who is served first of those that
wait for a DMA engine or the mutex. What a variant does not have is 0, and an error of it is a share of the stock value.

`sdram_bytes_per_s` is not drawn: at one clock no launch time tells it from `memory_bytes_per_cycle`, of which the
smaller throughput counts. Whether memory is cached in the system's L2 is drawn and told, as whoever measures allocates
it: `memory_bytes_per_cycle` shows where it is not, and `cached_memory_bytes_per_cycle` and the constants of that L2
where it is, unless few QPUs or short queues hold the reads back before memory does. The bits of special functions and
the rounding of products change results and no times.

"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first board")
    parser.add_argument("--device", default="pi-zero", help="the stock profile")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="file to write the table to")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.profiles)
    console = Console(soft_wrap=True, highlight=False)

    def ended(board: Recovery) -> None:
        lines = missed(board) or [f"- board {board.trials[0].seed}: everything that shows"]
        console.print("\n".join(lines), markup=False)

    text = table(recover_many(load_profile(arguments.device), seeds, arguments.processes, ended))
    console.print(text, markup=False)
    if arguments.out is not None:
        command = f"    python -m microbench.calibration.recover --profiles {arguments.profiles}"
        arguments.out.write_text(f"{TITLE}{command}\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
