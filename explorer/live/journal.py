"""What a run tells while it goes on, as lines of JSON in its directory, for whoever watches it from another process.

The file is there as long as the run: it is locked by the run, and removed when it ends. A run that was killed leaves it
behind without the lock.
"""

from __future__ import annotations

import fcntl
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from explorer.terminal.progress import FoundPlan, Outlook, Progress
from microbench.store import Sample

JOURNAL_FILE = "live.jsonl"

_LOG = logging.getLogger(__name__)


class Journal:
    """Passes news on to another progress, and writes them down from when the run has a directory.

    `about`: which run it is, by name; `begun`: called with the directory once it can be watched. A file that cannot be
    written is told in the log and ends the journal, not the run.
    """

    def __init__(
        self, told: Progress, about: Mapping[str, str], begun: Callable[[Path], None] = lambda place: None
    ) -> None:
        self._told = told
        self._about = about
        self._has_begun = begun
        self._file: IO[str] | None = None
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        how = "finished" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed"
        self._write("ended", how=how, message=str(error) if how == "failed" else "")
        self._close()

    def directory(self, place: Path) -> None:
        """Begins the file."""
        self._told.directory(place)
        try:
            self._file = (place / JOURNAL_FILE).open("a", encoding="utf-8")
            # Whoever runs in the same directory at the same time writes it; its lines are not mixed with these.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.truncate(0)
        except OSError as error:
            _say_why(error)
            if self._file is not None:
                file, self._file = self._file, None  # another's
                _close_quietly(file)
            return
        self._write("run", directory=str(place), **self._about)
        self._has_begun(place)

    def phase(self, title: str) -> None:
        self._told.phase(title)
        self._write("phase", title=title)

    def outlook(self, outlook: Outlook) -> None:
        self._told.outlook(outlook)
        self._write("round", best_s=outlook.best_s, left=outlook.left, reasons=dict(outlook.reasons))

    def expect(self, measurements: int) -> None:
        self._told.expect(measurements)
        self._write("expect", count=measurements)

    def done(self) -> None:
        self._told.done()
        self._write("done")

    def sample(self, sample: Sample, measured: bool) -> None:
        self._told.sample(sample, measured)
        self._write(
            "sample",
            id=sample.id,
            candidate=sample.candidate_hash,
            layer=sample.candidate.spec.describe(),
            algorithm=sample.candidate.choice.algorithm,
            status=sample.status,
            kind=sample.kind,
            time_s=sample.time_s if sample.times_s else None,
            measured=measured,
        )

    def plan(self, plan: FoundPlan) -> None:
        self._told.plan(plan)
        self._write(
            "plan", name=plan.name, time_s=plan.time_s, memory_bytes=plan.memory_bytes, kind=plan.kind
        )

    def _write(self, event: str, **content: object) -> None:
        if self._file is None:
            return
        line = json.dumps({"event": event, "at_s": round(time.monotonic() - self._begun, 3), **content})
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            _say_why(error)
            self._close()  # on a full disk it is in the way of what the run is for

    def _close(self) -> None:
        """Readers that have it open read it to its end."""
        if self._file is not None:
            Path(self._file.name).unlink(missing_ok=True)
            file, self._file = self._file, None
            _close_quietly(file)


def _say_why(error: OSError) -> None:
    _LOG.warning("nobody can watch this run: %s cannot be written (%s)", JOURNAL_FILE, error.strerror)


def _close_quietly(file: IO[str]) -> None:
    """What could not be written is tried again when a file is closed."""
    try:
        file.close()
    except OSError as error:
        _LOG.info("%s: %s", file.name, error.strerror)
