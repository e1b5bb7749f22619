"""How near each step of a plan is to what its engine can do, and what keeps it from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.runs.counters import COUNTER_COLUMNS
from explorer.runs.data import RunData
from explorer.runs.frames import steps_frame
from microbench.virtual.counters import Binding, what_binds


@dataclass(frozen=True)
class Limits:
    """Of a step's candidate as it was measured alone. `number`: of the step, from 1.

    `time_s` of kind `kind`; `bound_s` is the roofline's (modelled), set by the resource `bound_by`; `macs` and
    `unique_bytes` are counted from shapes; `binding` is there where the board counts as the simulator does.
    """

    number: int
    layer: str
    engine: str
    algorithm: str
    time_s: float
    kind: str
    share: float
    macs: float
    unique_bytes: float
    bound_s: float
    bound_by: str
    binding: Binding | None

    @property
    def reached(self) -> float:
        """The part of its roofline that it reaches, 0 to 1, or a little more where the roofline is not quite right."""
        return self.bound_s / self.time_s

    @property
    def flops(self) -> float:
        """Useful floating point operations a second, two for a multiplication with addition."""
        return 2 * self.macs / self.time_s

    @property
    def flop_per_byte(self) -> float:
        """Operations for each byte that must be read or written at least."""
        return 2 * self.macs / self.unique_bytes


def limits_of(run: RunData) -> tuple[Limits, ...]:
    """The steps whose candidates were measured and take time, in the order they run; none where nothing was counted."""
    if run.samples is None or run.counters is None:
        return ()
    rows = run.samples.merge(run.counters, on=["spec_hash", "candidate"])
    known = {str(row["candidate"]): row for row in rows.to_dict("records")}
    found = []
    for number, step in enumerate(steps_frame(run).to_dict("records"), 1):
        row = known.get(str(step["candidate"]))
        if row is not None and row["time_s"] > 0 and step["time_s"] > 0:
            found.append(_limits(run, number, step, row))
    return tuple(found)


def _limits(run: RunData, number: int, step: Mapping[Any, Any], row: Mapping[Any, Any]) -> Limits:
    ceilings = run.report.ceilings if run.report else None
    counters = {
        str(name): value
        for name, value in row.items()
        if isinstance(value, float) and value == value and name not in COUNTER_COLUMNS
    }
    return Limits(
        number=number,
        layer=str(step["layer"]),
        engine=str(step["engine"]),
        algorithm=str(step["algorithm"]),
        time_s=float(row["time_s"]),
        kind=str(row["kind"]),
        share=float(step["share"]),
        macs=float(row["macs"]),
        unique_bytes=float(row["unique_bytes"]),
        bound_s=float(row["bound_s"]),
        bound_by=str(row["bound_by"]),
        binding=what_binds(counters, ceilings.qpus, ceilings.issue_cycles) if ceilings else None,
    )
