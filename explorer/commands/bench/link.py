"""`explore bench link`: the same search directly and over SSH."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption, KnownHostsOption, MarkdownOption, SshKeyOption
from explorer.commands.devices import DevicesOption, chosen_file
from explorer.terminal.exits import reported
from explorer.terminal.json_output import told

if TYPE_CHECKING:
    from explorer.settings import RunSettings

INTRODUCTION = """\
`explore bench link` searches the same network twice with the same seed: on this machine directly, and over SSH to this
machine, so that the link is all that differs. Each search has a store of its own. Before, the same candidates are
measured both ways one after the other, which gives what the link costs."""


def link(
    device: Annotated[
        str,
        typer.Option(help="a named board that is this machine, else a profile with --ssh", metavar="DEVICE"),
    ] = "host",
    ssh: Annotated[
        str | None, typer.Option(help="this machine, as user@host:port", metavar="USER@HOST:PORT")
    ] = None,
    ssh_key: SshKeyOption = None,
    known_hosts: KnownHostsOption = None,
    devices: DevicesOption = None,
    model: Annotated[
        Path | None, typer.Option(help="ONNX file; without it the built-in MobileNet v1", metavar="FILE")
    ] = None,
    candidates: Annotated[
        int, typer.Option(help="most candidates to time the link with", min=1, metavar="N")
    ] = 40,
    layer_budget: Annotated[
        int, typer.Option(help="of the searches, as for `explore run`", min=1, metavar="N")
    ] = 24,
    seed: Annotated[int, typer.Option(help="of both searches", min=0, metavar="N")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="directory of both runs (default link-DEVICE in results/runs)", metavar="DIR"),
    ] = None,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the same search on this machine directly and over SSH to it: choices, and what the link costs."""
    with reported(resumable=True, place=out):
        from explorer.search.layer_search import SearchSettings
        from explorer.settings import RUNS, RunSettings, parse_ssh

        settings = RunSettings(
            device=device,
            devices=chosen_file(devices),
            model=model,
            ssh=parse_ssh(ssh, ssh_key, known_hosts),
            search=SearchSettings(seed=seed, layer_budget=layer_budget),
        )
        _compare(settings, candidates, out or RUNS / f"link-{Path(device).stem}", markdown, as_json)


def _compare(settings: RunSettings, candidates: int, out: Path, markdown: Path | None, as_json: bool) -> None:
    from explorer.pipeline.run import run
    from explorer.studies.link_choices import choice_table, searched
    from explorer.studies.link_cost import cost_table, link_costs
    from explorer.studies.study_table import show, write_markdown
    from explorer.terminal.progress import Silent

    console = told(as_json)
    direct, remote = both_ways(settings, out)
    console.print("timing the link")
    tables = [cost_table(link_costs(direct, remote, candidates))]
    found = []
    for way in (direct, remote):
        console.print(f"searching {'directly' if way is direct else 'over the link'}")
        result = run(way, Silent(), lambda line: console.print(line, markup=False))
        found.append(searched(result, way.store))
    tables.append(choice_table(*found))
    if markdown is not None:
        write_markdown(markdown, "The link", INTRODUCTION, tables)
        console.print(f"tables: {markdown}", markup=False)
    show(tables, as_json, f"explore compare {out / 'direct'} {out / 'link'}")


def both_ways(settings: RunSettings, out: Path) -> tuple[RunSettings, RunSettings]:
    """The same search without and with the link, in directories and stores of their own.

    Raises UsageError where no link is named, DevicesError and ProfileError as for any device.
    """
    from dataclasses import replace

    from explorer.errors import UsageError
    from microbench.devices import find_device

    named = find_device(settings.device, settings.devices)
    ssh = settings.ssh or named.ssh
    if ssh is None:
        raise UsageError(
            "a link wants two ends: name this machine with --ssh user@127.0.0.1, or a board of `explore devices` that "
            "is this machine with --device"
        )
    sides = [
        replace(
            settings,
            device=named.profile,
            devices=None,
            ssh=way,
            out=out / name,
            store=str(out / f"{name}.sqlite"),
        )
        for name, way in (("direct", None), ("link", ssh))
    ]
    out.mkdir(parents=True, exist_ok=True)
    return sides[0], sides[1]
