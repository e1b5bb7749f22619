"""counters.csv: how near its roofline each measured candidate is, and what the board counted while it ran."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from explorer.runs.report import MeasuredCandidate

COUNTERS_FILE = "counters.csv"
# Of counters.csv, with what they say; behind them stands a column for each counter of the board, by its name.
COUNTER_COLUMNS = {
    "spec_hash": "hash of the layer, as in samples.csv",
    "candidate": "hash of layer and choice, as in samples.csv",
    "bound_s": "seconds that no schedule of this work can beat, by the roofline (modelled)",
    "unique_bytes": "bytes that must be read or written at least: each distinct one once, counted from shapes",
    "bound_by": "the resource that sets this bound: compute, load, uniform, store or memory",
}


def write_counters(measured: Sequence[MeasuredCandidate], path: Path) -> None:
    """counters.csv, a row for each candidate that worked, in the order of samples.csv; equal runs write equal bytes."""
    working = [one for one in measured if one.status == "ok"]
    names = sorted({name for one in working for name in one.counters})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COUNTER_COLUMNS, *names))
        for one in working:
            counted = (one.counters.get(name) for name in names)
            unique_bytes = one.work.unique_bytes_read + one.work.bytes_written
            own = (one.spec_hash, one.candidate, one.bound_s, unique_bytes, one.bound_by)
            writer.writerow((*own, *counted))
