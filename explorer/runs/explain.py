"""Why a layer of a run is computed as it is: its candidates, why they were measured, what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codegen.plan import PlanStep
from codegen.schedule import Values
from codegen.stored_weights import WEIGHTS, weight_type
from codegen.suggestion import unknown
from codegen.target import WeightType
from explorer.errors import RunDataError
from explorer.runs.data import RunData
from explorer.runs.reading import SILENT, alike
from explorer.terminal.units import seconds

_REMEDY = "make the run again by `explore run`"


@dataclass(frozen=True)
class Explained:
    """One measured candidate. Times in seconds, None where there is none; `through_s`: of the fastest network that has
    it; `expected_s`: predicted when it was asked for, with the interval.
    """

    candidate: str
    algorithm: str
    split: str
    tile: str
    layouts: str
    expected_s: tuple[float, float, float]
    time_s: float | None
    through_s: float | None
    round: int
    reason: str
    message: str
    is_chosen: bool


@dataclass(frozen=True)
class Explanation:
    """A step of the plan and its layer's measured candidates, the fastest first, those that do not work last."""

    step: PlanStep
    candidates: tuple[Explained, ...]
    weights: WeightType = "float32"  # that the run asked for

    @property
    def winner(self) -> Explained | None:
        """What the plan has; None where that was not measured in this run."""
        return next((one for one in self.candidates if one.is_chosen), None)

    def lines(self) -> Iterator[str]:
        """Why the winner won, and what the runner-up lost by."""
        winner = self.winner
        if self.step.spec.weights and weight_type(self.step.choice) != self.weights:
            yield f"its weights stay float32: {self._why_float32()}"
        timed = [one for one in self.candidates if one.time_s is not None]
        if winner is None or winner.time_s is None:
            yield f"{self.step.name}: its choice was not measured in this run"
            return
        yield f"chosen of {len(self.candidates)} measured: {_name(winner)}, {seconds(winner.time_s)}"
        least_s = (1 - SILENT) * winner.time_s
        faster = [one for one in timed if one.time_s is not None and one.time_s < least_s]
        if faster:
            yield (
                f"{len(faster)} take less alone, {_name(faster[0])} {seconds(faster[0].time_s)}: changes of layout, "
                "launches or the layers beside it cost more than that saves"
            )
        else:
            yield "none takes less alone, but for differences below 1 %"
        rival = min((one for one in timed if not one.is_chosen), key=_rank, default=None)
        if rival is None:
            yield "no other candidate works"
        elif rival.through_s is not None and winner.through_s is not None:
            lost_s = max(0.0, rival.through_s - winner.through_s)
            longer = (
                "as long within 1 %"
                if alike(rival.through_s, winner.through_s)
                else f"{seconds(lost_s)} ({100 * lost_s / winner.through_s:.2g} %) longer"
            )
            yield f"runner-up: {_name(rival)}, {seconds(rival.time_s)}: the network would take {longer}"
        else:
            yield f"runner-up: {_name(rival)}, {seconds(rival.time_s)}"

    def _why_float32(self) -> str:
        narrow = sum(f"{WEIGHTS}={self.weights}" in one.tile.split() for one in self.candidates)
        if narrow:
            return f"{narrow} measured that store {self.weights} were not chosen"
        return f"{self.step.choice.algorithm} unpacks no {self.weights} for nothing"


def explain(run: RunData, layer: str) -> Explanation:
    """Raises RunDataError for a layer that the plan has not, listing those that it has, and where the run did not
    record its reasons.
    """
    step = next((step for step in run.plan.steps if step.name == layer), None)
    if step is None:
        names = [step.name for step in run.plan.steps]
        raise RunDataError(
            f"{run.directory} has no layer {unknown(layer, names)} there are: {', '.join(names)}"
        )
    samples, reasons = run.samples, run.reasons
    if samples is None or reasons is None:
        raise RunDataError(f"{run.directory} has no samples.csv or no reasons.csv; {_REMEDY}")
    rows = samples[samples["spec_hash"] == step.spec_hash].merge(
        reasons.drop(columns="spec_hash"), on="candidate"
    )
    found = [_explained(row, step) for row in rows.to_dict("records")]
    never = float("inf")
    found.sort(key=lambda one: (never if one.time_s is None else one.time_s, not one.is_chosen))
    return Explanation(step, tuple(found), run.plan.weights)


def _explained(row: Mapping[Any, Any], step: PlanStep) -> Explained:
    choice = step.choice
    own = (choice.algorithm, axes_text(choice.split), axes_text(choice.tile))
    inputs, outputs = str(row["input_layouts"]), str(row["output_layouts"])
    layouts = (" ".join(choice.input_layouts), " ".join(choice.output_layouts))
    here = (str(row["algorithm"]), str(row["split"]), str(row["tile"]))
    times = [float(str(row[name])) for name in ("expected_s", "expected_low_s", "expected_high_s")]
    return Explained(
        candidate=str(row["candidate"]),
        algorithm=here[0],
        split=here[1],
        tile=here[2],
        layouts=f"{inputs} -> {outputs}",
        expected_s=(times[0], times[1], times[2]),
        time_s=_number(row["time_s"]) if row["status"] == "ok" else None,
        through_s=_number(row["through_s"]),
        round=int(float(str(row["round"]))),
        reason=str(row["reason"]),
        message=str(row["message"]),
        is_chosen=here == own and (inputs, outputs) == layouts,
    )


def axes_text(values: Values) -> str:
    """As samples.csv has them."""
    return " ".join(f"{name}={value}" for name, value in values)


def _number(value: object) -> float | None:
    number = float(str(value))
    return None if number != number else number


def _rank(one: Explained) -> tuple[float, float]:
    never = float("inf")
    through_s = never if one.through_s is None else one.through_s
    return through_s, never if one.time_s is None else one.time_s


def _name(one: Explained) -> str:
    return " ".join(word for word in (one.algorithm, one.split, one.tile) if word)


def rows_of(explanation: Explanation) -> Sequence[tuple[str, ...]]:
    """For a table: `HEADINGS`."""
    return tuple(
        (
            "chosen" if one.is_chosen else "",
            one.algorithm,
            one.split,
            one.tile,
            one.layouts,
            f"{seconds(one.expected_s[0])} ({seconds(one.expected_s[1])} to {seconds(one.expected_s[2])})",
            one.message if one.time_s is None else seconds(one.time_s),
            seconds(one.through_s),
            str(one.round),
            one.reason,
        )
        for one in explanation.candidates
    )


HEADINGS = (
    "", "algorithm", "split", "tile", "layouts", "predicted when asked for", "measured", "network through it", "round",
    "why it was measured",
)  # fmt: skip
