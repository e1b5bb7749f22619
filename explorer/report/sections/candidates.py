"""The measured candidates of the layers that take most time: time against memory traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from explorer.report.drawing import draw_point, draw_ring, new_panel, spans_much
from explorer.report.exhibits import CaptionedFigure, Exhibit, Panel, counted, listed
from explorer.report.sections.staircase import draw_staircase, unbeaten
from explorer.report.svg import Mark
from explorer.runs.data import RunData
from explorer.runs.figures import plain_ticks
from explorer.runs.frames import steps_frame
from explorer.runs.reading import SILENT, alike, more_text
from explorer.terminal.units import seconds

PANELS = 6
SLOWEST = 8.0  # times the fastest: what is slower is counted, but would squeeze the rest into a corner
MB = 1e6


@dataclass(frozen=True, eq=False)
class LayerCandidates:
    """The working candidates of one layer and of all that are the same: `rows` of samples.csv, `chosen` among them.

    Those that take more than `SLOWEST` times the fastest's time are only counted, in `slower`.
    """

    name: str
    step: int  # of the plan, from 1: the first of those alike
    alike: int  # steps of the network that are this layer
    share: float  # of the network's time, all alike together
    rows: pd.DataFrame
    chosen: pd.Series[bool]
    slower: int

    @property
    def fastest(self) -> pd.Series[Any]:
        return self.rows.sort_values(["time_s", "traffic_bytes", "candidate"]).iloc[0]

    @property
    def fastest_s(self) -> float:
        return float(self.fastest["time_s"])

    @property
    def chosen_s(self) -> float | None:
        """None where what the plan has was not measured, or is among the far slower."""
        return float(self.rows["time_s"][self.chosen].min()) if self.chosen.any() else None

    @property
    def is_fastest(self) -> bool:
        """Whether the plan's candidate is as fast as the fastest, by what readings may claim."""
        return self.chosen_s is not None and alike(self.chosen_s, self.fastest_s)

    @property
    def saved_bytes_share(self) -> float:
        """What part of the bytes the leanest saves beside the fastest; of equally fast ones beside the leanest."""
        equal = self.rows[self.rows["time_s"] <= (1 + SILENT) * self.fastest_s]
        least = float(equal["traffic_bytes"].min())
        return 1 - float(self.leanest["traffic_bytes"]) / least if least else 0.0

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
    """A panel per layer, bytes moved across and time up, logarithmic where they span much."""
    layers = longest_layers(run)
    panels = [_panel(layer) for layer in layers]
    names = [name for layer in layers for name in layer.rows["algorithm"]]
    return CaptionedFigure(panels, _reading(layers), names)


def candidates_table(run: RunData) -> Exhibit:
    """Per layer: what the plan chose, the fastest, and the one that moves the fewest bytes."""
    layers = longest_layers(run)
    frame = pd.DataFrame([_table_row(layer) for layer in layers])
    return Exhibit(
        frame, label="Candidates of the longest layers", layers=tuple(layer.step for layer in layers)
    )


def _layer(steps: pd.DataFrame, rows: pd.DataFrame) -> LayerCandidates:
    near = rows[rows["time_s"] <= SLOWEST * rows["time_s"].min()]
    chosen = near["candidate"].isin(steps["candidate"])
    share = float(steps["share"].sum())
    step = int(str(steps.index[0])) + 1
    return LayerCandidates(
        steps["layer"].iloc[0], step, len(steps), share, near, chosen, len(rows) - len(near)
    )


def _panel(layer: LayerCandidates) -> Panel:
    figure, axes = new_panel()
    across, up = layer.rows["traffic_bytes"] / MB, 1e3 * layer.rows["time_s"]
    draw_staircase(axes, across, up)
    marks = {}
    rows = layer.rows.to_dict("records")
    for number, (row, x, y, is_chosen) in enumerate(zip(rows, across, up, layer.chosen, strict=True)):
        gid = f"mark-{number}"
        draw_point(axes, x, y, str(row["algorithm"]), gid)
        how = " ".join(str(row[name]) for name in ("split", "tile") if row[name])
        text = f"{row['algorithm']} {how}: {seconds(row['time_s'])} ({row['kind']}), {x:.3g} MB"
        marks[gid] = Mark(text, layer.step)
        if is_chosen:
            draw_ring(axes, x, y)
    for values, scale, axis in ((across, axes.set_xscale, axes.xaxis), (up, axes.set_yscale, axes.yaxis)):
        if spans_much(values.min(), values.max()):
            scale("log")
            plain_ticks(axis)
    axes.margins(0.08)
    axes.set_xlabel("bytes moved, MB (counted)")
    axes.set_ylabel(f"time alone, ms ({' + '.join(sorted(set(layer.rows['kind'])))})")
    alike = "" if layer.alike == 1 else f" and {layer.alike - 1} alike"
    return Panel(figure, f"{layer.step}. {layer.name}{alike}, {100 * layer.share:.0f} % of the time", marks)


def _reading(layers: tuple[LayerCandidates, ...]) -> str:
    """What the plan takes of each layer's candidates, and what fewer bytes would cost; ties are no difference."""
    share = 100 * sum(layer.share for layer in layers)
    slower = {
        layer: time_s for layer in layers if (time_s := layer.chosen_s) is not None and not layer.is_fastest
    }
    text = f"Of these {counted(len(layers), 'layer')} ({share:.0f} % of the time) the plan takes "
    if not any(layer.chosen.any() for layer in layers):
        text += "none of the candidates shown"
    elif not slower:
        text += "a candidate within 1 % of the fastest in each"
    else:
        costs = (
            f"{layer.name} ({more_text(time_s, layer.fastest_s)} alone)" for layer, time_s in slower.items()
        )
        text += f"a candidate slower alone than another in {listed(list(costs))}, and within 1 % of the fastest in "
        text += f"the {len(layers) - len(slower)} others"
    saving = {layer: saved for layer in layers if (saved := layer.saved_bytes_share) >= SILENT}
    dear = [layer for layer in saving if layer.leanest["time_s"] >= (1 + SILENT) * layer.fastest_s]
    if not dear:
        return f"{text}; nowhere would fewer bytes cost time."
    most = max(dear, key=lambda layer: (layer.leanest["time_s"] / layer.fastest_s, layer.name))
    return (
        f"{text}. Fewer bytes than the fastest's cost time in {len(dear)} of them; most in {most.name}, where "
        f"{100 * saving[most]:.2g} % fewer take {more_text(most.leanest['time_s'], most.fastest_s)} time."
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
