"""A whole run with every file that it leaves, and what a terminal shows of it."""

from __future__ import annotations

import csv
from pathlib import Path

from rich.console import Console

from explorer.front.front import write_front
from explorer.front.table import front_lines, front_sheet
from explorer.live.watching import watchable
from explorer.pipeline.run import Announce, Run, run
from explorer.runs.counters import COUNTERS_FILE, write_counters
from explorer.runs.data import SUMMARY_FILE
from explorer.runs.figures import remove_figures
from explorer.runs.files import SAMPLES_FILE, write_samples
from explorer.runs.noise import noise_of_report
from explorer.runs.reasons import REASONS_FILE, write_reasons
from explorer.runs.report import RunReport, summary_content, write_summary
from explorer.runs.tables import (
    LAYER_COLUMNS,
    layer_rows,
    show_summary,
    step_sheet,
    step_table,
)
from explorer.settings import RunSettings
from explorer.terminal.console import fits, say_next, text_file
from explorer.terminal.json_output import print_json
from explorer.terminal.progress import Progress

TABLE_FILE = "table.txt"
LAYERS_FILE = "layers.csv"


def run_with_results(settings: RunSettings, progress: Progress, announce: Announce) -> Run:
    """A run, all its files written. Raises as `run`; the check's verdict is in the report."""
    with watchable(settings, progress, announce) as told:
        result = run(settings, told, announce)
        told.phase("Report")
        write_results(result)
    return result


def write_results(result: Run) -> None:
    """The summary, the table as text, and the data that reports and figures are made from."""
    remove_figures(result.directory)
    write_summary(result.report, result.directory / SUMMARY_FILE)
    write_samples(result.report.measured, result.directory / SAMPLES_FILE)
    write_reasons(result.report.measured, result.directory / REASONS_FILE)
    write_counters(result.report.measured, result.directory / COUNTERS_FILE)
    write_front(result.front, result.directory)
    write_layers(result.report, result.directory / LAYERS_FILE)
    with (result.directory / TABLE_FILE).open("w", encoding="utf-8") as file:
        text = text_file(file)
        text.print(step_table(result.report))
        show_summary(result.report, text)


def write_layers(report: RunReport, path: Path) -> None:
    """The table of steps as CSV: a row each, times in seconds."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LAYER_COLUMNS)
        writer.writerows(layer_rows(report))


def next_step(result: Run) -> str:
    """What a person may do with a finished run."""
    first = result.plan.inputs[0].shape if result.plan.inputs else ()
    if result.report.check is None:
        return f"explore compare {result.directory} OTHER, or the same without --board {result.report.board.split()[0]}"
    given = "--image PICTURE" if len(first) == 4 else "--input ARRAY.npy"
    return f"explore infer {result.directory} {given}, or explore report {result.directory}"


def show_json(result: Run, console: Console) -> None:
    """The same as JSON on standard output."""
    report = result.report
    print_json(
        {
            "directory": result.directory,
            "files": sorted(path.name for path in result.directory.iterdir()),
            "time_s": report.time_s,
            "kinds": report.kinds,
            "speedup": report.speedup,
            "summary": summary_content(report),
        }
    )


def show_results(result: Run, console: Console) -> None:
    """The steps, the run in a few lines, the front, and where all of it is."""
    whole = step_table(result.report)
    if fits(whole, console):
        console.print(whole)
    else:
        step_sheet(result.report).show(console)
    show_summary(result.report, console)
    if result.front is not None:
        front_sheet(result.front).show(console)
        for line in front_lines(result.front, noise_of_report(result.report)):
            console.print(line, markup=False)
    if result.report.check is None:
        console.print(
            f"not checked: the board {result.report.board} computes no outputs", style="bold yellow"
        )
    console.print(f"results: {result.directory}", markup=False)
    say_next(console, next_step(result))
