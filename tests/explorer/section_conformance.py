"""What every section of a report must do; an implementation's test supplies one fixture, `section`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from explorer.report.exhibits import CaptionedFigure, Exhibit
from explorer.report.section import Part, ReportSection
from explorer.runs.data import open_run
from tests.explorer.run_shapes import SHAPES

OF_THE_RUN = "tiny", "classifier", "Conv2d"


def shown(parts: Sequence[Part], directory: object) -> list[Any]:
    """What the functions among the parts make of the run."""
    run = open_run(str(directory))
    return [part(run) for part in parts if not isinstance(part, str)]


@pytest.mark.parametrize("shape", SHAPES)
class ReportSectionConformance:
    """Subclass it and give a fixture `section`; it is tried on every shape of run directory."""

    @pytest.fixture
    def parts(self, section: ReportSection, make_run: Callable[..., Any], shape: str) -> tuple[Part, ...]:
        run = open_run(make_run(shape))
        return tuple(section.parts(run)) if section.applies(run) else ()

    def test_it_has_a_name_a_heading_and_a_place(self, section: ReportSection, shape: str) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", section.name)
        assert section.title.strip() and "\n" not in section.title
        assert isinstance(section.place, int)
        assert section.needs

    def test_it_has_parts_where_it_applies(
        self, section: ReportSection, make_run: Callable[..., Any], shape: str
    ) -> None:
        run = open_run(make_run(shape))
        if section.applies(run):
            assert section.parts(run)

    def test_a_notebook_can_import_its_functions_and_paragraphs_hold_nothing_of_the_run(
        self, parts: Sequence[Part], shape: str
    ) -> None:
        for part in parts:
            if isinstance(part, str):
                assert not any(text in part for text in OF_THE_RUN)
            else:
                assert getattr(importlib.import_module(part.__module__), part.__name__) is part

    def test_everything_shown_can_be_seen(
        self, parts: Sequence[Part], make_run: Callable[..., Any], shape: str
    ) -> None:
        for item in shown(parts, make_run(shape, "again")):
            assert "<" in item.markup()
            if isinstance(item, CaptionedFigure):
                assert item.png().startswith(b"\x89PNG")
                assert not item.reading or (re.search(r"\d", item.reading) and item.reading.endswith("."))

    def test_every_time_says_what_it_is(
        self, parts: Sequence[Part], make_run: Callable[..., Any], shape: str
    ) -> None:
        kinds = re.compile("silicon|host|simulated|modelled")
        for item in shown(parts, make_run(shape, "again")):
            if isinstance(item, Exhibit) and any(" ms" in str(column) for column in item.frame.columns):
                assert kinds.search(item.markup())
            if isinstance(item, CaptionedFigure):
                for panel in item.panels:
                    labels = [axes.get_xlabel() + axes.get_ylabel() for axes in panel.figure.axes]
                    assert any(kinds.search(text) for text in labels)

    def test_every_table_and_figure_says_what_it_is_to_those_who_do_not_see_it(
        self, parts: Sequence[Part], make_run: Callable[..., Any], shape: str
    ) -> None:
        for item in shown(parts, make_run(shape, "again")):
            if isinstance(item, Exhibit):
                assert item.label != "table"
            if isinstance(item, CaptionedFigure):
                assert all(panel.title for panel in item.panels)

    def test_equal_runs_show_equal_things(
        self, section: ReportSection, make_run: Callable[..., Any], shape: str
    ) -> None:
        pages = []
        for name in ("one", "two"):
            run = open_run(make_run(shape, name))
            items = shown(section.parts(run) if section.applies(run) else (), run.directory)
            pages.append([str(item.markup()) for item in items])
        assert pages[0] == pages[1]
