"""The files of a run beside its plan and bundle."""

from __future__ import annotations

from explorer.front.front import write_front
from explorer.pipeline.run import Run
from explorer.runs.data import SUMMARY_FILE
from explorer.runs.figures import write_figures
from explorer.runs.files import SAMPLES_FILE, write_samples
from explorer.runs.report import write_summary
from explorer.runs.tables import step_table, summary_lines
from explorer.terminal.console import text_file

TABLE_FILE = "table.txt"


def write_results(result: Run) -> None:
    """Figures, the summary, the table as text, and the data that reports are made from."""
    write_figures(result.report, result.directory)
    write_summary(result.report, result.directory / SUMMARY_FILE)
    write_samples(result.report.measured, result.directory / SAMPLES_FILE)
    write_front(result.front, result.directory)
    with (result.directory / TABLE_FILE).open("w", encoding="utf-8") as file:
        text = text_file(file)
        text.print(step_table(result.report))
        for name, line in summary_lines(result.report):
            text.print(f"{name}: {line}", markup=False, soft_wrap=True)
