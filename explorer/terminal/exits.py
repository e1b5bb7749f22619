"""How a command ends: every foreseen failure is a message on stderr and an exit code, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.text import Text

from codegen.errors import ExploreError
from explorer.errors import CheckFailedError
from explorer.terminal.console import stderr
from explorer.terminal.interrupts import no_interrupt_lost
from explorer.terminal.output_errors import output_errors

EXIT_CHECK_FAILED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


@contextmanager
def reported(resumable: bool = False, place: Path | None = None) -> Iterator[None]:
    """Turns errors of a command's body into exits; `resumable` commands tell how to go on after an interrupt.

    `place` is where the command writes: a disk that is full does not say which.
    """
    try:
        with no_interrupt_lost(), output_errors(place):
            yield
    except CheckFailedError as error:
        _leave(error, EXIT_CHECK_FAILED)
    except ExploreError as error:
        _leave(error, EXIT_ERROR)
    except KeyboardInterrupt:
        then = "; the same command goes on where it stopped, no sample is lost" if resumable else ""
        stderr().print(f"interrupted{then}", markup=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def tell_error(error: ExploreError) -> None:
    """Class and message on standard error."""
    console = stderr()
    text = Text.assemble(("error", "bold red"), f" ({type(error).__name__}): {error}")
    console.print(text, soft_wrap=not console.is_terminal)


def _leave(error: ExploreError, code: int) -> None:
    tell_error(error)
    raise typer.Exit(code) from error
