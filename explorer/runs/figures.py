"""Figures of a run as PNG files; equal reports give equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.runs.algorithm_style import style_of
from explorer.runs.data import RunData
from explorer.runs.frames import timed_candidates
from explorer.runs.report import RunReport, StepReport

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

PREDICTED, MEASURED = "#9ecae1", "#08519c"
SHORTEST_AXIS_STEPS = 4
MOST_TICKED = 3000.0


def figures(run: RunData) -> Mapping[str, Path]:
    """PNG files in the run's directory by what they show, drawn where they are not there yet.

    `layers`: predicted and measured time of each step; `candidates`, where any were timed: theirs. None where only the
    plan is there. Raises RunDataError where samples.csv is damaged.
    """
    if run.report is None:
        return {}
    report, points = run.report, timed_candidates(run)
    paths = {"layers": _drawn(run.directory / "layers.png", lambda: _layers(report))}
    if len(points):
        paths["candidates"] = _drawn(run.directory / "candidates.png", lambda: _candidates(report, points))
    return paths


def remove_figures(directory: Path) -> None:
    """Those of an earlier run of the same."""
    for name in ("layers.png", "candidates.png"):
        (directory / name).unlink(missing_ok=True)


def _drawn(path: Path, draw: Callable[[], Figure]) -> Path:
    return path if path.is_file() else _save(draw(), path)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
    return path


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of that size, in inches, and its axes; drawn without any window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def plain_ticks(*axes: Axis) -> None:
    """Logarithmic axes with ticks at 1, 2 and 5, or at 1 where that would crowd them, as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes:
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < MOST_TICKED * low else (1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _layers(report: RunReport) -> Figure:
    steps = report.steps
    figure, axes = new_figure(10, 0.28 * max(len(steps), SHORTEST_AXIS_STEPS) + 1.6)
    rows = range(len(steps))
    predicted = [1e3 * (s.predicted.time_s if s.predicted else s.expected_s) for s in steps]
    axes.barh([r - 0.2 for r in rows], predicted, height=0.38, color=PREDICTED, label="predicted (modelled)")
    kinds = " + ".join(report.kinds)
    where = "in the run" if report.check else "expected"
    measured = [1e3 * _time_s(s) for s in steps]
    axes.barh([r + 0.2 for r in rows], measured, height=0.38, color=MEASURED, label=f"{where} ({kinds})")
    axes.set_yticks(
        list(rows), [f"{s.name}  [{s.choice.algorithm}]" for s in steps], fontsize=7, parse_math=False
    )
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel("ms")
    total = f"{1e3 * report.time_s:.4g} ms"
    axes.set_title(
        f"{report.model} on {report.device}, {report.board}: {total}",
        fontsize=10,
        loc="left",
        parse_math=False,
    )
    axes.legend(fontsize=8)
    return figure


def _time_s(step: StepReport) -> float:
    return step.expected_s if step.run_s is None else step.run_s


def _candidates(report: RunReport, points: pd.DataFrame) -> Figure:
    figure, axes = new_figure(7, 6)
    for name in sorted(set(points["algorithm"])):
        rows, style = points[points["algorithm"] == name], style_of(name)
        axes.scatter(
            1e3 * rows["time_s"],
            1e3 * rows["predicted_s"],
            s=14,
            color=style.colour,
            marker=style.marker,
            label=name,
        )
    times = [*(1e3 * points["time_s"]), *(1e3 * points["predicted_s"])]
    ends = (min(times) / 1.3, max(times) * 1.3)
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    kinds = " + ".join(sorted(set(points["kind"])))
    axes.set_xlabel(f"measured, ms ({kinds})")
    axes.set_ylabel("predicted without having seen the layer, ms (modelled)")
    axes.set_title(
        f"{report.model} on {report.device}: {len(points)} candidates",
        fontsize=10,
        loc="left",
        parse_math=False,
    )
    axes.legend(fontsize=7)
    return figure
