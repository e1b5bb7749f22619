"""Every layer's algorithm, split, tile and time."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from explorer.report.exhibits import CaptionedFigure, Exhibit, counted
from explorer.report.section import Cell, code
from explorer.runs.data import RunData
from explorer.runs.figures import algorithm_colours, new_figure
from explorer.runs.frames import steps_frame, where_timed
from explorer.terminal.units import seconds

LONGEST = 5
INCHES_PER_STEP = 0.24


class Layers:
    """Where the time goes, by layer and by algorithm."""

    name = "layers"
    title = "Algorithms and times of the layers"
    place = 30
    needs = "plan.json"

    def applies(self, run: RunData) -> bool:
        return True

    def cells(self, run: RunData) -> Sequence[Cell]:
        return code(__name__, "layer_times(run)", "algorithm_shares(run)", "layer_table(run)")


def layer_times(run: RunData) -> CaptionedFigure:
    """A bar per step, coloured by algorithm."""
    from matplotlib.patches import Patch

    steps = steps_frame(run)
    figure, axes = new_figure(9.5, INCHES_PER_STEP * max(len(steps), 6) + 1.2)
    colours = algorithm_colours(steps["algorithm"])
    axes.barh(
        range(len(steps)),
        1e3 * steps["time_s"],
        color=[colours[name] for name in steps["algorithm"]],
        height=0.8,
    )
    axes.set_yticks(range(len(steps)), _short(steps["layer"]), fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel(f"time {where_timed(run)}, ms ({' + '.join(run.kinds)})")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    handles = [Patch(facecolor=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8)
    return CaptionedFigure(figure, _reading(run, steps))


def algorithm_shares(run: RunData) -> Exhibit:
    """How many steps each algorithm computes and what they take; the longest first."""
    groups = steps_frame(run).groupby("algorithm", sort=True)
    table = pd.DataFrame(
        {
            "steps": groups.size(),
            f"time {where_timed(run)}, ms": 1e3 * groups["time_s"].sum(),
            "share of the network, %": 100 * groups["share"].sum(),
            "the time is": groups["kind"].agg(lambda kinds: " + ".join(sorted(set(kinds)))),
        }
    ).reset_index()
    return Exhibit(table.sort_values(["share of the network, %", "algorithm"], ascending=[False, True]))


def layer_table(run: RunData) -> Exhibit:
    """One row per step, in the order they run."""
    steps = steps_frame(run)
    table = pd.DataFrame(
        {
            "layer": steps["layer"],
            "what it computes": steps["summary"].str.replace("->", "→"),
            "algorithm": steps["algorithm"],
            "split": steps["split"],
            "tile": steps["tile"],
            "layouts": steps["layouts"].str.replace(">", "→"),
            f"time {where_timed(run)}, ms": 1e3 * steps["time_s"],
            "the time is": steps["kind"],
            "share, %": 100 * steps["share"],
        }
    )
    if steps["cpu_only_s"].notna().any() and run.speedup is not None:
        kinds = " + ".join(run.report.cpu_only_kinds) if run.report else "modelled"
        faster = (steps["cpu_only_s"] / steps["expected_s"]).where(
            (steps["expected_s"] > 0) & (steps["cpu_only_s"] > 0)
        )
        table[f"CPU-only ({kinds}) / expected"] = faster
    total = f"The whole network takes {seconds(run.time_s)} ({' + '.join(run.kinds)})."
    return Exhibit(table, total)


def _reading(run: RunData, steps: pd.DataFrame) -> str:
    longest = steps.sort_values(["time_s", "layer"], ascending=[False, True]).head(LONGEST)
    first = longest.iloc[0]
    best = steps.groupby("algorithm")["share"].sum().sort_values(ascending=False)
    return (
        f"The {len(longest)} longest of {counted(len(steps), 'step')} take {100 * longest['share'].sum():.0f} % of "
        f"{seconds(run.time_s)} ({' + '.join(run.kinds)}); the longest is {first['layer']} with "
        f"{seconds(first['time_s'])}, and {best.index[0]} computes {100 * best.iloc[0]:.0f} % of the time."
    )


def _short(names: pd.Series[str]) -> list[str]:
    return [name if len(name) <= 40 else f"…{name[-39:]}" for name in names]
