"""Progress of a run on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from explorer.terminal.console import shown
from explorer.terminal.progress import FoundPlan, Outlook
from explorer.terminal.rounds import Round
from explorer.terminal.units import seconds
from microbench.store import Sample


class ConsoleProgress:
    """One bar per phase, and below them, while a search goes on, what is known of the plan, what is measured and why;
    what failed is counted, not listed: the store has the messages.
    """

    def __init__(self, console: Console) -> None:
        self._bars = _BarsAndLine(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._round = Round()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        else:
            self._take_back()
        self._bars.line = ""
        self._bars.stop()

    def directory(self, place: Path) -> None:
        """The end of the run tells it."""

    def phase(self, title: str) -> None:
        """Ends the bar before and starts one that pulses until something is expected."""
        self._finish()
        self._round, self._bars.line = Round(), ""
        self._task = self._bars.add_task(shown(title), total=None, note="")

    def outlook(self, outlook: Outlook) -> None:
        """Shows the line."""
        self._round = Round(outlook)
        self._bars.line = self._round.line

    def expect(self, measurements: int) -> None:
        """Gives the bar its length."""
        if self._task is not None and measurements:
            self._bars.update(self._task, total=measurements)

    def done(self) -> None:
        """Moves the bar."""
        if self._task is not None:
            self._bars.update(self._task, advance=1)

    def sample(self, sample: Sample, measured: bool) -> None:
        """Moves the bar, and the line to what comes next."""
        self._round.take(sample, measured)
        self._bars.line = self._round.line
        if self._task is not None:
            self._bars.update(self._task, advance=1, note=self._round.note)

    def plan(self, plan: FoundPlan) -> None:
        """Shows it below the bars until the phase ends."""
        self._bars.line = f"{plan.name}: {seconds(plan.time_s)} ({plan.kind})"

    def _take_back(self) -> None:
        """A bar that never had a length says nothing beside the error that ended it."""
        for task in self._bars.tasks:
            if task.id == self._task and task.total is None:
                self._bars.remove_task(task.id)

    def _finish(self) -> None:
        """A phase without measurements is one thing done."""
        for task in self._bars.tasks:
            if task.id == self._task and task.total is None:
                self._bars.update(task.id, total=1, completed=1)


class _BarsAndLine(Progress):
    """Bars with a line of text below, cut where the terminal ends."""

    line = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.line:
            yield Text(shown(self.line), no_wrap=True, overflow="ellipsis")
