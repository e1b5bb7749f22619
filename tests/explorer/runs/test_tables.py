from __future__ import annotations

import io

import pytest
from rich.console import Console

from codegen.schedule import Choice, values
from cost_models.model import Prediction
from explorer.runs.report import CheckReport, RunReport, StepReport
from explorer.runs.tables import step_table, summary_lines


def report(engine: str = "videocore4", check: CheckReport | None = None) -> RunReport:
    split, tile = values({"groups": 3}), values({"rows": 4})
    choice = Choice(engine, "some_gemm", split, tile, ("pixel16",), ("pixel16",))
    step = StepReport(
        "conv[0]", "Conv2d", choice, Prediction(3e-3, 2e-3, 4e-3), 2e-3, "simulated",
        2.1e-3 if check else None, "simulated", 40e-3,
    )  # fmt: skip
    return RunReport(
        model="net", device="pi-zero", board="virtual pi-zero", steps=(step,), expected_s=2e-3, launches=1,
        launch_overhead_s=1e-4, cpu_only_s=40e-3, cpu_only_kinds=("modelled",), macs=12e6, qpu_peak_flops=24e9,
        check=check, quality=None, samples={"considered": 5},
    )  # fmt: skip


def shown(run: RunReport) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(step_table(run))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_row_has_every_decision_and_says_what_its_times_are() -> None:
    text = shown(report())
    for part in ("conv[0]", "some_gemm", "groups=3", "rows=4", "3 ms", "2 ms", "simulated", "20x", "100.0 %"):
        assert part in text


def test_the_run_is_the_headline_where_there_was_one() -> None:
    check = CheckReport(3, 2e-4, 1e-3, True, 2.1e-3, "simulated")
    run = report(check=check)
    assert run.time_s == 2.1e-3
    lines = dict(summary_lines(run))
    assert "+5.0 %" in lines["the bundle as a whole"]
    assert "top 5 the same" in lines["against onnxruntime"]
    assert "1 launch of" in lines["expected, composed"]


def test_share_of_peak_counts_two_operations_a_multiply_accumulate() -> None:
    assert report().peak_share == pytest.approx(24e6 / 2e-3 / 24e9)


def test_a_plan_without_qpu_steps_is_not_compared_with_itself() -> None:
    run = report(engine="cpu")
    assert run.speedup is None
    assert "CPU-only plan" not in dict(summary_lines(run))
