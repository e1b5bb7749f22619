"""What a round of measurements has come to, in words."""

from __future__ import annotations

from explorer.terminal.progress import Outlook
from microbench.store import Sample


class Round:
    """Counts samples; tells which measurement is under way: the first of those that are left."""

    def __init__(self, outlook: Outlook | None = None) -> None:
        self._outlook = outlook
        self._due = dict(outlook.reasons) if outlook else {}
        self._new = self._bad = 0

    def take(self, sample: Sample, measured: bool) -> None:
        """One of them is known."""
        self._new += measured
        self._bad += sample.status != "ok"
        self._due.pop(sample.candidate_hash, None)

    @property
    def note(self) -> str:
        """How many are new, and unusable."""
        return f"{self._new} new" + (f", {self._bad} unusable" if self._bad else "")

    @property
    def due(self) -> str:
        """What is measured, and why; empty where nothing is."""
        return next(iter(self._due.values()), "")

    @property
    def line(self) -> str:
        """The plan so far, what is left of the budget, what is measured and why; empty outside of searches."""
        if self._outlook is None:
            return ""
        return "; ".join(part for part in (self._outlook.text, self.due) if part)
