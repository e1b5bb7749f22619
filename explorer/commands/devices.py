"""`explore devices`: profiles and the user's boards, adding a board, trying its connection."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from explorer.terminal.console import stdout
from explorer.terminal.exits import reported

DevicesOption = Annotated[
    Path | None, typer.Option("--devices", help="file of named boards (default: devices.toml of the user)")
]
BoardOptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--board-option",
        help="an option of the board's own, as NAME=VALUE; may be repeated; `explore devices` lists them",
    ),
]
SudoOption = Annotated[
    bool,
    typer.Option(
        "--sudo",
        help="start the runner there as root, by sudo without a password; the right to do that amounts to root on the "
        "board",
    ),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="letters, digits and dashes")]

devices_app = typer.Typer(
    help="List the known devices and the ways to reach them.", invoke_without_command=True
)


@devices_app.callback()
def devices(context: typer.Context, devices: DevicesOption = None) -> None:
    """List the known devices and the ways to reach them."""
    context.obj = devices
    if context.invoked_subcommand is None:
        with reported():
            list_command(chosen_file(devices, existing=False))


@devices_app.command()
def add(
    context: typer.Context,
    name: NameArgument,
    profile: Annotated[str, typer.Option(help="its device profile: a name, or a file *.toml")],
    host: Annotated[str | None, typer.Option(help="name or address, where it is reached over SSH")] = None,
    board: Annotated[
        str | None, typer.Option(help="how it is reached otherwise; `explore devices` lists")
    ] = None,
    board_option: BoardOptionsOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 22,
    user: Annotated[str | None, typer.Option(help="user there (default: the same as here)")] = None,
    key: Annotated[Path | None, typer.Option(help="private key (default: agent and default keys)")] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="file with its host key (default ~/.ssh/known_hosts)")
    ] = None,
    jump: Annotated[str | None, typer.Option(help="user@host:port of a host to go through")] = None,
    launch: Annotated[
        str | None,
        typer.Option(help="how a Raspberry Pi launches QPU programs: mailbox (default) or registers"),
    ] = None,
    sudo: SudoOption = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="put it in the place of one of this name")
    ] = False,
    devices: DevicesOption = None,
) -> None:
    """Name a board, so that `--device NAME` reaches it."""
    from explorer.settings import parse_board_options
    from microbench.devices_file import add_board, new_board
    from microbench.profile import load_profile

    path = chosen_file(devices or context.obj, existing=False)
    with reported(place=path):
        load_profile(profile)
        if profile.endswith(".toml"):
            profile = str(Path(profile).resolve())
        files = {"key": _absolute(key), "known_hosts": _absolute(known_hosts)}
        options = parse_board_options(board_option or ()) or None
        ways = {"host": host, "port": port, "board": board, "board_options": options}
        how = {"launch": launch, "sudo": sudo or None}
        added = new_board(profile=profile, user=user, jump=jump, **how, **ways, **files)
        add_board(path, name, added, replace)
        console = stdout()
        console.print(f"{name}: {added.place}, profile {profile}; written to {path}", markup=False)
        console.print(f"try it: explore devices test {name}", markup=False)


@devices_app.command()
def test(context: typer.Context, name: NameArgument, devices: DevicesOption = None) -> None:
    """Open the connection to a named board and say what answered."""
    with reported():
        test_command(name, chosen_file(devices or context.obj, existing=False))


def list_command(path: Path) -> None:
    """`explore devices`; raises DevicesError for a malformed file."""
    from microbench.devices import read_devices
    from microbench.registry import known_boards

    console = stdout()
    console.print(_profiles_table())
    boards = read_devices(path)
    if boards:
        table = Table(
            "board", "profile", "place", "key", "known hosts", title=f"boards of {escape(str(path))}"
        )
        for name, board in sorted(boards.items()):
            row = (name, board.profile, board.place, board.key or "-", board.known_hosts or "-")
            table.add_row(*map(escape, row))
        console.print(table)
    else:
        console.print(f"no boards are configured in {path}; `explore devices add` names one", markup=False)
    console.print(_boards_table(known_boards()))


def test_command(name: str, path: Path) -> None:
    """`explore devices test`; raises DevicesError for an unknown name, BoardError where nothing answers."""
    from microbench.devices import read_devices
    from microbench.errors import DevicesError
    from microbench.registry import open_board

    boards = read_devices(path)
    if name not in boards:
        known = ", ".join(sorted(boards)) or "none"
        raise DevicesError(f"{path} has no board {name!r} (it has: {known}); add it by `explore devices add`")
    with open_board(name, devices=path) as board:
        found = board.fingerprint()
    clock = f", GPU clock {found.clock_hz / 1e6:g} MHz" if found.clock_hz else ""
    stdout().print(f"{boards[name].place} answers: {found.board}{clock} ({found.software})", markup=False)


def chosen_file(devices: Path | None, existing: bool = True) -> Path:
    """The file of --devices, or the user's own, which need not be there. Raises DevicesError where one is named that is
    not, and must.
    """
    from microbench.devices import default_devices_file
    from microbench.errors import DevicesError

    if existing and devices is not None and not devices.is_file():
        raise DevicesError(f"there is no file {devices}; `explore devices --devices {devices} add` makes it")
    return devices or default_devices_file()


def _profiles_table() -> Table:
    from microbench.profile import known_profiles, load_profile

    table = Table("device", "title", "CPU", "QPUs", "GPU clock", "default board", "variants")
    for name in known_profiles():
        profile = load_profile(name)
        target = profile.target()
        clock = f"{target.v3d_clock_hz / 1e6:g} MHz" if target.has_qpus else "-"
        qpus, variants = str(target.qpus or "-"), "\n".join(f":{variant}" for variant in profile.variants)
        table.add_row(name, profile.title, profile.cpu, qpus, clock, profile.board, variants or "-")
    return table


def _boards_table(names: Iterable[str]) -> Table:
    """A plug-in that does not load is listed with the reason: the others can still be used."""
    from microbench.errors import BoardError
    from microbench.options import explained_options
    from microbench.registry import board_class

    table = Table("--board", "what it is", "options of its own", title="ways to reach a device")
    for name in names:
        try:
            found = board_class(name)
        except BoardError as error:
            table.add_row(name, escape(str(error)), "-")
            continue
        summary = (found.__doc__ or "").strip().split("\n")[0]
        table.add_row(name, escape(summary), escape("\n".join(explained_options(found.own_options))) or "-")
    return table


def _absolute(path: Path | None) -> str | None:
    """The file is read again from other working directories."""
    return str(path.expanduser().resolve()) if path else None
