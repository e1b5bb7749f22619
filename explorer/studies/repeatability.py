"""How well times repeat: the same candidates in separate processes, and what their medians differ by."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from explorer.errors import UsageError
from explorer.runs.noise import noise_text
from explorer.settings import RunSettings
from explorer.studies.same_candidates import measure_same
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.units import seconds
from microbench.protocol import ReferenceTimes, noise_floor


@dataclass(frozen=True)
class OneRun:
    """What a separate run found: the median of every candidate that works, by its hash, and its noise floor."""

    board: str
    medians_s: dict[str, float]
    labels: dict[str, tuple[str, str]]
    kinds: tuple[str, ...]
    noise_floor: float | None
    reference: ReferenceTimes | None
    wall_s: float


@dataclass(frozen=True)
class Spread:
    """One candidate's medians over the runs, in seconds."""

    layer: str
    algorithm: str
    medians_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return median(self.medians_s)

    @property
    def relative_range(self) -> float:
        """From the least to the greatest, as a fraction of the median."""
        return (max(self.medians_s) - min(self.medians_s)) / self.median_s

    @property
    def relative_iqr(self) -> float:
        """The range of the middle half, as a fraction of the median."""
        low_s, high_s = np.percentile(self.medians_s, [25, 75])
        return float(high_s - low_s) / self.median_s

    @property
    def floor(self) -> float:
        """Half the range that holds the middle 95 %, as the noise floor of the reference; of two runs all of it."""
        found = noise_floor(self.medians_s)
        return self.relative_range / 2 if found is None else found


def separate_runs(settings: RunSettings, runs: int, most: int, directory: Path) -> Iterator[OneRun]:
    """Each in a process and a store of its own, one after the other; yields each as it is done.

    Raises UsageError where a store is there already: its samples would be taken for a new run's.
    """
    directory.mkdir(parents=True, exist_ok=True)
    stores = [directory / f"run-{number}.sqlite" for number in range(1, runs + 1)]
    taken = [store for store in stores if store.exists()]
    if taken:
        raise UsageError(f"{taken[0]} is there already: remove it, or name another directory with --stores")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for store in stores:
            yield pool.submit(one_run, replace(settings, store=str(store)), most).result()


def one_run(settings: RunSettings, most: int) -> OneRun:
    """One of them, in this process."""
    begin_s = time.monotonic()
    measured = measure_same(settings, most)
    good = [sample for sample in measured.samples if sample.is_timed]
    return OneRun(
        measured.board,
        {sample.candidate_hash: sample.time_s for sample in good},
        {
            sample.candidate_hash: (sample.candidate.spec.describe(), sample.candidate.choice.algorithm)
            for sample in good
        },
        tuple(sorted({sample.kind for sample in good})),
        measured.tally.noise_floor,
        measured.tally.reference,
        time.monotonic() - begin_s,
    )


def spreads(runs: Sequence[OneRun]) -> tuple[Spread, ...]:
    """Of every candidate that worked in all runs."""
    common = [key for key in runs[0].medians_s if all(key in run.medians_s for run in runs)]
    return tuple(Spread(*runs[0].labels[key], tuple(run.medians_s[key] for run in runs)) for key in common)


def tables(runs: Sequence[OneRun]) -> tuple[StudyTable, ...]:
    """The runs, what they come to, and every candidate; raises UsageError where no candidate worked in all of them."""
    found = spreads(runs)
    if not found:
        raise UsageError("no candidate worked in every run; `explore samples list --status failed` says why")
    return _runs_table(runs, found), _verdict_table(runs, found), _candidates_table(runs, found)


def _runs_table(runs: Sequence[OneRun], found: Sequence[Spread]) -> StudyTable:
    rows = []
    for number, run in enumerate(runs):
        shift = median(spread.medians_s[number] / spread.median_s for spread in found) - 1
        told = noise_text(run.noise_floor, run.reference, run.kinds)
        rows.append(
            (str(number + 1), str(len(run.medians_s)), f"{100 * shift:+.2f} %", told, f"{run.wall_s:.0f} s")
        )
    columns = (
        ("run", RIGHT),
        ("candidates", RIGHT),
        ("against the others", RIGHT),
        ("noise floor it printed", LEFT),
    )
    note = (
        "Against the others: the median, over the candidates, of this run's time over the candidate's median. "
        f"Board: {runs[0].board}; kind of times: {' + '.join(runs[0].kinds)}."
    )
    return StudyTable("Runs", (*columns, ("took", RIGHT)), tuple(rows), (note,))


def _verdict_table(runs: Sequence[OneRun], found: Sequence[Spread]) -> StudyTable:
    rows = [
        ("(max - min) / median of a candidate", *_quantiles([one.relative_range for one in found])),
        ("interquartile range / median", *_quantiles([one.relative_iqr for one in found])),
        ("half the middle 95 % / median", *_quantiles([one.floor for one in found])),
    ]
    floors = [run.noise_floor for run in runs if run.noise_floor is not None]
    notes = ["Over the candidates; the last row is what the noise floor is for the reference kernel."]
    if floors:
        rows.append(("noise floor printed by the runs", *_quantiles(floors)))
        within = sum(one.floor <= max(floors) for one in found)
        notes.append(
            f"{within} of {len(found)} candidates spread no more between runs than the greatest noise floor printed "
            f"(±{100 * max(floors):.1f} %)."
        )
    columns = (("spread between runs", LEFT), ("median", RIGHT), ("95th percentile", RIGHT), ("worst", RIGHT))
    return StudyTable("Spread and noise floor", columns, tuple(rows), tuple(notes))


def _candidates_table(runs: Sequence[OneRun], found: Sequence[Spread]) -> StudyTable:
    ranked = sorted(found, key=lambda one: -one.relative_range)
    rows = tuple(
        (
            one.layer,
            one.algorithm,
            seconds(one.median_s),
            f"{100 * one.relative_range:.2f} %",
            f"{100 * one.relative_iqr:.2f} %",
        )
        for one in ranked
    )
    columns = (
        ("layer", LEFT),
        ("algorithm", LEFT),
        ("median of medians", RIGHT),
        ("(max - min) / median", RIGHT),
    )
    title = f"Candidates, over {len(runs)} runs, the widest first"
    return StudyTable(title, (*columns, ("IQR / median", RIGHT)), rows)


def _quantiles(fractions: Sequence[float]) -> tuple[str, str, str]:
    middle, high, worst = np.percentile(np.asarray(fractions, dtype=np.float64), [50, 95, 100])
    return f"{100 * middle:.2f} %", f"{100 * high:.2f} %", f"{100 * worst:.2f} %"
