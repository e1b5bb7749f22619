"""`explore devices start-virtual` and `stop-virtual`: a whole Pi on this machine, behind a real SSH server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.terminal.console import say_next, stdout
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from microbench.devices import NamedBoard
    from microbench.virtual_pi.keeper import Kept

ProfileArgument = Annotated[
    str, typer.Argument(metavar="DEVICE", help="which Pi: a device profile, a name or a file *.toml")
]
NameOption = Annotated[
    str | None,
    typer.Option("--name", help="what it is called (default: virtual-DEVICE)", metavar="NAME"),
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--devices", help="file of named boards (default: devices.toml of the user)", metavar="FILE"
    ),
]


def start_virtual(
    context: typer.Context, device: ProfileArgument, name: NameOption = None, devices: FileOption = None
) -> None:
    """Start a virtual Pi: its programs emulated, its QPUs simulated, behind an SSH server on loopback.

    It has a name for --device until `stop-virtual` ends it, or the shell that started it has ended.
    """
    from microbench.devices import default_devices_file
    from microbench.devices_file import add_board
    from microbench.virtual_pi.keeper import start_kept, stop_kept

    called = name or _name_of(device)
    path = devices or context.obj or default_devices_file()
    with reported(place=path):
        found = start_kept(called, device, os.getppid())
        try:
            add_board(path, called, _named(found), replace=True)
        except BaseException:
            stop_kept(called)
            raise
        console = stdout()
        place = f"{found.user}@127.0.0.1:{found.port}"
        console.print(
            f"{called}: a virtual {device} at {place}, no silicon; written to {path}; what its GPU has to say is in "
            f"{found.directory}/log",
            markup=False,
        )
        say_next(console, f"explore devices test {called}; explore devices stop-virtual {device} ends it")


def stop_virtual(
    context: typer.Context, device: ProfileArgument, name: NameOption = None, devices: FileOption = None
) -> None:
    """End a virtual Pi that `start-virtual` started, and remove its files and its name."""
    from microbench.devices import default_devices_file
    from microbench.devices_file import remove_board
    from microbench.virtual_pi.keeper import stop_kept

    called = name or _name_of(device)
    path = devices or context.obj or default_devices_file()
    with reported(place=path):
        stop_kept(called)
        remove_board(path, called)
        stdout().print(f"{called} has ended", markup=False)


def _name_of(device: str) -> str:
    return f"virtual-{Path(device).stem}"


def _named(found: Kept) -> NamedBoard:
    from microbench.devices_file import new_board

    return new_board(
        profile=found.profile,
        host="127.0.0.1",
        port=found.port,
        user=found.user,
        key=f"{found.directory}/user_key",
        known_hosts=f"{found.directory}/known_hosts",
    )
