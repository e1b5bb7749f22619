"""Two runs or plans side by side: each layer's algorithm and time, and the totals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.plan import are_of_one_model
from explorer.errors import RunDataError
from explorer.runs.data import RunData, open_run, open_runs
from explorer.runs.frames import steps_frame, was_run

DECISIONS = ("split", "tile", "layouts")
MOST = 0.8  # of a difference in time, which the layers that explain it make up
FEW = 5  # of them are named at most

Step = Mapping[str, Any]


@dataclass(frozen=True)
class Half:
    """One side's way to compute a layer."""

    algorithm: str
    time_s: float
    kind: str


@dataclass(frozen=True)
class Row:
    """One layer; a side is None where it has no such step. `differs` names the decisions that are not the same, and
    `why` says what they are.
    """

    layer: str
    first: Half | None
    second: Half | None
    differs: tuple[str, ...]
    why: str = ""

    @property
    def gap_s(self) -> float:
        """Seconds that the second takes longer for it; a side without the step takes none."""
        first, second = (half.time_s if half else 0.0 for half in (self.first, self.second))
        return second - first

    @property
    def ratio(self) -> float | None:
        """The second's time over the first's; None where one is missing or takes no time."""
        if self.first is None or self.second is None or not self.first.time_s or not self.second.time_s:
            return None
        return self.second.time_s / self.first.time_s


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs and their layers: the first's order, steps of the second alone where they belong.

    Times are those in the run where both bundles were run; otherwise each step's alone, and the plans' sums.
    """

    first: RunData
    second: RunData
    rows: tuple[Row, ...]
    in_the_run: bool

    @property
    def totals_s(self) -> tuple[float, float]:
        """The networks' times."""
        if self.in_the_run:
            return self.first.time_s, self.second.time_s
        return self.first.plan.predicted_s, self.second.plan.predicted_s

    @property
    def ratio(self) -> float:
        """The second network's time over the first's."""
        return self.totals_s[1] / self.totals_s[0]

    @property
    def explaining(self) -> tuple[Row, ...]:
        """The layers computed otherwise whose times differ most, the largest difference first: a few, or as many as
        make up most of all that such layers differ by. None where times are of different kinds.
        """
        if self.first.kinds != self.second.kinds:
            return ()
        rows = sorted((row for row in self.rows if row.why), key=lambda row: -abs(row.gap_s))
        whole, found, sum_s = sum(abs(row.gap_s) for row in rows), list[Row](), 0.0
        for row in rows[:FEW]:
            if sum_s >= MOST * whole:
                break
            found.append(row)
            sum_s += abs(row.gap_s)
        return tuple(found)


def compare(first: RunData, second: RunData) -> Comparison:
    """Matches layers by name; raises RunDataError where not one layer is in both."""
    in_the_run = was_run(first) and was_run(second)
    sides = [_steps(run, in_the_run) for run in (first, second)]
    if not sides[0].keys() & sides[1].keys():
        raise RunDataError(
            f"{first.plan.model_name!r} and {second.plan.model_name!r} have no layer of the same name: compare two "
            "runs of one model"
        )
    order = _merged(list(sides[0]), list(sides[1]))
    return Comparison(first, second, tuple(_row(layer, *sides) for layer in order), in_the_run)


def resolve_pair(first: str, second: str, runs_directory: Path) -> tuple[RunData, RunData]:
    """What two words mean: a run's directory, a plan file, or a device that has a run in `runs_directory`.

    Of a device's runs the one of the other side's model is meant; RunDataError where that leaves none or several.
    """
    sides = [_candidates(word, runs_directory) for word in (first, second)]
    pairs = [(a, b) for a in sides[0] for b in sides[1] if are_of_one_model(a.plan, b.plan)]
    if len(pairs) == 1:
        return pairs[0]
    if len(sides[0]) == len(sides[1]) == 1:
        return sides[0][0], sides[1][0]
    if not pairs:
        raise RunDataError(f"{first} and {second} have no run of the same model; `explore runs` lists them")
    found = ", ".join(f"{a.directory} and {b.directory}" for a, b in pairs)
    raise RunDataError(f"{first} and {second} may mean {found}: name the directories")


def _candidates(word: str, runs_directory: Path) -> list[RunData]:
    if Path(word).exists():
        return [open_run(word)]
    runs = open_runs(runs_directory) if runs_directory.is_dir() else ()
    found = [run for _, run in runs if isinstance(run, RunData) and run.plan.device == word]
    if not found:
        raise RunDataError(
            f"{word!r} is no run, no plan file, and no device with a run in {runs_directory}; `explore runs` lists them"
        )
    return found


def _merged(first: list[str], second: list[str]) -> list[str]:
    """The first's order; what only the second has comes right after the step before it."""
    merged = list(first)
    for index, name in enumerate(second):
        if name not in merged:
            place = merged.index(second[index - 1]) + 1 if index else 0
            merged.insert(place, name)
    return merged


def _steps(run: RunData, in_the_run: bool) -> dict[str, Step]:
    """The steps by name, in the order they run."""
    frame = steps_frame(run)
    if not in_the_run:
        frame = frame.assign(time_s=frame["expected_s"], kind=frame["expected_kind"])
    rows = frame.to_dict("records")
    return {str(row["layer"]): {str(name): value for name, value in row.items()} for row in rows}


def _row(layer: str, first: Mapping[str, Step], second: Mapping[str, Step]) -> Row:
    one, other = first.get(layer), second.get(layer)
    if one is None or other is None:
        return Row(layer, _half(one), _half(other), (), "only in B" if one is None else "only in A")
    differs = _differs(one, other)
    why = "; ".join(f"{name} {_told(other[name])} in place of {_told(one[name])}" for name in differs)
    return Row(layer, _half(one), _half(other), differs, why)


def _told(decisions: Any) -> str:
    return str(decisions) or "none"


def _differs(first: Step, second: Step) -> tuple[str, ...]:
    """An algorithm has its own splits and tiles: where it is another, they say nothing more."""
    if first["algorithm"] != second["algorithm"]:
        return ("algorithm",)
    return tuple(name for name in DECISIONS if first[name] != second[name])


def _half(step: Step | None) -> Half | None:
    return None if step is None else Half(str(step["algorithm"]), float(step["time_s"]), str(step["kind"]))
