"""An objective: bytes that steps read, re-reads included, and write, counted from shapes."""

from __future__ import annotations

from explorer.objectives.objective import Objective

OBJECTIVES = (
    Objective(
        name="traffic",
        column="traffic_bytes",
        title="traffic",
        unit="B",
        explanation="bytes read and written, counted from shapes",
        of=lambda usage, _: usage.traffic_bytes,
    ),
)
