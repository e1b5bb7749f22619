"""Writes the file of named boards, keeping what its owner wrote besides."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError

from microbench.devices import NamedBoard, check_name, explained, parse_devices, read_devices
from microbench.errors import DevicesError


def new_board(**fields: object) -> NamedBoard:
    """A board of these fields, those that are None left out; raises DevicesError naming the wrong one."""
    try:
        return NamedBoard.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        raise DevicesError(explained(error)) from error


def add_board(path: Path, name: str, board: NamedBoard, replace: bool = False) -> None:
    """Puts a board into the file, which is replaced as a whole or not at all; comments and order stay.

    Raises DevicesError for a name that is taken (unless `replace`) or no name, for a malformed file, and where it
    cannot be written.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise DevicesError(f"{error}; choose another") from error
    if name in read_devices(path) and not replace:
        raise DevicesError(f"{path} has a board {name!r}; choose another name, or give --replace")
    text = _with_board(path, name, board)
    parse_devices(text, str(path))
    _put(path, text)


def remove_board(path: Path, name: str) -> None:
    """Takes a board out of the file, the rest of which stays; harmless where it is not in it. Raises as `add_board`."""
    if name not in read_devices(path):
        return
    document = _document(path)
    boards = document["boards"]
    assert isinstance(boards, dict)
    del boards[name]
    _put(path, tomlkit.dumps(document))


def _put(path: Path, text: str) -> None:
    try:
        _write_whole(path, text)
    except OSError as error:
        raise DevicesError(
            f"{path}: cannot be written: {error.strerror}; make it writable, or name another file with --devices"
        ) from error


def _document(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    except (OSError, TOMLKitError) as error:
        raise DevicesError(f"{path}: cannot be read: {error}; name another file with --devices") from error


def _with_board(path: Path, name: str, board: NamedBoard) -> str:
    document = _document(path)
    if "boards" not in document:
        document["boards"] = tomlkit.table(is_super_table=True)
    entry = tomlkit.table()
    for key, value in board.model_dump(exclude_none=True).items():
        entry[key] = value
    boards = document["boards"]
    if not isinstance(boards, dict):
        raise DevicesError(f"{path}: boards: is no table; remove it")
    boards[name] = entry
    return tomlkit.dumps(document)


def _write_whole(path: Path, text: str) -> None:
    """Under a temporary name first: whoever reads meanwhile sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
