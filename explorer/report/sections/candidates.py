"""The measured candidates of the layers that take most time: time against memory traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from explorer.report.exhibits import CaptionedFigure, Exhibit, counted
from explorer.report.sections.staircase import draw_staircase, unbeaten
from explorer.runs.data import RunData
from explorer.runs.figures import algorithm_colours, plain_ticks
from explorer.runs.frames import steps_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = 6
SLOWEST = 8.0  # times the fastest: what is slower is counted, but would squeeze the rest into a corner
COLUMNS = 3
MARKERS = {"simulated": "o", "modelled": "^", "silicon": "s", "host": "D"}
MB = 1e6


@dataclass(frozen=True, eq=False)
class LayerCandidates:
    """The working candidates of one layer and of all that are the same: `rows` of samples.csv, `chosen` among them.

    Those that take more than `SLOWEST` times the fastest's time are only counted, in `slower`.
    """

    name: str
    alike: int  # steps of the network that are this layer
    share: float  # of the network's time, all alike together
    rows: pd.DataFrame
    chosen: pd.Series[bool]
    slower: int

    @property
    def fastest(self) -> pd.Series[Any]:
        return self.rows.sort_values(["time_s", "traffic_bytes", "candidate"]).iloc[0]

    @property
    def leanest(self) -> pd.Series[Any]:
        """The fastest of those that move the fewest bytes."""
        return self.rows.sort_values(["traffic_bytes", "time_s", "candidate"]).iloc[0]


def longest_layers(run: RunData) -> tuple[LayerCandidates, ...]:
    """The layers that take most time and have working samples, at most `PANELS`, the longest first."""
    if run.samples is None:
        return ()
    working = run.samples[(run.samples["status"] == "ok") & (run.samples["time_s"] > 0)]
    steps = steps_frame(run)
    steps = steps[steps["spec_hash"].isin(working["spec_hash"]) & (steps["time_s"] > 0)]
    shares = steps.groupby("spec_hash", sort=False)["share"].sum().sort_values(ascending=False, kind="stable")
    return tuple(
        _layer(steps[steps["spec_hash"] == spec], working[working["spec_hash"] == spec])
        for spec in shares.index[:PANELS]
    )


def candidates_figure(run: RunData) -> CaptionedFigure:
    """A panel per layer, bytes moved across and time up, both logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = longest_layers(run)
    rows = -(-len(layers) // COLUMNS)
    figure = Figure(figsize=(9.5, 3.0 * rows + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    colours = algorithm_colours(name for layer in layers for name in layer.rows["algorithm"])
    for axes, layer in zip(panels, layers, strict=False):
        _panel(axes, layer, colours)
    for axes in panels[len(layers) :]:
        axes.set_axis_off()
    for index, axes in enumerate(panels[: len(layers)]):
        if index % COLUMNS == 0:
            axes.set_ylabel("time alone, ms")
        if index + COLUMNS >= len(layers):
            axes.set_xlabel("bytes moved, MB (counted)")
    handles = {
        label: h for axes in panels for h, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    labels = sorted(handles)
    figure.legend(
        [handles[label] for label in labels], labels, loc="outside lower center", ncols=3, fontsize=8
    )
    return CaptionedFigure(figure, _reading(layers))


def candidates_table(run: RunData) -> Exhibit:
    """Per layer: what the plan chose, the fastest, and the one that moves the fewest bytes."""
    return Exhibit(pd.DataFrame([_table_row(layer) for layer in longest_layers(run)]))


def _layer(steps: pd.DataFrame, rows: pd.DataFrame) -> LayerCandidates:
    near = rows[rows["time_s"] <= SLOWEST * rows["time_s"].min()]
    chosen = near["candidate"].isin(steps["candidate"])
    share = float(steps["share"].sum())
    return LayerCandidates(steps["layer"].iloc[0], len(steps), share, near, chosen, len(rows) - len(near))


def _panel(axes: Axes, layer: LayerCandidates, colours: Mapping[str, tuple[float, ...]]) -> None:
    across, up = layer.rows["traffic_bytes"] / MB, 1e3 * layer.rows["time_s"]
    draw_staircase(axes, across, up)
    for key, rows in layer.rows.groupby(["algorithm", "kind"]):
        algorithm, kind = map(str, key)
        axes.scatter(
            across[rows.index],
            up[rows.index],
            s=18,
            color=colours[algorithm],
            marker=MARKERS.get(kind, "x"),
            label=f"{algorithm} ({kind})",
            zorder=2,
        )
    axes.scatter(
        across[layer.chosen],
        up[layer.chosen],
        s=110,
        facecolors="none",
        edgecolors="black",
        label="in the plan",
        zorder=3,
    )
    alike = "" if layer.alike == 1 else f" and {layer.alike - 1} alike"
    axes.set_title(f"{layer.name[len(alike) - 36 :]}{alike}", fontsize=9, loc="left", parse_math=False)
    axes.set(yscale="log", xscale="log")
    plain_ticks(axes.xaxis, axes.yaxis)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def _reading(layers: tuple[LayerCandidates, ...]) -> str:
    fastest = sum(bool(layer.chosen.get(layer.fastest.name)) for layer in layers)
    costs = {layer.name: layer.leanest["time_s"] / layer.fastest["time_s"] for layer in layers}
    dearest = max(costs, key=lambda name: costs[name])
    both = sum(cost == 1.0 for cost in costs.values())
    tail = (
        f"at most, in {dearest}, the candidate that moves the fewest bytes takes {costs[dearest]:.3g} times as long "
        "as the fastest"
        if costs[dearest] > 1
        else "nowhere do fewer bytes cost time"
    )
    return (
        f"The plan takes the fastest measured candidate in {fastest} of these {counted(len(layers), 'layer')} "
        f"({100 * sum(layer.share for layer in layers):.0f} % of the time); in {both} of them the fastest also moves "
        f"the fewest bytes, and {tail}."
    )


def _table_row(layer: LayerCandidates) -> dict[str, object]:
    chosen = layer.rows[layer.chosen]
    plan = chosen.iloc[0] if len(chosen) else None
    return {
        "layer": layer.name,
        "alike": layer.alike,
        "share, %": 100 * layer.share,
        "candidates": len(layer.rows),
        "slower still": layer.slower,
        "unbeaten": len(unbeaten(layer.rows["traffic_bytes"], layer.rows["time_s"])),
        "in the plan, ms": None if plan is None else 1e3 * plan["time_s"],
        "in the plan, MB": None if plan is None else plan["traffic_bytes"] / MB,
        "fastest, ms": 1e3 * layer.fastest["time_s"],
        "fewest bytes, ms": 1e3 * layer.leanest["time_s"],
        "fewest bytes, MB": layer.leanest["traffic_bytes"] / MB,
        "the times are": " + ".join(sorted(set(layer.rows["kind"]))),
    }
