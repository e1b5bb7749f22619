"""`explore run --again`: the options of an earlier run, but for those that are given anew."""

from __future__ import annotations

from pathlib import Path

import typer

from explorer.errors import UsageError
from explorer.runs.files import recorded_command

REPEATED = "explorer.commands.again"  # in a context's meta: its options are put together already
TYPED = "COMMANDLINE"  # what click calls the source of an option that was typed


def repeat(context: typer.Context, directory: Path) -> None:
    """Calls the command with the options that run.json names and those of the context that were typed.

    Raises RunDataError where run.json says no command, and UsageError for a model that is not given anew: run.json
    knows its name, but not its place.
    """
    given = {
        name: value
        for name, value in context.params.items()
        if (source := context.get_parameter_source(name)) is not None and source.name == TYPED
    }
    if "network" in given:
        given["model"] = given.pop("network")
    command = context.command
    earlier = command.make_context(
        context.info_name, list(recorded_command(directory)), parent=context.parent
    )
    model = earlier.params.get("model")
    if model is not None and "model" not in given and not Path(model).is_file():
        raise UsageError(f"{directory} is a run of {model}, which is not here: name it with --model")
    earlier.params |= given
    earlier.meta[REPEATED] = True
    command.invoke(earlier)
