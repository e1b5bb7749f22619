"""Every layer's algorithm, split, tile and time, and why it takes that long."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from explorer.report.exhibits import Exhibit, counted, kinds_in_headings, listed
from explorer.report.section import Part
from explorer.report.sections.roofline import limits_table, roofline
from explorer.report.sections.why import layer_cards
from explorer.runs.data import RunData
from explorer.runs.frames import steps_frame, where_timed
from explorer.runs.limits import limits_of
from explorer.runs.reading import SILENT
from explorer.terminal.units import seconds

LONGEST = 5
CARDS = (
    "Each layer by itself: its place under the roofline, what binds it, what was chosen and the runner-up, and the "
    "fastest candidates. Times are of candidates alone; the last column is the fastest network that has the candidate."
)


class Layers:
    """Where the time goes, by layer and by algorithm, and what keeps each layer from being faster."""

    name = "layers"
    title = "Layers: times, limits, reasons"
    place = 30
    needs = "plan.json"

    def applies(self, run: RunData) -> bool:
        return True

    def parts(self, run: RunData) -> Sequence[Part]:
        limited: tuple[Part, ...] = (roofline, limits_table) if limits_of(run) else ()
        return (algorithm_shares, layer_table, *limited, CARDS, layer_cards)


def algorithm_shares(run: RunData) -> Exhibit:
    """How many steps each algorithm computes and what they take; the longest first."""
    groups = steps_frame(run).groupby("algorithm", sort=True)
    table = pd.DataFrame(
        {
            "steps": groups.size(),
            f"time {where_timed(run)}, ms": 1e3 * groups["time_s"].sum(),
            "share, %": 100 * groups["share"].sum(),
            "the time is": groups["kind"].agg(lambda kinds: " + ".join(sorted(set(kinds)))),
        }
    ).reset_index()
    table = table.sort_values(["share, %", "algorithm"], ascending=[False, True])
    table = kinds_in_headings(table, f"time {where_timed(run)}, ms")
    return Exhibit(table, label="Time by algorithm", bars=("share, %",))


def layer_table(run: RunData) -> Exhibit:
    """One row per step, in the order they run."""
    steps = steps_frame(run)
    table = pd.DataFrame(
        {
            "step": range(1, len(steps) + 1),
            "layer": steps["layer"],
            f"time {where_timed(run)}, ms": 1e3 * steps["time_s"],
            "the time is": steps["kind"],
            "share, %": 100 * steps["share"],
            "algorithm": steps["algorithm"],
            "what it computes": steps["summary"].str.replace("->", "→"),
            "split and tile": (steps["split"] + " " + steps["tile"]).str.strip(),
        }
    )
    table = kinds_in_headings(table, f"time {where_timed(run)}, ms")
    if steps["cpu_only_s"].notna().any() and run.speedup is not None:
        kinds = " + ".join(run.report.cpu_only_kinds) if run.report else "modelled"
        faster = (steps["cpu_only_s"] / steps["expected_s"]).where(
            (steps["expected_s"] > 0) & (steps["cpu_only_s"] > 0)
        )
        table[f"CPU-only ({kinds}) / expected"] = faster
    return Exhibit(
        table, _reading(run, steps), "Steps of the plan", tuple(range(1, len(steps) + 1)), ("share, %",)
    )


def _reading(run: RunData, steps: pd.DataFrame) -> str:
    """What takes longest; where several take as long within a hundredth, all of them, and many are only counted."""
    order = steps.sort_values(["time_s", "layer"], ascending=[False, True])
    text = f"The whole network takes {seconds(run.time_s)} ({' + '.join(run.kinds)})"
    head = order.head(LONGEST)
    if len(steps) > LONGEST:
        text += f"; the {LONGEST} longest of {counted(len(steps), 'step')} take {100 * head['share'].sum():.0f} % of it"
    longest = order[order["time_s"] > (1 - SILENT) * order["time_s"].iloc[0]]
    if len(longest) > LONGEST:
        return (
            f"{text}. {len(longest)} steps take as long as the longest, {seconds(order['time_s'].iloc[0])}."
        )
    names = listed(list(longest["layer"]))
    verb = "is" if len(longest) == 1 else "are"
    each = "" if len(longest) == 1 else " each"
    return f"{text}. The longest {verb} {names} with {seconds(longest['time_s'].iloc[0])}{each}."
