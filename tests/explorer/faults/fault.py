"""A fault of the link, of a process, of the board or of a kernel, as every trial sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from tests.explorer.faults.rig import Event, Rig, SteppedRun
from tests.explorer.faults.steps import STEPS, Step


class Fault(Protocol):
    """One way to fail, tried at each of its steps in a run of its own."""

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> Sequence[Step]: ...

    def why_not(self) -> str | None:
        """Why it cannot be tried on this machine, or None."""
        ...

    @contextmanager
    def prepared(self, rig: Rig) -> Iterator[Rig]:
        """The rig of a trial, with whatever the fault needs."""
        ...

    def strike(self, rig: Rig, run: SteppedRun, step: Step) -> str:
        """Lets it happen while the run waits; returns what the run is answered."""
        ...

    def notice(self, rig: Rig, event: Event) -> None:
        """Something happened after the fault struck."""
        ...

    def mend(self, rig: Rig) -> None:
        """What a user does before the same command is given again; also called where that is not needed."""
        ...

    def seen(self, rig: Rig) -> str:
        """What was seen of it elsewhere than on the run's terminal; empty: nothing."""
        ...


class PlainFault:
    """What most faults have in common: nothing to prepare, to notice, or to mend."""

    steps: Sequence[Step] = STEPS

    def why_not(self) -> str | None:
        return None

    @contextmanager
    def prepared(self, rig: Rig) -> Iterator[Rig]:
        yield rig

    def notice(self, rig: Rig, event: Event) -> None: ...

    def mend(self, rig: Rig) -> None: ...

    def seen(self, rig: Rig) -> str:
        return ""
