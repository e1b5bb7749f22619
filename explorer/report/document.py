"""The report of a run as files: notebook and page."""

from __future__ import annotations

from pathlib import Path

from explorer.report.notebook import build_notebook, execute_notebook, report_cells, require_extra
from explorer.report.page import page
from explorer.report.section import report_sections
from explorer.runs.data import open_run
from explorer.runs.figures import figures

NOTEBOOK_FILE = "report.ipynb"
PAGE_FILE = "report.html"


def write_report(directory: Path) -> dict[str, Path]:
    """An executed notebook, an HTML page and the figures in the run's directory; their paths by what they are.

    Raises MissingExtraError without the extra, RunDataError for a directory that is no run, ReportError where the
    notebook fails.
    """
    require_extra()
    import nbformat

    run = open_run(directory)
    sections = report_sections()
    written = {"page": run.directory / PAGE_FILE, "notebook": run.directory / NOTEBOOK_FILE}
    written["page"].write_text(page(run, sections, NOTEBOOK_FILE), encoding="utf-8")
    notebook = build_notebook(report_cells(run, sections))
    execute_notebook(notebook, run.directory)
    nbformat.validate(notebook)
    nbformat.write(notebook, written["notebook"])
    return written | {f"figure of {name}": path for name, path in figures(run).items()}
