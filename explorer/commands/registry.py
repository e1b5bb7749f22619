"""Commands by entry point: each names a function or a typer app; built-ins and plug-ins go the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

import typer

from explorer.errors import CommandError

ENTRY_POINT_GROUP = "explore.commands"

Command = Callable[..., None] | typer.Typer


def commands() -> Mapping[str, Command]:
    """Every registered command by the name of its entry point, in the order of names.

    Raises CommandError where two have one name, one does not load, or is neither a function nor a typer app.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: (p.name, p.value)):
        if point.name in found:
            raise CommandError(
                f"two commands are named {point.name!r} ({found[point.name].value} and {point.value}); "
                "rename the entry point of the plug-in, or uninstall it"
            )
        found[point.name] = point
    if not found:
        raise CommandError("no command is registered: install the package (`./bootstrap install` does)")
    return {name: _load(point) for name, point in found.items()}


def add_commands(app: typer.Typer) -> None:
    """Puts every registered command into the app; raises as `commands` does."""
    for name, command in commands().items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name=name)(command)


def _load(point: EntryPoint) -> Command:
    try:
        command: Command = point.load()
    except (ImportError, AttributeError, TypeError) as error:
        raise CommandError(
            f"command {point.name!r} ({point.value}) does not load: {error}; reinstall or uninstall what brings it"
        ) from error
    if not callable(command):
        raise CommandError(
            f"command {point.name!r} ({point.value}) is neither a function nor a typer app; "
            "let its entry point name one"
        )
    return command
