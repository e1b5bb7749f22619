from __future__ import annotations

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from explorer.errors import ReportError
from explorer.report.notebook import EXTRA_PACKAGES, Cell, build_notebook, execute_notebook, report_cells
from explorer.report.section import report_sections
from explorer.runs.data import open_run
from tests.explorer.command_line import explore
from tests.explorer.run_shapes import MakeRun


def report(directory: Path) -> Result:
    return explore("report", directory)


class Page(HTMLParser):
    """What a page loads, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.scripts = ""
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.sources += [str(values[name]) for name in ("src", "href") if name in values]

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts += data
        else:
            self.text += data


def kernels() -> list[list[str]]:
    """Command lines of kernels that this process started and that still live."""
    import psutil

    children = psutil.Process().children(recursive=True)
    living = [child.cmdline() for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [words for words in living if "ipykernel_launcher" in words]


@pytest.mark.needs("report extra")
def test_a_report_is_an_executed_notebook_and_a_page_that_loads_nothing(make_run: MakeRun) -> None:
    directory = make_run("front")
    result = report(directory)
    assert result.exit_code == 0, result.output
    notebook = json.loads((directory / "report.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["outputs"] for cell in code[1:])
    page = Page(directory / "report.html")
    assert page.tags.count("script") == 1 and not {"link", "img", "iframe", "object"} & set(page.tags)
    assert all(source.startswith(("#", "report.ipynb")) for source in page.sources)
    assert page.tags.count("figure") >= 5 and page.tags.count("table") >= 10
    for section in report_sections():
        assert section.title in page.text
    for text in ("tiny", "pi-zero", "simulated", "modelled", "qpu_", "explore compile plan.json"):
        assert text in page.text
    assert str(directory) not in (directory / "report.ipynb").read_text(encoding="utf-8")
    again = make_run("front", "again")
    assert report(again).exit_code == 0
    for name in ("report.ipynb", "report.html"):
        assert (again / name).read_bytes() == (directory / name).read_bytes()


@pytest.mark.needs("report extra")
def test_names_from_a_model_are_never_markup(make_run: MakeRun) -> None:
    directory = make_run("front")
    hostile = '</title></svg><script>alert("x")</script> $\\frac{a$ *b* `c` {{ 1 + 1 }}'
    plan, summary = (json.loads((directory / name).read_text()) for name in ("plan.json", "summary.json"))
    index = next(i for i, step in enumerate(plan["steps"]) if not step["name"].startswith("relayout:"))
    plan["model_name"] = plan["steps"][index]["name"] = summary["steps"][index]["name"] = hostile
    (directory / "plan.json").write_text(json.dumps(plan))
    (directory / "summary.json").write_text(json.dumps(summary))
    result = report(directory)
    assert result.exit_code == 0, result.output
    page = Page(directory / "report.html")
    assert page.tags.count("script") == 1 and 'alert("x")' not in page.scripts
    assert page.text.count(hostile) >= 8


@pytest.mark.parametrize("absent", EXTRA_PACKAGES)
def test_without_the_extra_the_line_to_type_is_named(
    absent: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec

    def find(name: str, *more: Any) -> Any:
        return None if name == absent else real(name, *more)

    monkeypatch.setattr("explorer.report.notebook.find_spec", find)
    directory = make_run()
    result = report(directory)
    assert result.exit_code == 2
    assert "MissingExtraError" in result.stderr and absent in result.stderr
    assert "pip install -e '.[report]'" in result.stderr
    assert not (directory / "report.ipynb").exists()


@pytest.mark.needs("report extra")
def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    result = report(tmp_path)
    assert result.exit_code == 2
    assert "RunDataError" in result.stderr and "explore runs" in result.stderr


@pytest.mark.needs("report extra")
def test_a_failing_cell_is_named(tmp_path: Path) -> None:
    notebook = build_notebook([("a", Cell("code", "1 / 0"))])
    with pytest.raises(ReportError, match="ZeroDivisionError"):
        execute_notebook(notebook, tmp_path)


@pytest.mark.needs("report extra")
def test_execution_is_bounded_in_time_and_leaves_no_kernel(tmp_path: Path) -> None:
    notebook = build_notebook([("a", Cell("code", "while True:\n    pass"))])
    with pytest.raises(ReportError, match="longer than 3 s"):
        execute_notebook(notebook, tmp_path, limit_s=3)
    assert not kernels()


@pytest.mark.needs("report extra")
def test_an_interrupt_is_an_interrupt_and_leaves_no_kernel(tmp_path: Path) -> None:
    source = "import os, signal, time\n\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(60)"
    notebook = build_notebook([("a", Cell("code", source))])
    with pytest.raises(KeyboardInterrupt):
        execute_notebook(notebook, tmp_path)
    assert not kernels()


@pytest.mark.needs("report extra")
def test_a_kernel_that_dies_is_an_error(tmp_path: Path) -> None:
    notebook = build_notebook([("a", Cell("code", "import os\n\nos._exit(3)"))])
    with pytest.raises(ReportError, match="died"):
        execute_notebook(notebook, tmp_path)


def test_what_does_not_apply_is_named_at_the_end(make_run: MakeRun) -> None:
    cells = report_cells(open_run(make_run("plan only")), report_sections())
    name, last = cells[-1]
    assert name == "absent"
    assert last == Cell(
        "markdown",
        "Left out, for want of data: Trade-offs (needs front.csv, or samples.csv); Where constants are not certain "
        "(needs a run with --robust); Predicted against measured (needs samples.csv or summary.json with times that "
        "were not modelled).",
    )


def test_every_cell_has_an_id_of_its_own(make_run: MakeRun) -> None:
    names = [name for name, _ in report_cells(open_run(make_run("front")), report_sections())]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
