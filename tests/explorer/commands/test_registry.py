from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points, version

import pytest
import typer

from explorer.cli import main
from explorer.commands import registry
from explorer.errors import CommandError
from tests.explorer.command_line import explore, program

GROUP = registry.ENTRY_POINT_GROUP
BUILT_IN = {
    *("algorithms", "bench", "calibrate", "compare", "compile", "devices", "doctor"),
    *("explain", "qpu", "report", "run", "runs", "samples", "zoo"),
}


def greet(name: str) -> None:
    """A plug-in's command."""
    typer.echo(f"hello {name}")


NOT_A_COMMAND = 3

group = typer.Typer(help="A plug-in's group.")
group.command()(greet)
group.command(name="again")(greet)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points that are there besides the installed ones."""
    more: list[EntryPoint] = []
    installed = entry_points
    monkeypatch.setattr(registry, "entry_points", lambda group: [*installed(group=group), *more])
    return more


def test_every_built_in_command_is_an_entry_point() -> None:
    assert set(registry.commands()) >= BUILT_IN
    help_text = explore("--help").output
    assert all(f" {name} " in help_text for name in BUILT_IN)


def test_a_plug_in_adds_a_function_or_a_group(register: list[EntryPoint]) -> None:
    register += [
        EntryPoint("greet", f"{__name__}:greet", GROUP),
        EntryPoint("plug", f"{__name__}:group", GROUP),
    ]
    assert explore("greet", "board").output == "hello board\n"
    assert explore("plug", "again", "board").output == "hello board\n"


@pytest.mark.parametrize(
    "point, words",
    [
        (
            EntryPoint("run", f"{__name__}:greet", GROUP),
            ("'run'", "explorer.commands.run:run", "greet", "rename"),
        ),
        (EntryPoint("gone", "no_such_package:run", GROUP), ("'gone'", "no_such_package:run", "reinstall")),
        (EntryPoint("gone", f"{__name__}:nothing", GROUP), ("'gone'", "nothing", "reinstall")),
        (
            EntryPoint("three", f"{__name__}:NOT_A_COMMAND", GROUP),
            ("'three'", "NOT_A_COMMAND", "let its entry point"),
        ),
    ],
)
def test_a_bad_plug_in_is_named_with_the_remedy(
    register: list[EntryPoint],
    point: EntryPoint,
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    register.append(point)
    with pytest.raises(CommandError) as raised:
        registry.commands()
    assert all(word in str(raised.value) for word in words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"error (CommandError): {raised.value}" in capsys.readouterr().err


def test_without_an_installation_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    with pytest.raises(CommandError, match="install"):
        registry.commands()


def test_the_version_is_printed() -> None:
    assert explore("--version").output == f"explore {version('explore-edge')}\n"
    assert program("--version").stdout == f"explore {version('explore-edge')}\n"
