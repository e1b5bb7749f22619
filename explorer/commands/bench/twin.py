"""`explore bench twin`: boards drawn anew, calibrated over SSH, and what a twin's plan is worth on each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.options import (
    JsonOption,
    KnownHostsOption,
    MarkdownOption,
    ResolutionOption,
    SshKeyOption,
)
from explorer.terminal.exits import reported
from explorer.terminal.json_output import told

INTRODUCTION = """\
`explore bench twin` puts boards whose clock and memory constants are drawn anew behind an SSH server, as simulators
with constants of their own. Each is calibrated over SSH, a network is searched with the constants that were found,
and the board itself is asked of few candidates. Four boards of ten differ in more than constants: who is served
first, which lines of uniforms take longer, launches that scatter, special functions units shared otherwise. All but
the first of these no constant of a profile expresses."""


def twin(
    ssh: Annotated[
        str,
        typer.Option(
            help="where boards are put: user@host:port, of this machine's kind", metavar="USER@HOST:PORT"
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="a network of the zoo, or an ONNX file; may be repeated (default: squeezenet)",
            metavar="MODEL",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="the profile that boards are drawn about", metavar="DEVICE")
    ] = "pi-zero",
    boards: Annotated[
        list[int] | None,
        typer.Option(
            "--board", help="number of a board; may be repeated (default: 1 to 10)", min=0, metavar="NUMBER"
        ),
    ] = None,
    resolution: ResolutionOption = 224,
    budget: Annotated[
        int, typer.Option(help="most measurements per layer of a search", min=1, metavar="N")
    ] = 24,
    ssh_key: SshKeyOption = None,
    known_hosts: KnownHostsOption = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="samples: a SQLite file or a database URL (default twin.sqlite in results/runs)",
            metavar="STORE",
        ),
    ] = None,
    place: Annotated[
        Path | None,
        typer.Option(
            help="directory that keeps measurements, profiles and boards that are done, so that an interrupted study "
            "goes on (default twin in results/runs)",
            metavar="DIR",
        ),
    ] = None,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Calibrate boards drawn at random over SSH; show what plans lose that are searched with what was found."""
    with reported(resumable=True, place=markdown):
        from explorer.search.layer_search import SearchSettings
        from explorer.settings import RUNS, RunSettings, parse_ssh
        from explorer.studies.study_table import show, write_markdown
        from explorer.studies.twin import BoardWorth, board_worths, worth_tables
        from explorer.studies.zoo_networks import network_named
        from explorer.terminal.progress_lines import progress_on
        from microbench.profile import load_profile

        stock = load_profile(device)
        settings = RunSettings(
            store=store or str(RUNS / "twin.sqlite"),
            devices=None,
            board="virtual",
            search=SearchSettings(layer_budget=budget),
        )
        where = parse_ssh(ssh, ssh_key, known_hosts)
        assert where is not None
        found: dict[str, list[BoardWorth]] = {}
        for name in models or ("squeezenet",):
            with network_named(name, resolution) as network, progress_on(told(as_json)) as progress:
                seeds = boards or range(1, 11)
                for worth in board_worths(
                    settings, stock, network, where, seeds, progress, place or RUNS / "twin"
                ):
                    found.setdefault(f"{name} at {resolution} pixels", []).append(worth)
                    if markdown is not None:
                        write_markdown(markdown, "Twins of boards", INTRODUCTION, worth_tables(found))
        then = "explore calibrate --device NAME, then explore run --device NAME"
        show(worth_tables(found), as_json, then)
