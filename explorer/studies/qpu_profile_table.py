"""Profiles of launches as tables, and layers in the roofline as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.runs.figures import new_figure, plain_ticks
from explorer.studies.qpu_profile import LayerProfile, PlanProfile, totals
from explorer.studies.study_table import StudyTable
from explorer.terminal.units import seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST_SHARE = 0.02
_LAYERS = (
    ("layer", "left"),
    ("computes", "left"),
    ("algorithm", "left"),
    ("time", "right"),
    ("share of peak", "right"),
    ("MB moved", "right"),
    ("MB, least", "right"),
    ("of its bound", "right"),
    ("bound by", "left"),
    ("the QPUs' time", "left"),
)
_SPARE = ("computes", "MB, least", "the QPUs' time", "MB moved", "share of peak")
_NETWORKS = (
    ("network", "left"),
    ("time", "right"),
    ("arithmetic at peak", "right"),
    ("bytes that must move", "right"),
    ("larger of both", "right"),
    ("share of the larger", "right"),
    ("larger of both, layer by layer", "right"),
    ("share of these", "right"),
    ("MB moved", "right"),
    ("MB, least", "right"),
    ("share of peak", "right"),
)


def layer_table(found: PlanProfile) -> StudyTable:
    """One row for each layer of the launches, in turn, and their sum."""
    rows = [
        (
            one.step.name,
            one.step.spec.describe(),
            one.step.choice.algorithm,
            *_numbers([one]),
            one.bound.name,
            _shares(one),
        )
        for one in found.layers
    ]
    rows.append(("all", "", "", *_numbers(found.layers), "", ""))
    notes = (
        f"Launches: {len(found.launches_s)}, {seconds(found.time_s)} with their calls (simulated), on "
        f"{found.profile.name}, profile {found.profile.hash[:12]}. A layer's bound is the larger of its arithmetic at "
        "peak and of the bytes that must move, each tensor once, at the bandwidth of memory.",
    )
    return StudyTable(f"{found.plan.model_name} on the QPUs: layers", _LAYERS, tuple(rows), notes, _SPARE)


def network_table(found: Sequence[PlanProfile]) -> StudyTable:
    """How near each network comes to its bounds."""
    rows = []
    for one in found:
        of = totals(one.layers)
        larger = max(of["arithmetic_s"], of["memory_s"])
        peak = sum(layer.operations for layer in one.layers) / (one.time_s * one.layers[0].peak_per_s)
        rows.append(
            (
                f"{one.plan.model_name} on {one.profile.name}",
                seconds(one.time_s),
                seconds(of["arithmetic_s"]),
                seconds(of["memory_s"]),
                seconds(larger),
                f"{100 * larger / one.time_s:.0f} %",
                seconds(of["bound_s"]),
                f"{100 * of['bound_s'] / one.time_s:.0f} %",
                f"{of['moved_bytes'] / 1e6:.1f}",
                f"{of['least_bytes'] / 1e6:.1f}",
                f"{100 * peak:.0f} %",
            )
        )
    hashes = ", ".join(dict.fromkeys(f"{one.profile.name} {one.profile.hash[:12]}" for one in found))
    return StudyTable(
        "How near networks come to their bounds", _NETWORKS, tuple(rows), (f"Profiles: {hashes}.",)
    )


def write_roofline(found: PlanProfile, path: Path) -> None:
    """Every layer with arithmetic by its operations for each byte that must move; an SVG, PNG or PDF by its name."""
    _roofline(found).savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)


def _roofline(found: PlanProfile) -> Figure:
    figure, axes = new_figure(8, 5.5)
    layers = [one for one in found.layers if one.operations]
    for name in sorted({one.bound.name for one in layers}):
        own = [one for one in layers if one.bound.name == name]
        intensities = [one.operations / one.least_bytes for one in own]
        axes.scatter(
            intensities, [one.operations / one.time_s / 1e9 for one in own], s=18, label=f"bound by {name}"
        )
    if layers:
        peak, bandwidth = layers[0].peak_per_s, layers[0].bytes_per_s
        least = min(one.operations / one.least_bytes for one in layers)
        most = max(2 * peak / bandwidth, *(one.operations / one.least_bytes for one in layers))
        ends = [least / 1.5, peak / bandwidth, most * 1.5]
        axes.plot(ends, [min(peak, x * bandwidth) / 1e9 for x in ends], color="black", linewidth=0.9)
        axes.legend(fontsize=8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="operations for each byte that must move",
        ylabel="GFLOP/s (simulated)",
    )
    plain_ticks(axes.xaxis, axes.yaxis)
    axes.set_title(
        f"{found.plan.model_name} on {found.profile.name}", fontsize=10, loc="left", parse_math=False
    )
    return figure


def _numbers(layers: Sequence[LayerProfile]) -> tuple[str, ...]:
    of = totals(layers)
    operations = sum(one.operations for one in layers)
    peak = operations / (of["time_s"] * layers[0].peak_per_s)
    return (
        seconds(of["time_s"]),
        f"{100 * peak:.0f} %" if operations else "-",
        f"{of['moved_bytes'] / 1e6:.2f}",
        f"{of['least_bytes'] / 1e6:.2f}",
        f"{100 * of['bound_s'] / of['time_s']:.0f} %",
    )


def _shares(one: LayerProfile) -> str:
    ordered = sorted(one.bound.shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in ordered if share >= SMALLEST_SHARE)
