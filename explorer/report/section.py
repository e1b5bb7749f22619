"""The fourth axis of extension: a section of a report turns a run's data into a few cells of a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Literal, Protocol

from explorer.errors import ReportError
from explorer.runs.data import RunData

ENTRY_POINT_GROUP = "explore.report_sections"


@dataclass(frozen=True)
class Cell:
    """One cell of a notebook: Markdown or Python."""

    kind: Literal["markdown", "code"]
    source: str


class ReportSection(Protocol):
    """One part of a report, made of the run's directory alone.

    Code cells find the run as `run`, import what they use, and end in an expression that is displayed. Cells
    hold no data of the run: a cell's code takes it from `run`, so that text from a model file is never run as code.
    """

    name: str  # as in file names: lower case, underscores
    title: str  # the heading
    place: int  # sections stand in this order; the built-in ones are tens
    needs: str  # what a run must have left for this section, for readers of a report that goes without it

    def applies(self, run: RunData) -> bool:
        """Whether the run left what the section needs."""
        ...

    def cells(self, run: RunData) -> Sequence[Cell]:
        """The cells below the heading, at least one; asked only where the section applies."""
        ...


def prose(text: str) -> Cell:
    """A cell of Markdown."""
    return Cell("markdown", text)


def code(module: str, *expressions: str) -> tuple[Cell, ...]:
    """A cell for each expression `f(run)`, which imports `f` from the module and shows what it returns."""
    return tuple(
        Cell("code", f"from {module} import {expression.partition('(')[0]}\n\n{expression}")
        for expression in expressions
    )


@cache
def report_sections() -> tuple[ReportSection, ...]:
    """Every registered section in the order of reports: built-ins and plug-ins through the same entry points.

    Raises ReportError where two have one name.
    """
    found: dict[str, ReportSection] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        section: ReportSection = point.load()()
        if section.name in found:
            raise ReportError(
                f"two report sections are named {section.name!r} (second: {point.value}); rename the plug-in"
            )
        found[section.name] = section
    if not found:
        raise ReportError("no report section is registered: install the package (`./bootstrap install` does)")
    return tuple(sorted(found.values(), key=lambda section: (section.place, section.name)))
