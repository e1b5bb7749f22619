"""A front as a rich table."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from explorer.front.front import Front
from explorer.front.search import Knobs
from explorer.terminal.units import seconds

KIB = 1024


def front_table(front: Front, noise: str) -> Table:
    """One row per plan of the front, the fastest first; below it how many are beaten, and the noise floor."""
    table = Table(title="front of latency, memory and CPU time", title_justify="left", pad_edge=False)
    for title in (
        "plan",
        "latency",
        "activations",
        "CPU time",
        "predicted",
        "times are",
        "error",
        "launches",
        "knobs",
    ):
        table.add_column(title, justify="left" if title in ("plan", "times are", "knobs") else "right")
    for plan in front.plans:
        table.add_row(
            plan.name,
            seconds(plan.latency_s),
            f"{plan.peak_memory_bytes / KIB:,.0f} KiB",
            seconds(plan.cpu_time_s),
            seconds(plan.predicted_s),
            plan.kind,
            f"{plan.largest_error:.1e}",
            str(plan.launches),
            knobs_text(plan.knobs),
        )
    table.caption = (
        f"{len(front.beaten)} more were run and are beaten by one of these; {front.not_run} more were not run, "
        f"being close to one that was\nnoise floor: {escape(noise)}"
    )
    table.caption_justify = "left"
    return table


def knobs_text(knobs: Knobs) -> str:
    """The knobs in a few words."""
    cap = "no cap" if knobs.cap_bytes is None else f"at most {knobs.cap_bytes / KIB:,.0f} KiB"
    return f"{cap}, {knobs.qpus} QPUs, {knobs.cores_free} cores free, CPU time x {knobs.cpu_price:.2g}"
