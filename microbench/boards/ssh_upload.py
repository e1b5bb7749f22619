"""Files put on a board whole or not at all, and what its disk has left for them."""

from __future__ import annotations

import contextlib
import io
import re
import secrets
import stat

import paramiko

from microbench.boards.ssh_channel import BROKEN
from microbench.errors import UploadPlaceError

ROOT = 0
_ANOTHER_PLACE = "name a directory of the user's own, by its real path, as the place of the runner"

# Names an upload may have there: no slash, nothing hidden, nothing a shell or a command's options would take apart.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FREE_KB = re.compile(r"\S.*?\s+\d+\s+\d+\s+(-?\d+)\s+\d+%\s+/.*")


def may_be_whole(sftp: paramiko.SFTPClient, path: str, size: int, user: int) -> bool:
    """Whether a file of that size, a program of this user or of root, is there; what it holds its hash must tell."""
    found = _found(sftp, path)
    if found is None or found.st_mode is None or not stat.S_ISREG(found.st_mode):
        return False
    return found.st_size == size and found.st_uid in (user, ROOT) and bool(found.st_mode & stat.S_IXUSR)


def make_directories(sftp: paramiko.SFTPClient, directory: str, user: int) -> None:
    """Those of the path that are missing, for this user alone.

    Raises UploadPlaceError for a part through which somebody else could put other files in the place of the uploaded.
    """
    parts = directory.split("/")
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        if not path:
            continue
        found = _found(sftp, path)
        if found is None:
            sftp.mkdir(path, 0o700)
        else:
            _check_part(path, found, user)


def _check_part(path: str, found: paramiko.SFTPAttributes, user: int) -> None:
    mode = found.st_mode or 0
    if not stat.S_ISDIR(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no directory"
        raise UploadPlaceError(f"{path} is {kind}; {_ANOTHER_PLACE}")
    if found.st_uid not in (user, ROOT):
        raise UploadPlaceError(f"{path} belongs to user {found.st_uid}, not to {user}; {_ANOTHER_PLACE}")
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise UploadPlaceError(f"{path} may be written by anybody; on the board: chmod o-w {path}")


def put_whole(sftp: paramiko.SFTPClient, content: bytes, directory: str, name: str) -> None:
    """An executable file, under a hidden name until it is complete; a failure leaves nothing behind.

    What a lost connection leaves, the next runner removes once it is old.
    """
    temporary = f"{directory}/.{name}.{secrets.token_hex(8)}"
    try:
        sftp.putfo(io.BytesIO(content), temporary, file_size=len(content), confirm=True)
        sftp.chmod(temporary, 0o700)
        sftp.posix_rename(temporary, f"{directory}/{name}")
    except BaseException:
        with contextlib.suppress(*BROKEN):
            sftp.remove(temporary)
        raise


def free_bytes(listing: str) -> int | None:
    """The free space in what `df -Pk` says of one place; None where it says something else."""
    lines = listing.splitlines()
    match = _FREE_KB.fullmatch(lines[-1].strip()) if len(lines) > 1 else None
    return max(int(match[1]), 0) * 1024 if match else None


def _found(sftp: paramiko.SFTPClient, path: str) -> paramiko.SFTPAttributes | None:
    """What is at the path itself: of a link the link."""
    try:
        return sftp.lstat(path)
    except FileNotFoundError:
        return None
