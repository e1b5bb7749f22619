"""Axes of a report's figures: of the width of a phone, beside each other where there is more room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.report.svg import GRID, INK, MUTED
from explorer.runs.algorithm_style import style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NARROW, WIDE = 3.8, 10.5  # inches
POINT = 5.5  # size of a marker
WIDE_RANGE = 8.0  # the ratio of the ends from which an axis is logarithmic


def new_panel(height: float = 3.1, width: float = NARROW) -> tuple[Figure, Axes]:
    """A figure and its axes, in inches; drawn without any window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=8, colors=MUTED, labelcolor=INK, which="both")
    axes.xaxis.label.set(color=INK, fontsize=8.5)
    axes.yaxis.label.set(color=INK, fontsize=8.5)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def draw_point(axes: Axes, x: float, y: float, algorithm: str, gid: str, size: float = POINT) -> None:
    """One point in its algorithm's colour and marker, with an id of its own."""
    style = style_of(algorithm)
    axes.plot(
        [x], [y], linestyle="none", marker=style.marker, color=style.colour, markersize=size,
        markeredgewidth=0, gid=gid, zorder=3,
    )  # fmt: skip


def draw_ring(axes: Axes, x: float, y: float) -> None:
    """Around a point that is in the plan."""
    axes.plot(
        [x], [y], linestyle="none", marker="o", markersize=2 * POINT, markerfacecolor="none",
        markeredgecolor=INK, markeredgewidth=1.0, zorder=4,
    )  # fmt: skip


def spans_much(low: float, high: float) -> bool:
    """Whether an axis with these ends is better logarithmic."""
    return low > 0 and high > WIDE_RANGE * low
