"""The commands `explore runner`: the program that serves a board's measurements, as a package to install there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.devices import DevicesOption, chosen_file
from explorer.terminal.exits import reported

runner_app = typer.Typer(
    help="The program that runs on a board reached over SSH.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@runner_app.callback()
def runner() -> None:
    """The program that runs on a board reached over SSH."""


@runner_app.command()
def package(
    device: Annotated[
        str,
        typer.Option(
            help="a named board (`explore devices`), else a profile: armhf or arm64 is its own",
            metavar="DEVICE",
        ),
    ] = "pi-zero",
    devices: DevicesOption = None,
    out: Annotated[Path, typer.Option(help="directory of the package", metavar="DIR")] = Path(),
) -> None:
    """Write the runner as a Debian package for a board, whose group may start it as root (`--sudo`)."""
    from explorer.terminal.console import say_next, stdout
    from microbench.devices import find_device
    from microbench.profile import load_profile
    from microbench.runner.package import GROUP, write_package

    with reported(place=out):
        written = write_package(load_profile(find_device(device, chosen_file(devices)).profile), out)
        console = stdout()
        console.print(f"package: {written}", markup=False, soft_wrap=True)
        console.print(
            "The right to start it by sudo amounts to root on the board: it runs programs that are sent to it.",
            markup=False,
            soft_wrap=True,
        )
        on_the_board = f"sudo apt install ./{written.name} && sudo adduser USER {GROUP}"
        say_next(console, f"on the board {on_the_board}; then connect anew, and give --sudo here")
