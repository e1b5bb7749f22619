"""The steps under the roofline: what they reach, and what binds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from codegen.engine_registry import engine_named
from explorer.report.drawing import draw_point, new_panel
from explorer.report.exhibits import CaptionedFigure, Exhibit, Panel, counted, kinds_in_headings
from explorer.report.svg import INK, Mark
from explorer.runs.data import RunData
from explorer.runs.figures import plain_ticks
from explorer.runs.limits import Limits, limits_of
from explorer.terminal.units import seconds
from microbench.virtual.counters import CYCLES, IDLE, ISSUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEAR = 0.8  # of its roofline is near it


def roofline(run: RunData) -> CaptionedFigure:
    """Operations a byte across, operations a second up, both logarithmic, with the ceilings of the QPUs."""
    steps = [one for one in limits_of(run) if one.macs > 0 and one.unique_bytes > 0]
    figure, axes = new_panel(3.8, 5.2)
    axes.set(xscale="log", yscale="log")
    marks = {}
    for one in steps:
        gid = f"mark-{one.number}"
        draw_point(axes, one.flop_per_byte, one.flops / 1e9, one.algorithm, gid)
        marks[gid] = Mark(_point_text(one), one.number)
    _draw_ceilings(axes, run)
    axes.margins(0.08)
    plain_ticks(axes.xaxis, axes.yaxis)
    kinds = " + ".join(sorted({one.kind for one in limits_of(run)}))
    axes.set_xlabel("operations a byte that must be moved (counted)")
    axes.set_ylabel(f"GFLOP/s, alone ({kinds})")
    reading = _reading(limits_of(run))
    return CaptionedFigure(
        [Panel(figure, "Steps under the roofline", marks)], reading, [one.algorithm for one in steps]
    )


def limits_table(run: RunData) -> Exhibit:
    """A row per step whose candidate was measured: its roofline, and where the QPUs' cycles went."""
    steps = limits_of(run)
    rows = [_row(one) for one in steps]
    table = kinds_in_headings(pd.DataFrame(rows), "time alone, ms")
    if not table["issuing, %"].notna().any():
        table = table.drop(columns=["issuing, %", "waits most for", "waiting for it, %"])
    return Exhibit(
        table,
        "Modelled bounds: the slowest of arithmetic, loads, uniforms, stores and memory, re-reads left out, and what "
        "nothing hides. Cycles are the simulator's, of all QPUs.",
        "Limits of the steps",
        tuple(one.number for one in steps),
        ("of the bound, %",),
    )


def _row(one: Limits) -> dict[str, object]:
    shares = one.binding.shares if one.binding else {}
    waits = {name: share for name, share in shares.items() if name not in (ISSUE, IDLE)}
    most = max(waits, key=lambda name: waits[name], default=None)
    return {
        "step": one.number,
        "layer": one.layer,
        "algorithm": one.algorithm,
        "time alone, ms": 1e3 * one.time_s,
        "the time is": one.kind,
        "bound, ms (modelled)": 1e3 * one.bound_s,
        "set by": one.bound_by,
        "of the bound, %": 100 * one.reached,
        "issuing, %": 100 * shares[ISSUE] if shares else None,
        "waits most for": None if most is None else CYCLES[most].removeprefix("waiting for "),
        "waiting for it, %": None if most is None else 100 * waits[most],
    }


def _point_text(one: Limits) -> str:
    return (
        f"{one.number}. {one.layer}: {one.algorithm}, {one.flops / 1e9:.3g} GFLOP/s at {one.flop_per_byte:.3g} "
        f"operations a byte, {seconds(one.time_s)} ({one.kind})"
    )


def _draw_ceilings(axes: Axes, run: RunData) -> None:
    """What the QPUs can do at most; nothing is drawn where no such ceiling is known."""
    report = run.report
    if report is None or report.ceilings is None or not report.qpu_peak_flops:
        return
    peak, bandwidth = report.qpu_peak_flops / 1e9, report.ceilings.memory_bytes_per_s / 1e9
    low, high = axes.get_xlim()
    knee = peak / bandwidth
    left, right = min(low, knee / 4), max(high, knee * 4)
    middle = (left * knee) ** 0.5
    axes.plot([left, knee, right], [left * bandwidth, peak, peak], color=INK, linewidth=1.2, zorder=2)
    axes.annotate(
        f"QPUs: {peak:g} GFLOP/s", (right, peak), xytext=(-2, 4), textcoords="offset points", ha="right",
        fontsize=8, color=INK,
    )  # fmt: skip
    axes.annotate(
        f"memory: {bandwidth:.3g} GB/s", (middle, middle * bandwidth), xytext=(-6, 4), textcoords="offset points",
        ha="right", fontsize=8, color=INK,
    )  # fmt: skip


def _reading(steps: tuple[Limits, ...]) -> str:
    """How much of the time passes near the roofline, and what binds most of it on engines that count."""
    near = [one for one in steps if one.reached >= NEAR]
    whole = sum(one.share for one in steps)
    text = (
        f"{len(near)} of {counted(len(steps), 'step')} reach at least {100 * NEAR:.0f} % of their own roofline bound "
        f"(modelled); they take {100 * sum(one.share for one in near):.0f} % of the network's time, all measured steps "
        f"{100 * whole:.0f} %."
    )
    by_cause: dict[str, float] = {}
    for one in steps:
        if one.binding and engine_named(one.engine).launches:
            name = " and ".join(CYCLES[cause] for cause in one.binding.causes)
            by_cause[name] = by_cause.get(name, 0.0) + one.share
    if by_cause:
        order = sorted(by_cause.items(), key=lambda item: (-item[1], item[0]))
        told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in order[:3])
        text += f" By what binds the QPUs most in a step, shares of the network's time: {told}."
    return text
