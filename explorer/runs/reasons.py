"""reasons.csv: why each candidate of a run was measured, and what the network would cost through it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from explorer.runs.report import MeasuredCandidate

REASONS_FILE = "reasons.csv"
# Of reasons.csv, with what they say. Empty where there is nothing to say.
REASON_COLUMNS = {
    "round": "in which it was measured, from 1",
    "spec_hash": "hash of the layer, as in samples.csv",
    "candidate": "hash of layer and choice, as in samples.csv",
    "expected_s": "seconds that the cost model predicted when it was asked for",
    "expected_low_s": "seconds: lower end of that prediction's interval",
    "expected_high_s": "seconds: upper end of that prediction's interval",
    "gain": "part of the network's time that it was expected to save",
    "needed": "yes: no plan was possible without it",
    "reason": "why it was measured",
    "through_s": "seconds of the fastest network that computes the layer like this, by the times of candidates alone",
}


def write_reasons(measured: Iterable[MeasuredCandidate], path: Path) -> None:
    """reasons.csv, columns as `REASON_COLUMNS`, in the order that candidates were asked for."""
    asked = [(one.asked, one) for one in measured if one.asked is not None]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(REASON_COLUMNS)
        for asking, one in sorted(asked, key=lambda pair: pair[0].place):
            p = asking.predicted
            times = (p.time_s, p.low_s, p.high_s)
            needed = "yes" if asking.is_needed else ""
            row = (one.spec_hash, one.candidate, *times, asking.gain, needed, asking.reason, one.through_s)
            writer.writerow((asking.round, *row))
