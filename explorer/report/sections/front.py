"""The plans of a front: latency against peak memory, CPU time and energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from explorer.front.pareto import dominated
from explorer.objectives.registry import objectives
from explorer.report.drawing import new_panel, spans_much
from explorer.report.exhibits import CaptionedFigure, Exhibit, Panel, counted
from explorer.report.sections.staircase import draw_staircase
from explorer.report.svg import INK, Mark
from explorer.runs.algorithm_style import LIGHT
from explorer.runs.data import FRONT_COLUMNS, RunData
from explorer.runs.figures import plain_ticks
from explorer.runs.noise import noise_of_run
from explorer.runs.reading import alike, more_text
from explorer.terminal.units import seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEAR = 1.25  # of the least latency: what the zoom shows
MARKERS = "osD^vP"
LABEL_PIXELS = 34.0, 12.0  # width and height of a name at 100 dots an inch
KIB = 1024


@dataclass(frozen=True)
class Axis:
    """What latency is traded for: its column, what a number is multiplied by to be shown, and the label."""

    column: str
    factor: float
    label: str
    title: str


def front_figure(run: RunData) -> CaptionedFigure:
    """A panel for each: peak memory, CPU time, and energy where it is told; then the same near the least latency."""
    plans = _plans(run)
    near = plans[plans["latency_s"] <= NEAR * plans["latency_s"].min()]
    panels = [_panel(plans, axis, axis.title) for axis in _axes(plans)]
    if 1 < len(near) < len(plans):
        zoom = f"within {100 * (NEAR - 1):.0f} % of the least latency"
        panels += [_panel(near, axis, f"{axis.title}, {zoom}") for axis in _axes(plans)]
    return CaptionedFigure(panels, _reading(plans))


def front_table(run: RunData) -> Exhibit:
    """One row per plan, the fastest first."""
    plans = _plans(run)
    table = pd.DataFrame(
        {
            "plan": plans["plan"],
            "latency, ms": 1e3 * plans["latency_s"],
            "peak memory, KiB": plans["peak_memory_bytes"] / KIB,
            "CPU time, ms": 1e3 * plans["cpu_time_s"],
            **({"energy, mJ": 1e3 * plans["energy_j"]} if _tells_energy(plans) else {}),
            "the times are": plans["kind"],
            **({"the energy is": plans["energy_kind"]} if _tells_energy(plans) else {}),
            "latency / fastest": plans["latency_s"] / plans["latency_s"].min(),
            "memory / fastest": plans["peak_memory_bytes"] / plans["peak_memory_bytes"].iloc[0],
        }
    )
    return Exhibit(table, f"Noise floor: {noise_of_run(run)}.", "Plans of the front")


def _plans(run: RunData) -> pd.DataFrame:
    plans = run.front
    if plans is None:
        return pd.DataFrame(columns=list(FRONT_COLUMNS))
    return plans.sort_values(["latency_s", "peak_memory_bytes", "cpu_time_s", "plan"]).reset_index(drop=True)


def _tells_energy(plans: pd.DataFrame) -> bool:
    return bool(plans["energy_j"].notna().any())


def _axes(plans: pd.DataFrame) -> tuple[Axis, ...]:
    memory = Axis("peak_memory_bytes", 1 / KIB, "peak memory, KiB (counted)", "Latency against memory")
    cpu = Axis("cpu_time_s", 1e3, f"CPU time, ms ({_kinds(plans)})", "Latency against CPU time")
    if not _tells_energy(plans):
        return memory, cpu
    kinds = " + ".join(sorted(set(plans["energy_kind"]) - {""}))
    return memory, cpu, Axis("energy_j", 1e3, f"energy, mJ ({kinds})", "Latency against energy")


def _panel(plans: pd.DataFrame, axis: Axis, title: str) -> Panel:
    """One trade; a plan's marker says what kind its time is of."""
    figure, axes = new_panel()
    known = plans[plans[axis.column].notna()]
    across, latency_ms = axis.factor * known[axis.column], 1e3 * known["latency_s"]
    draw_staircase(axes, across, latency_ms)
    kinds = sorted(set(plans["kind"]))
    marks = {}
    for number, (plan, x, y) in enumerate(zip(known.to_dict("records"), across, latency_ms, strict=True)):
        gid = f"mark-{number}"
        marker = MARKERS[kinds.index(plan["kind"]) % len(MARKERS)]
        axes.plot(
            [x], [y], linestyle="none", marker=marker, color=LIGHT[0], markersize=6, markeredgewidth=0, gid=gid,
            zorder=3,
        )  # fmt: skip
        marks[gid] = Mark(
            f"{plan['plan']}: {seconds(plan['latency_s'])} ({plan['kind']}), {x:.4g} {axis.label}"
        )
    axes.set_xlabel(axis.label)
    axes.set_ylabel(f"latency, ms ({_kinds(plans)})")
    axes.margins(x=0.16, y=0.12)
    for values, scale, side in (
        (across, axes.set_xscale, axes.xaxis),
        (latency_ms, axes.set_yscale, axes.yaxis),
    ):
        if len(values) and spans_much(values.min(), values.max()):
            scale("log")
            plain_ticks(side)
    _label(axes, known["plan"], across, latency_ms)
    return Panel(figure, title, marks)


