"""Reads a journal as far as it is written."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from explorer.errors import RunDataError
from explorer.live.journal import JOURNAL_FILE

Event = dict[str, Any]


class Tail:
    """The journal of a run that goes on, held open: it can be read to its end after the run has removed it.

    Raises RunDataError where no run goes on in the directory.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / JOURNAL_FILE
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise RunDataError(
                f"no run goes on in {directory} ({JOURNAL_FILE}: {error.strerror}): name the directory of a run that "
                "is under way; of a finished one `explore report` makes a page"
            ) from error
        self._rest = b""
        if not self.is_written():
            self._file.close()
            raise RunDataError(
                f"no run goes on in {directory}: the one that wrote {JOURNAL_FILE} was killed; the same `explore run` "
                "goes on where it stopped"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def is_written(self) -> bool:
        """Whether the run that writes it lives."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def events(self) -> Iterator[Event]:
        """What has come since this was asked before; a line that is being written comes the next time.

        Raises RunDataError for what is no line of a journal.
        """
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError as error:
                raise RunDataError(f"{self._path} is damaged: {error}") from error
