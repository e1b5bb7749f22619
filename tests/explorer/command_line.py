"""The command line as tests use it: in this process, or as a program of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from explorer.cli import command_line

RUNNER = CliRunner()
PROGRAM = (sys.executable, "-c", "from explorer.cli import main; main()")


def explore(*arguments: str | Path) -> Result:
    """`explore` with these arguments, in this process."""
    return RUNNER.invoke(command_line(), [str(argument) for argument in arguments])


def null_run(model: Path | str, directory: Path, *more: str | Path) -> tuple[str | Path, ...]:
    """The arguments of a quick run on the null board, with store and results in a directory."""
    place = ("--store", directory / "samples.sqlite", "--out", directory / "out")
    return ("run", "--board", "null", "--layer-budget", "3", "--model", model, *place, *more)


def run(model: Path | str, directory: Path, *more: str | Path) -> Result:
    """That run, in this process."""
    return explore(*null_run(model, directory, *more))


def refused(result: Result, *texts: str) -> None:
    """The command ended with exit code 2, all of these texts on stderr, and no traceback."""
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    for text in texts:
        assert text in result.stderr


def program(*arguments: str | Path, before: str = "") -> subprocess.CompletedProcess[str]:
    """`explore` as a program of its own; `before` is what a shell does first."""
    words = [*PROGRAM, *map(str, arguments)]
    if before:
        words = ["unshare", "-rm", "sh", "-c", before + ' && exec "$@"', "sh", *words]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
