"""The run in one table, and what the kinds of its times mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from codegen.engine_registry import host_engines
from explorer.report.exhibits import Exhibit, Sentence, Tiles, counted
from explorer.report.section import Part
from explorer.runs.data import RunData
from explorer.runs.frames import NO_KIND, steps_frame, was_run
from explorer.runs.noise import noise_of_report
from explorer.runs.reading import alike
from explorer.runs.report import CheckReport, RunReport
from explorer.runs.tables import gap_text
from explorer.terminal.units import seconds

KINDS = {
    "silicon": "read from the clock of a real board",
    "host": "read from the clock of the machine that made the run",
    "simulated": "cycles counted by the virtual board; no silicon was timed",
    "modelled": "computed by a formula or from a table; nothing was timed",
}


class Summary:
    """Model, device, time, speed-up, error."""

    name = "summary"
    title = "Summary"
    place = 10
    needs = "plan.json"

    def applies(self, run: RunData) -> bool:
        return True

    def parts(self, run: RunData) -> Sequence[Part]:
        return (headline, key_figures, facts, kinds)


def headline(run: RunData) -> Sentence:
    """What one should remember of the run."""
    text = f"{run.plan.model_name} on {run.plan.device}: {seconds(run.time_s)} ({' + '.join(run.kinds)})"
    if run.speedup is not None:
        cpu_kinds = f" ({' + '.join(run.report.cpu_only_kinds)})" if run.report else ""
        faster = "as fast" if alike(run.speedup, 1.0) else f"{run.speedup:.3g} times as fast"
        text += f", {faster} as the best plan without QPUs{cpu_kinds}"
    steps = steps_frame(run)
    beside = steps["engine"][~steps["engine"].isin(host_engines())].value_counts()
    shares = [f"{count} of {counted(len(steps), 'step')} run on {name}" for name, count in beside.items()]
    return Sentence(f"{text}; {', '.join(shares) or 'all of it on the CPU'}.")


def key_figures(run: RunData) -> Tiles:
    """Time, speed-up, memory, error: each with what it is."""
    report = run.report
    items = [("time of one inference", seconds(run.time_s), " + ".join(run.kinds))]
    if run.speedup is not None:
        kinds = f" ({' + '.join(report.cpu_only_kinds)})" if report else ""
        items.append(
            ("beside the best plan without QPUs", f"{run.speedup:.3g}×", f"its time over this one's{kinds}")
        )
    items.append(("peak of activations", f"{run.plan.peak_activation_bytes / 1024:,.0f} KiB", "counted"))
    if report and report.peak_share is not None:
        items.append(("share of the QPUs' peak", f"{100 * report.peak_share:.0f} %", "direct computation's"))
    if report and report.check:
        top = "the same top 5" if report.check.same_top5 else "a DIFFERENT top 5"
        items.append(("largest error", f"{_error(report.check):.1e}", f"against onnxruntime; {top}"))
    return Tiles(tuple(items))


def facts(run: RunData) -> Exhibit:
    """Name and value of everything that describes the run as a whole."""
    rows = [*_plan_facts(run), *(_report_facts(run.report) if run.report else ())]
    return Exhibit(
        pd.DataFrame(rows, columns=["what", "value", "what the value is"]), label="Facts of the run"
    )


def kinds(run: RunData) -> Exhibit:
    """The kinds of times that occur in the run, with their meaning."""
    found = {*steps_frame(run)["kind"], *run.kinds} - {NO_KIND}
    if run.samples is not None:
        found |= set(run.samples["kind"])
    if run.report:
        found |= {*run.report.cpu_only_kinds, *({"modelled"} if run.report.quality else ())}
    rows = [(kind, meaning) for kind, meaning in KINDS.items() if kind in found]
    return Exhibit(pd.DataFrame(rows, columns=["kind of time", "what it is"]), label="Kinds of times")


def _plan_facts(run: RunData) -> Iterator[tuple[str, str, str]]:
    plan = run.plan
    yield (
        "model",
        plan.model_name,
        f"SHA-256 {plan.model_sha256[:12]}" if plan.model_sha256 else "hash unknown",
    )
    yield "device", plan.device, "" if run.board is None else f"board: {run.board}"
    what = "the bundle as a whole" if was_run(run) else "the sum of steps, and launches"
    yield "time", seconds(run.time_s), f"{' + '.join(run.kinds)}; {what}"
    if was_run(run):
        repeats = f"; {seconds(plan.low_s)} to {seconds(plan.high_s)} by the repeats"
        how = "" if run.report is None else f" {run.report.how_expected}"
        text = f"every step{how}, and composed{repeats if plan.low_s < plan.high_s else ''}"
        yield "expected time", seconds(plan.predicted_s), text + _gap(run)
    yield "peak of activations", f"{plan.peak_activation_bytes / 1024:,.0f} KiB", "most held at one time"


def _error(check: CheckReport) -> float:
    """Of outputs beside onnxruntime's."""
    return check.accuracy.largest_error if check.accuracy else check.largest_error


def _gap(run: RunData) -> str:
    return "" if run.report is None else gap_text(run.report.gap)


def _report_facts(report: RunReport) -> Iterator[tuple[str, str, str]]:
    if report.qpu_peak_flops:
        yield "launches of the QPUs", str(report.launches), f"{seconds(report.launch_overhead_s)} each"
    if report.peak_share is not None:
        peak = f"{report.qpu_peak_flops / 1e9:g} GFLOP/s"
        what = f"multiply-adds of direct computation, of {peak}, at the time above"
        yield "share of the QPUs' peak", f"{100 * report.peak_share:.1f} %", what
    if report.speedup is not None:
        text = f"{' + '.join(report.cpu_only_kinds)}; {report.speedup:.3g} times as long"
        yield "best plan without QPUs", seconds(report.cpu_only_s), text
    if report.check:
        check = report.check
        top = "the same top 5" if check.same_top5 else "a DIFFERENT top 5"
        against = "onnxruntime" if check.accuracy is None else "the network with its rounded weights"
        text = f"of the largest output, on {counted(check.inputs, 'input')} against {against}; {top}"
        yield "largest error", f"{check.largest_error:.2e}", f"{text}; allowed {check.tolerance:g}"
        if check.deciding:
            text = "it sorts or selects otherwise than onnxruntime; these are compared with the own reference"
            yield "tensors that decide", str(check.deciding), text
        if check.accuracy:
            same = f"{check.accuracy.same_top1} of {counted(check.inputs, 'input')}"
            text = f"of the largest output against the network's own weights; top 1 the same on {same}"
            yield "rounded weights cost", f"{check.accuracy.largest_error:.2e}", text
    else:
        yield "largest error", "not checked", "this board computes no outputs"
    floor = "-" if report.noise_floor is None else f"±{100 * report.noise_floor:.1f} %"
    yield "noise floor", floor, noise_of_report(report)
    others = [f"{count:,} {name}" for name, count in sorted(report.samples.items()) if name != "considered"]
    yield "candidates", f"{report.samples.get('considered', 0):,}", ", ".join(others)
