"""`explore bench cpu-peers`: this project's bundles on this machine's CPU beside other inference engines."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.bench.options import JsonOption
from explorer.terminal.exits import reported

ROUNDS, RUNS = 15, 10

BundlesOption = Annotated[
    Path | None,
    typer.Option(
        help="directory of bundles, or of runs by `explore run --device host`; searched to its depths",
        metavar="DIR",
    ),
]


def cpu_peers(
    models: Annotated[
        list[Path], typer.Argument(help="ONNX files, or directories of them", metavar="FILE|DIR")
    ],
    bundles: BundlesOption = None,
    plan: Annotated[
        list[Path] | None,
        typer.Option(help="a plan.json to compile for one of the networks; may be repeated", metavar="FILE"),
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(help="may be repeated (default 1 and 2)", min=1, metavar="N")
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help="only this peer; may be repeated", metavar="PEER")
    ] = None,
    rounds: Annotated[int, typer.Option(help="turns of every engine", min=1, metavar="N")] = ROUNDS,
    runs: Annotated[int, typer.Option(help="timed inferences in a turn", min=1, metavar="N")] = RUNS,
    seed: Annotated[
        int, typer.Option(help="of inputs, of the order of turns and of resampling", min=0, metavar="N")
    ] = 0,
    environments: Annotated[
        Path | None,
        typer.Option(
            help="where peers are installed (default: the cache directory; about 10 GB)", metavar="DIR"
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="directory of cpu-peers.md and cpu-peers.csv", metavar="DIR")
    ] = Path("results"),
    as_json: JsonOption = False,
) -> None:
    """Time this project's bundles and other inference engines on this machine's CPU, turn by turn.

    Without --bundles and --plan only the others are measured.
    """
    from explorer.studies.peers_run import PeersSettings, bench_peers
    from microbench.peers.environments import default_directory
    from microbench.peers.rounds import RoundSettings

    with reported(place=out), tempfile.TemporaryDirectory() as scratch:
        bench_peers(
            PeersSettings(
                models=tuple(model_files(models)),
                bundles=bundles,
                plans=tuple(plan or ()),
                threads=tuple(sorted(set(threads or (1, 2)))),
                peers=tuple(peer or ()),
                rounds=RoundSettings(rounds=rounds, runs=runs, seed=seed),
                environments=environments or default_directory(),
                out=out,
                scratch=Path(scratch),
            ),
            as_json,
        )


def model_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, and of directories all *.onnx in them; raises UsageError for a directory without."""
    from explorer.errors import UsageError

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.glob("*.onnx"))
        if not found:
            raise UsageError(f"{path} holds no *.onnx; name a directory of models, or files")
        yield from found
