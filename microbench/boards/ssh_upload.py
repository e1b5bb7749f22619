"""Files put on a board whole or not at all, and what its disk has left for them."""

from __future__ import annotations

import contextlib
import io
import re
import secrets

import paramiko

from microbench.boards.ssh_channel import BROKEN

# Names an upload may have there: no slash, nothing hidden, nothing a shell or a command's options would take apart.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FREE_KB = re.compile(r"\S.*?\s+\d+\s+\d+\s+(-?\d+)\s+\d+%\s+/.*")


def has_whole(sftp: paramiko.SFTPClient, path: str, size: int) -> bool:
    """Whether a file of that size is there; one that is incomplete never has its final name."""
    return _size_of(sftp, path) == size


def make_directories(sftp: paramiko.SFTPClient, directory: str) -> None:
    """Those of the path that are missing, for this user alone."""
    parts = directory.split("/")
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        if path and _size_of(sftp, path) is None:
            sftp.mkdir(path, 0o700)


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


def _size_of(sftp: paramiko.SFTPClient, path: str) -> int | None:
    try:
        return sftp.stat(path).st_size
    except FileNotFoundError:
        return None
