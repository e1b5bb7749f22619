"""The plans of a front: latency against peak memory, CPU time and energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from explorer.front.pareto import dominated
from explorer.objectives.objective import OBJECTIVES
from explorer.report.exhibits import CaptionedFigure, Exhibit, counted
from explorer.report.sections.staircase import draw_staircase
from explorer.runs.data import FRONT_COLUMNS, RunData
from explorer.runs.figures import plain_ticks
from explorer.runs.noise import noise_of_run
from explorer.terminal.units import seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP"
LABEL_PIXELS = 60.0, 14.0  # width and height of a name
WIDE = 8.0  # the ratio of the ends from which an axis is logarithmic
KIB = 1024


def front_figure(run: RunData) -> CaptionedFigure:
    """Panels that share the latency: peak memory, CPU time, and energy where it is told."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plans = _plans(run)
    panels = [
        (plans["peak_memory_bytes"] / KIB, "peak memory, KiB (counted)"),
        (1e3 * plans["cpu_time_s"], f"CPU time, ms ({_kinds(plans)})"),
    ]
    if _tells_energy(plans):
        kinds = " + ".join(sorted(set(plans["energy_kind"])))
        panels.append((1e3 * plans["energy_j"], f"energy, mJ ({kinds})"))
    figure = Figure(figsize=(4.75 * len(panels), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharey=True)
    for place, (across, label) in zip(axes, panels, strict=True):
        _panel(place, plans, across, label)
    memory = axes[0]
    memory.set_ylabel(f"latency, ms ({_kinds(plans)})")
    memory.legend(fontsize=8, title="kind of time")
    return CaptionedFigure(figure, _reading(plans))


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
    return Exhibit(table, f"Noise floor: {noise_of_run(run)}.")


def _plans(run: RunData) -> pd.DataFrame:
    plans = run.front
    if plans is None:
        return pd.DataFrame(columns=list(FRONT_COLUMNS))
    return plans.sort_values(["latency_s", "peak_memory_bytes", "cpu_time_s", "plan"]).reset_index(drop=True)


def _tells_energy(plans: pd.DataFrame) -> bool:
    return bool(plans["energy_j"].notna().any())


def _panel(axes: Axes, plans: pd.DataFrame, across: pd.Series[float], label: str) -> None:
    latency_ms = 1e3 * plans["latency_s"]
    draw_staircase(axes, across, latency_ms)
    for marker, (kind, rows) in zip(_endless(plans["kind"].nunique()), plans.groupby("kind"), strict=True):
        axes.scatter(
            across[rows.index], latency_ms[rows.index], marker=marker, s=36, label=str(kind), zorder=3
        )
    axes.set_xlabel(label)
    axes.margins(x=0.16, y=0.1)
    axes.grid(alpha=0.3)
    if _wide(across):
        axes.set_xscale("log")
        plain_ticks(axes.xaxis)
    if _wide(latency_ms):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
    _label(axes, plans["plan"], across, latency_ms)


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
            str(name), place, xytext=(5, 4), textcoords="offset points", fontsize=8, parse_math=False
        )


def _wide(values: pd.Series[float]) -> bool:
    return bool(values.min() > 0 and values.max() > WIDE * values.min())


def _endless(count: int) -> list[str]:
    return [MARKERS[index % len(MARKERS)] for index in range(count)]


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
    told = [o.column for o in OBJECTIVES if o.compared and plans[o.column].notna().all()]
    beaten = int(dominated(plans[told].to_numpy(float)).sum())
    verdict = "none is beaten by another in all respects" if not beaten else f"{beaten} are beaten by another"
    return (
        f"Of {counted(len(plans), 'plan')} ({_kinds(plans)}) {verdict}: the fastest takes "
        f"{seconds(fastest['latency_s'])}, {_instead(smallest, fastest, 'holds least', _kib)}, and "
        f"{_instead(idlest, fastest, 'needs the CPU least', _cpu)}."
    )


def _instead(
    plan: pd.Series[Any], fastest: pd.Series[Any], what: str, shown: Callable[[pd.Series[Any]], str]
) -> str:
    """What the best plan in one respect gains, and what it costs in latency."""
    if plan.name == fastest.name:
        return f"the fastest also {what}, {shown(plan)}"
    slower = plan["latency_s"] / fastest["latency_s"] - 1
    longer = f"{100 * slower:.2g} % more latency" if slower < 1 else f"{slower + 1:.3g} times the latency"
    return f"the one that {what} has {shown(plan)} instead of {shown(fastest)} at {longer}"


def _kib(plan: pd.Series[Any]) -> str:
    return f"{plan['peak_memory_bytes'] / KIB:,.0f} KiB"


def _cpu(plan: pd.Series[Any]) -> str:
    return seconds(plan["cpu_time_s"])
