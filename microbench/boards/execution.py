"""Where compiled programs run: here, or on a board elsewhere. Harness and bundles do not see the difference."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from microbench.boards.subprocesses import Ended, run_limited
from microbench.errors import BoardError


@dataclass(frozen=True)
class Finished:
    """How a program ended and what it wrote; a file it did not write is absent."""

    ended: Ended
    outputs: Mapping[str, bytes]


class Executor(Protocol):
    """Runs an executable in a fresh directory that holds `files`, within a limit, and reads `outputs` back.

    File names are plain and relative to that directory. Raises BoardError where the machine cannot do it.
    """

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished: ...


class LocalExecutor:
    """This machine."""

    def execute(
        self,
        executable: Path,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        outputs: Sequence[str],
        limit_s: float,
    ) -> Finished:
        """See `Executor`."""
        with tempfile.TemporaryDirectory(prefix="explore-run-") as scratch:
            directory = Path(scratch)
            try:
                for name, content in files.items():
                    (directory / name).write_bytes(content)
            except OSError as error:
                raise BoardError(
                    f"inputs cannot be written to {scratch}: {error.strerror}; free some space"
                ) from error
            ended = run_limited([executable, *arguments], limit_s, directory)
            written = {name: directory / name for name in outputs if (directory / name).is_file()}
            return Finished(ended, {name: path.read_bytes() for name, path in written.items()})
