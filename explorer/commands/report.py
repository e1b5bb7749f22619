"""What `explore report`, `explore runs` and `explore compare` do, once their arguments are understood."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from explorer.report.notebook import build_notebook, execute_notebook, report_cells, require_extra
from explorer.report.page import page
from explorer.report.section import report_sections
from explorer.runs.compare import compare, resolve_pair
from explorer.runs.compare_table import comparison_lines, comparison_table
from explorer.runs.data import open_run, open_runs
from explorer.runs.listing import runs_table

NOTEBOOK_FILE = "report.ipynb"
PAGE_FILE = "report.html"
NARROWEST_TABLE = 160


def report_command(directory: Path) -> None:
    """`explore report`: an executed notebook and an HTML page, in the run's directory.

    Raises MissingExtraError without the extra, RunDataError for a directory that is no run, ReportError where the
    notebook fails.
    """
    require_extra()
    import nbformat

    run = open_run(directory)
    notebook = build_notebook(report_cells(run, report_sections()))
    execute_notebook(notebook, run.directory)
    nbformat.validate(notebook)
    title = f"{run.plan.model_name} on {run.plan.device}"
    nbformat.write(notebook, run.directory / NOTEBOOK_FILE)
    (run.directory / PAGE_FILE).write_text(page(notebook, title, NOTEBOOK_FILE), encoding="utf-8")
    console = _console()
    console.print(f"notebook: {run.directory / NOTEBOOK_FILE}", markup=False)
    console.print(f"page: {run.directory / PAGE_FILE}", markup=False)


def runs_command(directory: Path) -> None:
    """`explore runs`; raises RunDataError where there is no such directory."""
    runs = open_runs(directory)
    console = _console()
    if not runs:
        console.print(f"{directory} holds no run; `explore run` makes one", markup=False)
        return
    console.print(runs_table(runs))


def compare_command(first: str, second: str, runs_directory: Path) -> None:
    """`explore compare`; raises RunDataError for what is neither a run, a plan nor a device with a run."""
    comparison = compare(*resolve_pair(first, second, runs_directory))
    console = _console()
    console.print(comparison_table(comparison))
    for line in comparison_lines(comparison):
        console.print(line, markup=False)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=NARROWEST_TABLE)
