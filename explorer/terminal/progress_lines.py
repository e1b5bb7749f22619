"""Progress of a run in lines, where nobody sees bars move: a pipe, a file, a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from explorer.terminal.progress import FoundPlan, Outlook
from explorer.terminal.progress_bars import ConsoleProgress
from explorer.terminal.rounds import Round
from explorer.terminal.units import seconds
from microbench.store import Sample


class ProgressLines:
    """A line when a phase ends, and when a round of a search begins."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._begin("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()

    def directory(self, place: Path) -> None:
        """The end of the run tells it."""

    def phase(self, title: str) -> None:
        """Tells what the one before came to."""
        self._finish()
        self._begin(title)

    def outlook(self, outlook: Outlook) -> None:
        """Tells how the round begins."""
        self._round = Round(outlook)
        self._say(f"{self._title}: {len(outlook.reasons)} candidates; {self._round.line}")

    def expect(self, measurements: int) -> None:
        """Lines do not move."""

    def done(self) -> None:
        """One more."""
        self._count += 1

    def sample(self, sample: Sample, measured: bool) -> None:
        """One more."""
        self._round.take(sample, measured)
        self._sampled = True
        self._count += 1

    def plan(self, plan: FoundPlan) -> None:
        """Tells it."""
        self._say(f"{self._title}: {plan.name}, {seconds(plan.time_s)} ({plan.kind})")

    def _begin(self, title: str) -> None:
        self._title, self._start = title, self._clock()
        self._round, self._count, self._sampled = Round(), 0, False

    def _finish(self) -> None:
        if self._title:
            counted = f"{self._count} done, " if self._count else ""
            noted = f"{self._round.note}, " if self._sampled else ""
            self._say(f"{self._title}: {counted}{noted}{self._clock() - self._start:.1f} s")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def progress_on(console: Console) -> ConsoleProgress | ProgressLines:
    """Bars on a terminal, lines elsewhere."""
    return ConsoleProgress(console) if console.is_terminal else ProgressLines(console)
