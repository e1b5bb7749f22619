"""The fourth axis of extension: a section of a report turns a run's data into a few tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Protocol

from explorer.errors import ReportError
from explorer.report.exhibits import Shown
from explorer.runs.data import RunData

ENTRY_POINT_GROUP = "explore.report_sections"


# A paragraph, or a function that makes something to show of a run: the page calls it, the notebook has a cell for it.
Part = str | Callable[[RunData], Shown]


class ReportSection(Protocol):
    """One part of a report, made of the run's directory alone.

    Its functions are named ones of a module, so that a notebook can import and call them; data come from `run`, so that
    text from a model file is never run as code. A paragraph holds no data of the run.
    """

    name: str  # as in file names: lower case, underscores
    title: str  # the heading
    place: int  # sections stand in this order; the built-in ones are tens
    needs: str  # what a run must have left for this section, for readers of a report that goes without it

    def applies(self, run: RunData) -> bool:
        """Whether the run left what the section needs."""
        ...

    def parts(self, run: RunData) -> Sequence[Part]:
        """What stands below the heading, at least one part; asked only where the section applies."""
        ...


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
