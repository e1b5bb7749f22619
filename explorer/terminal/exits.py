"""How a command ends: every foreseen failure is a message on stderr and an exit code, never a traceback."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from codegen.errors import ExploreError
from explorer.errors import CheckFailedError, OutputError
from explorer.terminal.console import stderr

EXIT_CHECK_FAILED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


@contextmanager
def reported(resumable: bool = False, place: Path | None = None) -> Iterator[None]:
    """Turns errors of a command's body into exits; `resumable` commands tell how to go on after an interrupt.

    `place` is where the command writes: a disk that is full does not say which.
    """
    try:
        yield
    except CheckFailedError as error:
        _leave(error, EXIT_CHECK_FAILED)
    except ExploreError as error:
        _leave(error, EXIT_ERROR)
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        _leave(output_error(error, place), EXIT_ERROR)
    except KeyboardInterrupt:
        then = "; the same command goes on where it stopped, no sample is lost" if resumable else ""
        stderr().print(f"interrupted{then}", markup=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None


_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again, no sample is lost",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    errno.EEXIST: "a file is in the way: name another with --out",
    errno.ENOENT: "it is not there and cannot be made: name another with --out",
    errno.ENAMETOOLONG: "the name is too long: name another with --out",
    errno.EIO: "the disk fails: check it, or name another with --out",
    errno.EPERM: "this is not permitted: make it writable, or name another with --out",
    errno.EROFS: "the file system is read-only: name another directory with --out",
    errno.EACCES: "no permission: make it accessible, or name another with --out",
    errno.ENOTDIR: "a part of the path is a file: name another with --out",
    errno.EISDIR: "it is a directory: name a file",
}


def output_error(error: OSError, place: Path | None = None) -> OutputError:
    """What a failing file system means to the user."""
    named = error.filename or place
    return OutputError(f"{f'{named}: ' if named else ''}{_REMEDIES[error.errno or 0]} ({error.strerror})")


def tell_error(error: ExploreError) -> None:
    """Class and message on standard error."""
    console = stderr()
    console.print(f"[bold red]error[/bold red] ({type(error).__name__}):", end=" ")
    console.print(str(error), markup=False)


def _leave(error: ExploreError, code: int) -> None:
    tell_error(error)
    raise typer.Exit(code) from error
