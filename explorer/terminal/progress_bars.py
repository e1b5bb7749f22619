"""Progress of a run on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from microbench.store import Sample


class ConsoleProgress:
    """One bar per phase; what failed is counted, not listed: the store has the messages."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._new = self._bad = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        self._bars.stop()

    def phase(self, title: str) -> None:
        """Ends the bar before and starts one that pulses until something is expected."""
        self._finish()
        self._new = self._bad = 0
        self._task = self._bars.add_task(title, total=None, note="")

    def expect(self, measurements: int) -> None:
        """Gives the bar its length."""
        if self._task is not None and measurements:
            self._bars.update(self._task, total=measurements)

    def done(self) -> None:
        """Moves the bar."""
        if self._task is not None:
            self._bars.update(self._task, advance=1)

    def sample(self, sample: Sample, measured: bool) -> None:
        """Moves the bar."""
        self._new += measured
        self._bad += sample.status != "ok"
        note = f"{self._new} new" + (f", {self._bad} unusable" if self._bad else "")
        if self._task is not None:
            self._bars.update(self._task, advance=1, note=note)

    def _finish(self) -> None:
        """A phase without measurements is one thing done."""
        for task in self._bars.tasks:
            if task.id == self._task and task.total is None:
                self._bars.update(task.id, total=1, completed=1)
