"""A directory of results belongs to one run: its run.json says to which, from before the search on."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from explorer.errors import RunExistsError, SampleFileError, UsageError
from explorer.runs.files import COMMAND_FILE, command_text
from explorer.settings import RunSettings

DIGITS = 8  # of an identity, in a directory's name
UNKNOWN = "unknown"  # the identity of a run that did not say it
# What a run and its report leave; of another run that is overwritten, nothing else is removed.
FILES = (
    "plan.json", "cpu_plan.json", "summary.json", "samples.csv", "reasons.csv", "counters.csv", "run.json",
    "table.txt", "layers.csv", "layers.png", "candidates.png", "model.onnx", "front.csv", "front.json",
    "report.ipynb", "report.html", "live.jsonl",
)  # fmt: skip
DIRECTORIES = ("bundle", "front")


def claim(settings: RunSettings, identity: str) -> RunSettings:
    """The same settings with a directory that is this run's: it is made, and its run.json says whose it is.

    By default that is MODEL-DEVICE, and where another run has it, the same with the first digits of the identity.
    Raises RunExistsError for a directory of another run that the user named, unless it is to be overwritten, and
    OSError at once where a long search would end in vain.
    """
    places = list(_places(settings, identity))
    for place in places:
        if _taken(place, settings, identity):
            return replace(settings, out=place)
    raise RunExistsError(
        f"{places[-1]} holds results of another run ({_command(places[-1])}): name another directory with --out, or "
        "give --overwrite to put this run in its place"
    )


@contextlib.contextmanager
def given_back_if_refused(directory: Path) -> Iterator[None]:
    """Leaves a claimed directory to whoever asks next, where what was asked for cannot be done and no plan is there."""
    try:
        yield
    except (SampleFileError, UsageError):
        if not (directory / "plan.json").exists():
            (directory / COMMAND_FILE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                directory.rmdir()  # unless somebody has something there
        raise


def owner_of(directory: Path) -> str | None:
    """The identity of the run that a directory belongs to; None where it is nobody's."""
    if not (directory / COMMAND_FILE).exists():
        return UNKNOWN if (directory / "plan.json").exists() else None
    return str(_content(directory).get("identity", UNKNOWN))


def _places(settings: RunSettings, identity: str) -> Iterator[Path]:
    yield settings.directory
    if settings.out is None and not settings.overwrite:
        yield settings.directory.with_name(f"{settings.directory.name}-{identity[:DIGITS]}")


def _taken(place: Path, settings: RunSettings, identity: str) -> bool:
    """Whether the directory is this run's from now on, or was before."""
    place.mkdir(parents=True, exist_ok=True)
    if owner_of(place) not in (None, identity):
        if not settings.overwrite:
            return False
        _clear(place)
    try:
        _write(place / COMMAND_FILE, command_text(settings, identity))
    except FileExistsError:
        return owner_of(place) == identity  # it may be another run's by now
    return True


def _write(path: Path, text: str) -> None:
    """A new file; raises FileExistsError where there is one, other OSErrors with the name of its directory."""
    try:
        tempfile.TemporaryFile(
            dir=path.parent
        ).close()  # also where there is one: more is to be written beside it
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise
    except OSError as error:
        path.unlink(missing_ok=True)  # half of it would be a run's that nobody knows
        raise OSError(error.errno, error.strerror, str(path.parent)) from error


def _clear(place: Path) -> None:
    for name in FILES:
        (place / name).unlink(missing_ok=True)
    for name in DIRECTORIES:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(place / name)


def _command(directory: Path) -> str:
    words = _content(directory).get("command")
    return " ".join(map(str, words)) if isinstance(words, list) else "which does not say what it was"


def _content(directory: Path) -> dict[str, object]:
    try:
        content = json.loads((directory / COMMAND_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
