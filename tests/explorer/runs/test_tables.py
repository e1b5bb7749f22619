from __future__ import annotations

import io
from dataclasses import replace

import pytest

from codegen.schedule import Choice, values
from cost_models.model import Prediction
from explorer.runs.report import CheckReport, RunReport, StepReport
from explorer.runs.tables import (
    LAYER_COLUMNS,
    bar,
    common_beginning,
    layer_rows,
    step_sheet,
    step_table,
    summary_lines,
)
from explorer.terminal.console import ShowingConsole, fits


def report(engine: str = "videocore4", check: CheckReport | None = None) -> RunReport:
    split, tile = values({"groups": 3}), values({"rows": 4})
    choice = Choice(engine, "some_gemm", split, tile, ("pixel16",), ("pixel16",))
    step = StepReport(
        "conv[0]", "Conv2d", choice, Prediction(3e-3, 2e-3, 4e-3), 2e-3, "simulated",
        2.1e-3 if check else None, "simulated", 40e-3,
    )  # fmt: skip
    return RunReport(
        model="net", device="pi-zero", board="virtual pi-zero", steps=(step,), expected_s=2e-3, launches=1,
        launch_overhead_s=1e-4, cpu_only_s=40e-3, cpu_only_kinds=("modelled",), macs=12_000_000, qpu_peak_flops=24e9,
        check=check, quality=None, samples={"considered": 5},
    )  # fmt: skip


def shown(run: RunReport) -> str:
    console = ShowingConsole(file=io.StringIO(), width=200, color_system=None)
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


def narrow(run: RunReport) -> str:
    console = ShowingConsole(file=io.StringIO(), width=80, color_system=None)
    step_sheet(run).show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_narrow_table_fits_80_columns_and_cuts_no_kind() -> None:
    run = report()
    (step,) = run.steps
    names = [f"/network/features/features.{i}/some/long/branch/Conv" for i in range(3)]
    run = replace(run, steps=tuple(replace(step, name=name) for name in names))
    text = narrow(run)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("simulated") == 4
    assert "layers: /network/features/features...." in text
    console = ShowingConsole(file=io.StringIO(), width=80)
    assert not fits(step_table(run), console)
    assert "left out here: tile" in text
    assert fits(step_table(run), ShowingConsole(file=io.StringIO(), width=220))


def test_commands_to_a_terminal_in_names_are_shown_and_not_obeyed() -> None:
    (step,) = report().steps
    hostile = replace(report(), model="a\x1b[31mb", steps=(replace(step, name="x\x1b]0;title\x07"),))
    for text in (narrow(hostile), shown(hostile)):
        assert "\x1b" not in text and "\x07" not in text
        assert "\\x1b" in text


@pytest.mark.parametrize(
    ("names", "begin"),
    [
        (["net/block/a", "net/block/b"], "net/block/"),
        (["net/block/", "net/block/b"], ""),
        (["a/x", "a/y"], ""),
        (["conv1", "conv2"], ""),
        (["only/one"], ""),
        ([], ""),
    ],
)
def test_what_all_names_begin_with(names: list[str], begin: str) -> None:
    assert common_beginning(names) == begin


def test_bars_are_as_long_as_their_part() -> None:
    assert bar(1.0, 4) == "████" and bar(0.5, 4) == "██" and bar(0.0, 4) == "" and bar(2.0, 1) == "█"
    assert bar(1 / 32, 4) == "▏"


def test_layers_as_data_have_every_column() -> None:
    (row,) = layer_rows(report())
    assert len(row) == len(LAYER_COLUMNS)
    assert dict(zip(LAYER_COLUMNS, row, strict=True))["expected_s"] == 2e-3


def test_a_plan_without_launches_has_no_share_of_the_qpus() -> None:
    assert replace(report(), launches=0).peak_share is None
