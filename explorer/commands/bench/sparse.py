"""`explore bench sparse`: what the zeros of pruned networks gain on this machine's CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.options import JsonOption
from explorer.terminal.exits import reported

ROUNDS, RUNS = 15, 10


def sparse(
    models: Annotated[
        list[Path], typer.Argument(help="ONNX files: the dense network, then pruned ones", metavar="FILE")
    ],
    bundles: Annotated[
        Path, typer.Option(help="directory of their runs by `explore run --device host`", metavar="DIR")
    ],
    threads: Annotated[int, typer.Option(help="most threads of a bundle", min=1, metavar="N")] = 1,
    rounds: Annotated[int, typer.Option(help="turns of every network", min=1, metavar="N")] = ROUNDS,
    runs: Annotated[int, typer.Option(help="timed inferences in a turn", min=1, metavar="N")] = RUNS,
    seed: Annotated[
        int, typer.Option(help="of the input, of the order of turns and of resampling", min=0, metavar="N")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Time bundles of pruned networks beside that of the dense one, turn by turn, with their sizes.

    `explore prune` makes such networks. Other engines on the same files: `explore bench cpu-peers`.
    """
    from explorer.studies.sparse_times import read_networks, sparse_table, time_networks
    from explorer.studies.study_table import show
    from explorer.terminal.json_output import told
    from explorer.terminal.progress_lines import progress_on
    from microbench.peers.rounds import RoundSettings

    with reported():
        networks = read_networks(models, bundles, threads, seed)
        with progress_on(told(as_json)) as progress:
            progress.phase("Turns")
            progress.expect(rounds)
            settings = RoundSettings(rounds=rounds, runs=runs, seed=seed)
            entries = time_networks(networks, threads, settings, progress.done)
        show([sparse_table(networks, entries, threads, seed)], as_json)
