"""When each step of the plan runs, engine by engine."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engine_registry import engine_named
from explorer.report.drawing import WIDE, new_panel
from explorer.report.exhibits import CaptionedFigure, Panel, counted, listed
from explorer.report.section import Part
from explorer.report.svg import GROUND, INK, MUTED, Mark
from explorer.runs.algorithm_style import style_of
from explorer.runs.data import RunData
from explorer.runs.frames import steps_frame, where_timed
from explorer.terminal.units import seconds

LANE = 0.55  # inches
LEAST_LABELLED = 0.018  # of the whole time: in what is shorter no number fits
TEXT = (
    "Steps run one after another; each engine has a lane, and the brackets below a lane are its launches. Numbers are "
    "those of the steps; a launch's call is counted to its first step."
)


class Launch:
    """A Gantt chart of the plan."""

    name = "launch"
    title = "The launch, step by step"
    place = 32
    needs = "plan.json with steps that take time"

    def applies(self, run: RunData) -> bool:
        return bool((steps_frame(run)["time_s"] > 0).any())

    def parts(self, run: RunData) -> Sequence[Part]:
        return (TEXT, gantt)


def gantt(run: RunData) -> CaptionedFigure:
    """A bar per step from its beginning to its end, in milliseconds."""
    steps = steps_frame(run)
    ends = 1e3 * steps["time_s"].cumsum()
    begins = ends - 1e3 * steps["time_s"]
    engines = sorted(set(steps["engine"][steps["time_s"] > 0]))
    figure, axes = new_panel(LANE * len(engines) + 0.9, WIDE)
    axes.grid(axis="y", visible=False)
    whole, marks = float(ends.iloc[-1]), {}
    for number, (step, begin, end) in enumerate(zip(steps.to_dict("records"), begins, ends, strict=True), 1):
        if step["time_s"] <= 0:
            continue
        lane = engines.index(step["engine"])
        gid = f"mark-{number}"
        axes.barh(
            lane, end - begin, left=begin, height=0.55, color=style_of(step["algorithm"]).colour,
            edgecolor=GROUND, linewidth=0.7,
        )  # fmt: skip
        axes.patches[-1].set_gid(gid)
        marks[gid] = Mark(
            f"{number}. {step['layer']}: {step['algorithm']}, {seconds(step['time_s'])} ({step['kind']}), "
            f"from {begin:.4g} to {end:.4g} ms",
            number,
        )
        if end - begin >= LEAST_LABELLED * whole:
            axes.text(
                (begin + end) / 2, lane - 0.36, str(number), ha="center", va="bottom", fontsize=7, color=INK
            )
    launches = _launches(run)
    for first, last in launches:
        lane = engines.index(steps["engine"][first])
        edges = [float(begins[first]), float(begins[first]), float(ends[last]), float(ends[last])]
        axes.plot(edges, [lane + 0.34, lane + 0.42, lane + 0.42, lane + 0.34], color=MUTED, linewidth=1)
    axes.set_yticks(range(len(engines)), engines)
    axes.set_ylim(len(engines) - 0.45, -0.6)
    axes.set_xlim(0, whole)
    axes.set_xlabel(f"ms {where_timed(run)} ({' + '.join(run.kinds)})")
    reading = _reading(run, launches)
    return CaptionedFigure(
        [Panel(figure, "Steps in time", marks, wide=True)],
        reading,
        list(steps["algorithm"][steps["time_s"] > 0]),
    )


def _launches(run: RunData) -> list[tuple[int, int]]:
    """First and last step of each launch, views in between included."""
    found: list[tuple[int, int]] = []
    before = None
    for index, step in enumerate(run.plan.steps):
        if step.is_view:
            continue
        if not engine_named(step.choice.engine).launches:
            before = None
        elif before == step.choice.engine and not step.starts_launch:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
            before = step.choice.engine
    return found


def _reading(run: RunData, launches: list[tuple[int, int]]) -> str:
    steps = steps_frame(run)
    working = steps[steps["time_s"] > 0]
    busy = working.groupby("engine")["time_s"].sum().sort_values(ascending=False)
    shares = [f"{name} works {100 * time_s / busy.sum():.3g} %" for name, time_s in busy.items()]
    text = f"Of the {seconds(float(busy.sum()))} of all steps {listed(shares)}"
    return (
        f"{text}, in {counted(len(launches), 'launch').replace('launchs', 'launches')}."
        if launches
        else f"{text}."
    )
