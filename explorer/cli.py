"""The command `explore`; its commands are entry points (`explorer.commands.registry`), heavy packages their own."""

from __future__ import annotations

import gc
import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from codegen.errors import ExploreError
from explorer.commands.registry import add_commands
from explorer.terminal.exits import EXIT_ERROR, EXIT_INTERRUPTED, tell_error

DISTRIBUTION = "explore-edge"
GARBAGE = 50_000, 20, 100  # see `gc.set_threshold`: what a command makes mostly lives to its end


def command_line() -> typer.Typer:
    """`explore` with every registered command; raises CommandError where one cannot be had."""
    app = typer.Typer(
        help="Search how each layer of a trained ONNX network runs fastest on a board, and compile the result.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(common)
    add_commands(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"explore {version(DISTRIBUTION)}")
        raise typer.Exit


def common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log what is done, on stderr")] = False,
    print_version: Annotated[
        bool,
        typer.Option("--version", help="print the version and exit", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of every command."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    # What it would say of a lost connection, the board's own messages say.
    logging.getLogger("paramiko").setLevel(logging.WARNING if verbose else logging.CRITICAL)


def main() -> None:
    """The console script."""
    gc.set_threshold(*GARBAGE)
    try:
        command_line()()
    except ExploreError as error:
        tell_error(error)
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:  # outside of a command's body: nothing was begun
        sys.exit(EXIT_INTERRUPTED)
    finally:
        gc.freeze()  # to search everything for garbage at the end would take a good part of a second
