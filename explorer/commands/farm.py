"""`explore farm`: a scheduler and boards that share the candidates of searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.devices import BoardOptionsOption, DevicesOption, chosen_file
from explorer.terminal.completion import boards as known_devices
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from rich.console import Console

    from explorer.farm.processes import BoardToOpen, Event, FarmProcesses

TlsOption = Annotated[
    Path | None,
    typer.Option(
        help="directory with ca.pem, cert.pem and key.pem, for an address that is not on this machine alone",
        metavar="DIR",
    ),
]
BoardsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DEVICE",
        help="named boards (`explore devices`), or profiles (default: all boards of the file of --devices)",
        autocompletion=known_devices,
    ),
]
CopiesOption = Annotated[
    int, typer.Option(help="so many of each, where boards are virtual or null", min=1, max=2000, metavar="N")
]
TogetherOption = Annotated[
    int, typer.Option(help="boards that share a process", min=1, max=2000, metavar="N")
]
BoardOption = Annotated[
    str | None, typer.Option(help="how they are reached; `explore devices` lists", metavar="BOARD")
]

farm_app = typer.Typer(help="Share the candidates of searches among boards.", no_args_is_help=True)


@farm_app.command()
def up(
    names: BoardsArgument = None,
    devices: DevicesOption = None,
    listen: Annotated[
        str,
        typer.Option(help="where, as tcp://127.0.0.1:8786 or tls://HOST:PORT", metavar="ADDRESS"),
    ] = "tcp://127.0.0.1:8786",
    pages_port: Annotated[
        int, typer.Option(help="of Dask's pages, which are on loopback", min=0, max=65535, metavar="PORT")
    ] = 8787,
    tls: TlsOption = None,
    board: BoardOption = None,
    board_option: BoardOptionsOption = None,
    copies: CopiesOption = 1,
    together: TogetherOption = 1,
) -> None:
    """Start a farm with boards; it ends with this command."""
    with reported():
        from explorer.farm.place import place_of
        from explorer.farm.processes import FarmProcesses
        from explorer.settings import parse_board_options
        from explorer.terminal.console import stdout

        place = place_of(listen, tls)
        options = parse_board_options(board_option or ())
        chosen = _chosen(names or (), chosen_file(devices), board, options, copies)
        console = stdout()
        with FarmProcesses() as farm:
            started = farm.start_scheduler(place, pages_port)
            console.print(f"the farm listens at {started.name}", markup=False)
            pages = started.detail or "none: bokeh is not installed (pip install -e '.[farm]')"
            console.print(f"Dask's pages: {pages}", markup=False)
            _serve(farm, started.name, tls, chosen, together, console)


@farm_app.command()
def join(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="of a farm, as `explore farm up` says it")
    ],
    names: BoardsArgument = None,
    devices: DevicesOption = None,
    tls: TlsOption = None,
    board: BoardOption = None,
    board_option: BoardOptionsOption = None,
    copies: CopiesOption = 1,
    together: TogetherOption = 1,
) -> None:
    """Let boards join a farm; they leave when this command ends."""
    with reported():
        from explorer.farm.place import place_of
        from explorer.farm.pool import connected
        from explorer.farm.processes import FarmProcesses
        from explorer.settings import parse_board_options
        from explorer.terminal.console import stdout

        connected(place_of(address, tls)).close()
        options = parse_board_options(board_option or ())
        chosen = _chosen(names or (), chosen_file(devices), board, options, copies)
        with FarmProcesses() as farm:
            _serve(farm, address, tls, chosen, together, stdout())


def _serve(
    farm: FarmProcesses,
    address: str,
    tls: Path | None,
    boards: Sequence[BoardToOpen],
    together: int,
    console: Console,
) -> None:
    from explorer.errors import FarmError
    from explorer.farm.place import place_of

    def hear(event: Event) -> None:
        console.print(
            f"{event.name} {event.what}" + (f": {event.detail}" if event.detail else ""), markup=False
        )

    place = place_of(address, tls)
    joined = sum(
        farm.start_boards(place, boards[first : first + together], hear)
        for first in range(0, len(boards), together)
    )
    if not joined:
        raise FarmError("no board joined the farm; what each said is above")
    console.print(
        f"explore run --farm {address} searches on {joined} board{'s' * (joined != 1)}", markup=False
    )
    farm.watch(hear)


def _chosen(
    names: Sequence[str], devices: Path | None, board: str | None, options: Mapping[str, str], copies: int
) -> list[BoardToOpen]:
    """Raises UsageError where no board is named."""
    from explorer.errors import UsageError
    from explorer.farm.processes import BoardToOpen
    from microbench.devices import read_devices

    chosen = list(names) or (list(read_devices(devices)) if devices else [])
    if not chosen:
        raise UsageError(
            "no board is named, and the file of boards has none: name devices, as in  explore farm up pi-zero , or add "
            "boards with `explore devices add`"
        )
    if len(set(chosen)) < len(chosen):
        raise UsageError("a board is named twice: leave one out, or say --copies")
    return [
        BoardToOpen(name if copies == 1 else f"{name}-{number}", name, board, devices, options)
        for name in chosen
        for number in range(1, copies + 1)
    ]