def _label(axes: Axes, names: pd.Series[str], x: pd.Series[float], y: pd.Series[float]) -> None:
    """Names beside the points, the fastest first; one that would cover another is left to the table."""
    axes.autoscale_view()
    taken: list[tuple[float, float]] = []
    for name, place in zip(names, zip(x, y, strict=True), strict=True):
        right, up = (float(pixels) for pixels in axes.transData.transform(place))
        if any(
            abs(right - other) < LABEL_PIXELS[0] and abs(up - level) < LABEL_PIXELS[1]
            for other, level in taken
        ):
            continue
        taken.append((right, up))
        axes.annotate(
            str(name),
            place,
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=7.5,
            color=INK,
            parse_math=False,
        )


def _kinds(plans: pd.DataFrame) -> str:
    return " + ".join(sorted({kind for kinds in plans["kind"] for kind in kinds.split(" + ")}))


def _reading(plans: pd.DataFrame) -> str:
    fastest = plans.iloc[0]
    smallest = plans.iloc[int(plans["peak_memory_bytes"].to_numpy().argmin())]
    idlest = plans.iloc[int(plans["cpu_time_s"].to_numpy().argmin())]
    if len(plans) == 1:
        return (
            f"The front has one plan ({_kinds(plans)}): {seconds(fastest['latency_s'])}, of which the CPU works "
            f"{seconds(fastest['cpu_time_s'])}, with {_kib(fastest)}."
        )
    told = [o.column for o in objectives() if o.compared and plans[o.column].notna().all()]
    beaten = int(dominated(plans[told].to_numpy(float)).sum())
    verdict = "none is beaten by another in all respects" if not beaten else f"{beaten} are beaten by another"
    memory = _instead(smallest, fastest, "peak_memory_bytes", "holds least", _kib)
    cpu = _instead(idlest, fastest, "cpu_time_s", "needs the CPU least", _cpu)
    return (
        f"Of {counted(len(plans), 'plan')} ({_kinds(plans)}) {verdict}: the fastest takes "
        f"{seconds(fastest['latency_s'])}, {memory}, and {cpu}.{_as_fast(plans, fastest)}"
    )


def _as_fast(plans: pd.DataFrame, fastest: pd.Series[Any]) -> str:
    """What of the memory can be saved for no latency worth a word; nothing where none can."""
    equal = plans[[alike(latency_s, fastest["latency_s"]) for latency_s in plans["latency_s"]]]
    leanest = equal.iloc[int(equal["peak_memory_bytes"].to_numpy().argmin())]
    if alike(leanest["peak_memory_bytes"], fastest["peak_memory_bytes"]):
        return ""
    return f" Of those as fast within 1 %, {leanest['plan']} holds least, {_kib(leanest)}."


def _instead(
    plan: pd.Series[Any],
    fastest: pd.Series[Any],
    column: str,
    what: str,
    shown: Callable[[pd.Series[Any]], str],
) -> str:
    """What the best plan in one respect gains, and what it costs in latency; nothing where neither is worth a word."""
    if plan.name == fastest.name or alike(plan[column], fastest[column]):
        return f"the fastest also {what}, {shown(fastest)}"
    cost = (
        "the same latency within 1 %"
        if alike(plan["latency_s"], fastest["latency_s"])
        else f"{more_text(plan['latency_s'], fastest['latency_s'])} latency"
    )
    return f"the one that {what} has {shown(plan)} instead of {shown(fastest)} at {cost}"


def _kib(plan: pd.Series[Any]) -> str:
    return f"{plan['peak_memory_bytes'] / KIB:,.0f} KiB"


def _cpu(plan: pd.Series[Any]) -> str:
    return seconds(plan["cpu_time_s"])
