"""What a failing file system means to the user."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from explorer.errors import OutputError

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


@contextmanager
def output_errors(place: Path | None = None) -> Iterator[None]:
    """Turns the system's errors of files into OutputErrors; others pass.

    `place` is what is written: a disk that is full does not say which.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise output_error(error, place) from error


def output_error(error: OSError, place: Path | None = None) -> OutputError:
    """The error with its remedy."""
    named = error.filename or place
    return OutputError(f"{f'{named}: ' if named else ''}{_REMEDIES[error.errno or 0]} ({error.strerror})")
