"""Each room of the explorer imports only from rooms below it or from itself, so that there is no circle of rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_floors import imported_modules

# Rooms and the few files beside them, the lowest first.
ROOMS = (
    "errors",
    "one_thread",
    "terminal",
    "objectives",
    "compose",
    "solvers",
    "inspect",
    "measure",
    "search",
    "strategies",
    "farm",
    "settings",
    "runs",
    "plans",
    "front",
    "live",
    "rehearse",
    "robust",
    "samples",
    "twin",
    "pipeline",
    "infer",
    "stream",
    "report",
    "backend",
    "studies",
    "qpu",
    "api",
    "commands",
    "cli",
)
EXPLORER = Path(__file__).parents[2] / "explorer"


def higher_rooms(room: str, source: str) -> set[str]:
    """Modules of rooms above this one, or of none that is listed, that a source in it imports."""
    allowed = ROOMS[: ROOMS.index(room) + 1]
    names = [module.split(".") for module in imported_modules(source) if module.split(".")[0] == "explorer"]
    return {".".join(name) for name in names if len(name) < 2 or name[1] not in allowed}


def sources(room: str) -> list[Path]:
    """The files of a room, or the one file beside the rooms."""
    return sorted((EXPLORER / room).rglob("*.py")) or [EXPLORER / f"{room}.py"]


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_imports_a_higher_one(room: str) -> None:
    found = {
        str(path.relative_to(EXPLORER)): higher_rooms(room, path.read_text("utf-8")) for path in sources(room)
    }
    assert {name: modules for name, modules in found.items() if modules} == {}


def test_every_room_and_file_has_its_place() -> None:
    files = {path.stem for path in EXPLORER.glob("*.py")} - {"__init__"}
    folders = {path.parent.relative_to(EXPLORER).parts[0] for path in EXPLORER.glob("*/**/*.py")}
    assert files | folders == set(ROOMS)


def test_an_import_of_a_higher_room_is_seen_wherever_it_hides() -> None:
    source = "def f():\n    from explorer.search.search import search\n    import explorer.cli\n"
    assert higher_rooms("compose", source) == {"explorer.search.search", "explorer.cli"}
    assert higher_rooms("runs", source) == {"explorer.cli"}
    assert higher_rooms("cli", source) == set()
    assert higher_rooms("cli", "from explorer import cli\n") == {"explorer"}
