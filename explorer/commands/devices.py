"""`explore devices`: profiles and the user's boards, adding a board, trying its connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.virtual_pi import start_virtual, stop_virtual
from explorer.terminal.console import say_next, stdout
from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option, print_json

if TYPE_CHECKING:
    from explorer.terminal.sheet import Sheet
    from microbench.devices import NamedBoard

DevicesOption = Annotated[
    Path | None,
    typer.Option(
        "--devices", help="file of named boards (default: devices.toml of the user)", metavar="FILE"
    ),
]
BoardOptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--board-option",
        help="an option of the board's own, as NAME=VALUE; may be repeated; `explore devices` lists them",
        metavar="NAME=VALUE",
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
def devices(
    context: typer.Context,
    devices: DevicesOption = None,
    as_json: Annotated[
        bool,
        json_option(
            "profiles (device, title, cpu, qpus, gpu_clock_hz, board, variants), boards (name, profile, place, key, "
            "known_hosts) and ways (board, summary, options)"
        ),
    ] = False,
) -> None:
    """List the known devices and the ways to reach them."""
    context.obj = devices
    if context.invoked_subcommand is None:
        with reported():
            list_command(chosen_file(devices, existing=False), as_json)


@devices_app.command()
def add(
    context: typer.Context,
    name: NameArgument,
    profile: Annotated[
        str, typer.Option(help="its device profile: a name, or a file *.toml", metavar="PROFILE")
    ],
    host: Annotated[
        str | None, typer.Option(help="name or address, where it is reached over SSH", metavar="HOST")
    ] = None,
    board: Annotated[
        str | None, typer.Option(help="how it is reached otherwise; `explore devices` lists", metavar="BOARD")
    ] = None,
    board_option: BoardOptionsOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="PORT")] = 22,
    user: Annotated[
        str | None, typer.Option(help="user there (default: the same as here)", metavar="USER")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="private key (default: agent and default keys)", metavar="FILE")
    ] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="file with its host key (default ~/.ssh/known_hosts)", metavar="FILE")
    ] = None,
    jump: Annotated[
        str | None, typer.Option(help="user@host:port of a host to go through", metavar="USER@HOST:PORT")
    ] = None,
    launch: Annotated[
        str | None,
        typer.Option(
            help="how a Raspberry Pi launches QPU programs: mailbox (default) or registers",
            metavar="mailbox|registers",
        ),
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
        say_next(console, f"explore devices test {name}")


@devices_app.command()
def test(context: typer.Context, name: NameArgument, devices: DevicesOption = None) -> None:
    """Open the connection to a named board and say what answered."""
    with reported():
        test_command(name, chosen_file(devices or context.obj, existing=False))


devices_app.command()(start_virtual)
devices_app.command()(stop_virtual)


def list_command(path: Path, as_json: bool) -> None:
    """`explore devices`; raises DevicesError for a malformed file."""
    from microbench.devices import read_devices
    from microbench.registry import known_boards

    boards = read_devices(path)
    if as_json:
        print_json(_listed(boards, known_boards()))
        return
    console = stdout()
    _profiles_sheet().show(console)
    if boards:
        _named_sheet(path, boards).show(console)
    else:
        console.print(f"no boards are configured in {path}; `explore devices add` names one", markup=False)
    _ways_sheet(known_boards()).show(console)
    say_next(console, "explore check MODEL, or explore run --device DEVICE --model MODEL")


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
    console = stdout()
    console.print(f"{boards[name].place} answers: {found.board}{clock} ({found.software})", markup=False)
    say_next(console, f"explore doctor --device {name}, then explore calibrate --device {name}")


def chosen_file(devices: Path | None, existing: bool = True) -> Path:
    """The file of --devices, or the user's own, which need not be there. Raises DevicesError where one is named that is
    not, and must.
    """
    from microbench.devices import default_devices_file
    from microbench.errors import DevicesError

    if existing and devices is not None and not devices.is_file():
        raise DevicesError(f"there is no file {devices}; `explore devices --devices {devices} add` makes it")
    return devices or default_devices_file()


def _listed(boards: Mapping[str, NamedBoard], ways: Iterable[str]) -> dict[str, object]:
    from microbench.profile import known_profiles, load_profile

    profiles = [load_profile(name) for name in known_profiles()]
    return {
        "profiles": [
            {
                "device": profile.name,
                "title": profile.title,
                "cpu": profile.cpu,
                "qpus": profile.target().qpus,
                "gpu_clock_hz": profile.target().v3d_clock_hz if profile.target().has_qpus else None,
                "board": profile.board,
                "variants": list(profile.variants),
            }
            for profile in profiles
        ],
        "boards": [
            {
                "name": name,
                "profile": board.profile,
                "place": board.place,
                "key": board.key,
                "known_hosts": board.known_hosts,
            }
            for name, board in sorted(boards.items())
        ],
        "ways": [dict(zip(("board", "summary", "options"), _way(name), strict=True)) for name in ways],
    }


def _profiles_sheet() -> Sheet:
    from explorer.terminal.sheet import Sheet
    from microbench.profile import known_profiles, load_profile

    headings = ("device", "title", "CPU", "QPUs", "GPU clock", "default board", "variants")
    rows = []
    for name in known_profiles():
        profile = load_profile(name)
        target = profile.target()
        clock = f"{target.v3d_clock_hz / 1e6:g} MHz" if target.has_qpus else "-"
        qpus, variants = str(target.qpus or "-"), "\n".join(f":{variant}" for variant in profile.variants)
        rows.append((name, profile.title, profile.cpu, qpus, clock, profile.board, variants or "-"))
    return Sheet("", headings, rows, right=("QPUs", "GPU clock"), spare=("CPU", "default board"))


def _named_sheet(path: Path, boards: Mapping[str, NamedBoard]) -> Sheet:
    from explorer.terminal.sheet import Sheet

    headings = ("board", "profile", "place", "key", "known hosts")
    rows = [
        (name, board.profile, board.place, board.key or "-", board.known_hosts or "-")
        for name, board in sorted(boards.items())
    ]
    return Sheet(f"boards of {path}", headings, rows, spare=("known hosts", "key"))


def _ways_sheet(names: Iterable[str]) -> Sheet:
    from explorer.terminal.sheet import Sheet

    rows = [(name, summary, "\n".join(options) or "-") for name, summary, options in map(_way, names)]
    return Sheet("ways to reach a device", ("--board", "what it is", "options of its own"), rows)


def _way(name: str) -> tuple[str, str, tuple[str, ...]]:
    """A board with what it is and its options. A plug-in that does not load is listed with the reason: the others can
    still be used.
    """
    from microbench.errors import BoardError
    from microbench.options import explained_options
    from microbench.registry import board_class

    try:
        found = board_class(name)
    except BoardError as error:
        return name, str(error), ()
    return name, (found.__doc__ or "").strip().split("\n")[0], tuple(explained_options(found.own_options))


def _absolute(path: Path | None) -> str | None:
    """The file is read again from other working directories."""
    return str(path.expanduser().resolve()) if path else None
