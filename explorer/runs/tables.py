"""The result as rich tables; every column of times says what its numbers are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codegen.schedule import Values
from explorer.runs.noise import noise_of_report
from explorer.runs.report import (
    AccuracyReport,
    CheckReport,
    CpuPlanReport,
    ModelQuality,
    Regret,
    RunReport,
    StepReport,
)
from explorer.terminal.sheet import Sheet
from explorer.terminal.units import seconds

_SEPARATORS = "/._:"
_WORTH_CUTTING = 4  # characters
_BAR_CELLS = 5


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3g}x"


def axes(values: Values) -> str:
    """`name=value` of every axis."""
    return " ".join(f"{name}={value}" for name, value in values) or "-"


def step_table(report: RunReport) -> Table:
    """One row per step of the plan, and their sum."""
    title = escape(f"{report.model} on {report.device} ({report.board})")
    table = Table(title=title, title_justify="left", show_footer=True, pad_edge=False)
    table.add_column("layer", footer="total", overflow="fold", max_width=28)
    table.add_column("algorithm", overflow="fold", max_width=24)
    table.add_column("split")
    table.add_column("tile", overflow="fold", max_width=24)
    table.add_column("predicted\n(modelled)", justify="right", footer=seconds(_sum(s for s in report.steps)))
    table.add_column("expected", justify="right", footer=seconds(report.expected_s))
    table.add_column("in the run", justify="right", footer=seconds(report.time_s))
    table.add_column("time is", footer=" + ".join(report.kinds))
    table.add_column("share", justify="right", footer="100 %")
    table.add_column("CPU-only\n/ this", justify="right", footer=_times(report.speedup))
    for step in report.steps:
        table.add_row(*_row(step, report.time_s))
    return table


def step_sheet(report: RunReport) -> Sheet:
    """What matters most of every step, as much of it as there is room for: what all names begin with is in the title
    alone.
    """
    begin = common_beginning([step.name for step in report.steps])
    names = f"; layers: {begin}..." if begin else ""
    largest = max((_time_s(step) for step in report.steps), default=0.0)
    rows = []
    for step in report.steps:
        share, part = _time_s(step) / report.time_s, _time_s(step) / largest if largest else 0.0
        rows.append(
            (
                step.name[len(begin) :],
                step.choice.algorithm,
                axes(step.choice.split),
                axes(step.choice.tile),
                seconds(_time_s(step)),
                step.run_kind if step.expected_s else "-",
                f"{100 * share:4.1f} % {bar(part, _BAR_CELLS)}",
                _times(_ratio(step)),
            )
        )
    headings = ("layer", "algorithm", "split", "tile", "time", "time is", "share", "CPU-only\n/ this")
    total = (
        "total",
        "",
        "",
        "",
        seconds(report.time_s),
        " + ".join(report.kinds),
        "100 %",
        _times(report.speedup),
    )
    return Sheet(
        f"{report.model} on {report.device} ({report.board}){names}",
        headings,
        rows,
        right=("time", headings[-1]),
        spare=("tile", "split", headings[-1]),
        whole=("share",),
        long=("layer",),
        footers=dict(zip(headings, total, strict=True)),
    )


def common_beginning(names: Sequence[str]) -> str:
    """What all of several names begin with, up to a separator; nothing where it would leave one of them empty."""
    if len(names) < 2:
        return ""
    first, last = min(names), max(names)
    alike = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    begin = first[:alike]
    end = max((begin.rfind(mark) + 1 for mark in _SEPARATORS), default=0)
    return begin[:end] if end >= _WORTH_CUTTING and all(len(name) > end for name in names) else ""


def bar(part: float, cells: int) -> str:
    """A bar of so many cells at most, to an eighth of one."""
    eighths = round(max(0.0, min(1.0, part)) * cells * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _time_s(step: StepReport) -> float:
    return step.expected_s if step.run_s is None else step.run_s


def _ratio(step: StepReport) -> float | None:
    return step.cpu_only_s / step.expected_s if step.cpu_only_s and step.expected_s else None


def _row(step: StepReport, total_s: float) -> Iterable[str]:
    time_s = _time_s(step)
    predicted = step.predicted.time_s if step.predicted else None
    return (
        escape(step.name),
        escape(step.choice.algorithm),
        axes(step.choice.split),
        axes(step.choice.tile),
        seconds(predicted),
        seconds(step.expected_s),
        seconds(step.run_s),
        step.run_kind if step.expected_s else "-",
        f"{100 * time_s / total_s:.1f} %",
        _times(_ratio(step)),
    )


LAYER_COLUMNS = (
    "layer",
    "engine",
    "algorithm",
    "split",
    "tile",
    "predicted_s",
    "expected_s",
    "run_s",
    "kind",
    "cpu_only_s",
)


def layer_rows(report: RunReport) -> Iterator[Sequence[object]]:
    """The steps as data, columns as `LAYER_COLUMNS`: seconds, and nothing where nothing is known."""
    for step in report.steps:
        choice = step.choice
        yield (
            step.name,
            choice.engine,
            choice.algorithm,
            axes(choice.split),
            axes(choice.tile),
            step.predicted.time_s if step.predicted else None,
            step.expected_s,
            step.run_s,
            step.run_kind,
            step.cpu_only_s,
        )


def _sum(steps: Iterable[StepReport]) -> float:
    return sum(step.predicted.time_s if step.predicted else step.expected_s for step in steps)


def _quality_text(quality: ModelQuality) -> str:
    """Of layers that the model has not seen; the order is that of candidates within a layer."""
    scores = quality.scores
    return (
        f"{quality.model}, of layers it has not seen: error {100 * scores.median_error:.1f} % in the median, "
        f"{100 * scores.p90_error:.1f} % for nine of ten; rank correlation in a layer {scores.rank:.2f}, regret of its "
        f"first choice {100 * scores.top_regret:.1f} %; intervals hold {100 * scores.coverage:.0f} % "
        f"({scores.samples} samples of {scores.layers} layers)"
    )


def show_summary(report: RunReport, console: Console) -> None:
    """The run in a few lines, which a terminal has in two columns and a file whole."""
    if not console.is_terminal:
        for name, text in summary_lines(report):
            console.print(f"{name}: {text}", markup=False, soft_wrap=True)
        return
    table = Table(show_header=False, pad_edge=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in summary_lines(report):
        table.add_row(name, escape(text))
    console.print(table)


def summary_lines(report: RunReport) -> list[tuple[str, str]]:
    """Name and text of each line of the summary."""
    launches = f"{report.launches} launch{'' if report.launches == 1 else 'es'} of the QPUs"
    cpu_kinds = " + ".join(report.cpu_only_kinds)
    counted = f", {launches}" if report.qpu_peak_flops else ""
    lines = [("expected, composed", f"{seconds(report.expected_s)}{counted}{gap_text(report.gap)}")]
    if report.check:
        check = report.check
        difference = check.time_s / report.expected_s - 1
        lines += [
            ("the bundle as a whole", f"{seconds(check.time_s)} ({check.kind}), {100 * difference:+.1f} %"),
            (
                "against onnxruntime" if check.accuracy is None else "against its own weights",
                f"largest error {check.largest_error:.2e} of the largest output on {check.inputs} inputs "
                f"(allowed {check.tolerance:g}); top 5 {'the same' if check.same_top5 else 'DIFFERENT'}"
                f"{_deciding(check)}",
            ),
        ]
    if report.check and report.check.accuracy:
        lines.append(("rounded weights cost", _accuracy(report.check.accuracy, report.check.inputs)))
    if report.gpu_memories_s:
        tried = ", ".join(f"{way} {seconds(time_s)}" for way, time_s in report.gpu_memories_s.items())
        lines.append(("GPU memory, whole plan", f"{tried}; the faster is kept"))
    if report.regret is not None:
        lines.append(("under other constants", _regret(report.regret)))
    if report.peak_share is not None:
        share = f"{100 * report.peak_share:.1f} %, by multiply-adds of direct computation"
        lines.append(("share of the QPUs' peak", share))
    if report.speedup is not None:
        text = f"{seconds(report.cpu_only_s)} ({cpu_kinds}), {report.speedup:.3g}x as long"
        lines.append(("CPU-only plan", text))
    if report.cpu_plan is not None:
        lines.append(("CPU plan in the bundle", _beside(report.cpu_plan)))
    if report.quality:
        lines.append(("cost model, unseen", _quality_text(report.quality)))
    lines.append(("noise floor", noise_of_report(report)))
    counts = ", ".join(f"{count} {name}" for name, count in report.samples.items())
    return [*lines, ("candidates", counts)]


def _deciding(check: CheckReport) -> str:
    """How outputs were compared that are not onnxruntime's, after a semicolon."""
    if not check.deciding:
        return ""
    tensors = "tensor" if check.deciding == 1 else "tensors"
    return (
        f"; it sorts or selects otherwise than onnxruntime: the {check.deciding} {tensors} that decide are compared "
        "with this compiler's own reference, and the outputs with what follows from them there"
    )


def _accuracy(accuracy: AccuracyReport, inputs: int) -> str:
    return (
        f"largest error {accuracy.largest_error:.2e} of the largest output against the network's own weights; top 1 "
        f"the same on {accuracy.same_top1} of {inputs} inputs"
    )


def _beside(plan: CpuPlanReport) -> str:
    check = plan.check
    return (
        f"{seconds(check.time_s)} ({check.kind}), {plan.source_bytes:,} bytes of C and {plan.weights_bytes:,} of "
        f"weights more; largest error {check.largest_error:.2e} on {check.inputs} inputs"
    )


def gap_text(gap: float | None) -> str:
    """How far from the best that can be composed of the same candidates, after a comma."""
    if gap is None:
        return ""
    return ", proven the least" if gap == 0.0 else f", proven within {100 * gap:.2g} % of the least"


def _regret(regret: Regret) -> str:
    under = ", ".join(
        f"{one.name} {seconds(one.time_s)} (best {seconds(one.best_s)})" for one in regret.under
    )
    return (
        f"{under}; at most {100 * (regret.worst - 1):.1f} % over the best of any, no plan less than "
        f"{100 * (regret.bound - 1):.1f} %, the fastest under the profile alone {100 * (regret.own_best - 1):.1f} %"
    )
