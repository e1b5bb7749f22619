"""What every section of a report must do; an implementation's test supplies one fixture, `section`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from explorer.report.exhibits import CaptionedFigure, Exhibit
from explorer.report.section import Cell, ReportSection
from explorer.runs.data import open_run
from tests.explorer.run_shapes import SHAPES

MOST_LINES = 12


def shown(cells: Sequence[Cell], directory: object) -> list[Any]:
    """What the code cells display, run one after the other in one namespace, as a notebook does."""
    names: dict[str, Any] = {"run": open_run(str(directory))}
    results = []
    for cell in cells:
        if cell.kind == "markdown":
            continue
        body = ast.parse(cell.source).body
        last = body.pop()
        assert isinstance(last, ast.Expr), "a code cell ends in the expression that it shows"
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        results.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
    return results


@pytest.mark.parametrize("shape", SHAPES)
class ReportSectionConformance:
    """Subclass it and give a fixture `section`; it is tried on every shape of run directory."""

    @pytest.fixture
    def cells(self, section: ReportSection, make_run: Callable[..., Any], shape: str) -> tuple[Cell, ...]:
        run = open_run(make_run(shape))
        return tuple(section.cells(run)) if section.applies(run) else ()

    def test_it_has_a_name_a_heading_and_a_place(self, section: ReportSection, shape: str) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", section.name)
        assert section.title.strip() and "\n" not in section.title
        assert isinstance(section.place, int)
        assert section.needs

    def test_it_has_cells_where_it_applies(
        self, section: ReportSection, make_run: Callable[..., Any], shape: str
    ) -> None:
        run = open_run(make_run(shape))
        if section.applies(run):
            assert section.cells(run)

    def test_cells_are_short_and_hold_nothing_of_the_run(self, cells: Sequence[Cell], shape: str) -> None:
        for cell in cells:
            assert len(cell.source.splitlines()) <= MOST_LINES
            for text in ("tiny", "classifier", "Conv2d"):
                assert text not in cell.source

    def test_everything_shown_can_be_seen(
        self, cells: Sequence[Cell], make_run: Callable[..., Any], shape: str
    ) -> None:
        for item in shown(cells, make_run(shape, "again")):
            if isinstance(item, CaptionedFigure):
                assert item.png().startswith(b"\x89PNG")
                assert re.search(r"\d", item.reading) and item.reading.endswith(".")
            else:
                assert "<" in item._repr_html_()

    def test_every_time_says_what_it_is(
        self, cells: Sequence[Cell], make_run: Callable[..., Any], shape: str
    ) -> None:
        kinds = re.compile("silicon|host|simulated|modelled")
        for item in shown(cells, make_run(shape, "again")):
            if isinstance(item, Exhibit) and any(" ms" in str(column) for column in item.frame.columns):
                assert kinds.search(item._repr_html_())
            if isinstance(item, CaptionedFigure):
                labels = [axes.get_xlabel() + axes.get_ylabel() for axes in item.figure.axes]
                legends = [text.get_text() for legend in _legends(item) for text in legend.get_texts()]
                assert any(kinds.search(text) for text in (*labels, *legends))

    def test_equal_runs_show_equal_things(
        self, section: ReportSection, make_run: Callable[..., Any], shape: str
    ) -> None:
        pages = []
        for name in ("one", "two"):
            run = open_run(make_run(shape, name))
            cells = section.cells(run) if section.applies(run) else ()
            items = shown(cells, run.directory)
            pages.append([i.png() if isinstance(i, CaptionedFigure) else i._repr_html_() for i in items])
        assert pages[0] == pages[1]


def _legends(captioned: CaptionedFigure) -> list[Any]:
    own = [axes.get_legend() for axes in captioned.figure.axes]
    return [legend for legend in (*own, *captioned.figure.legends) if legend is not None]
