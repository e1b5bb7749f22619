"""`explore samples`: what was measured, listed, handed to others and taken in from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.errors import UsageError
from explorer.terminal.console import say_next, stdout
from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option

samples_app = typer.Typer(help="List, export and import measured samples.", no_args_is_help=True)

StoreOption = Annotated[
    str | None,
    typer.Option(
        help="samples: a SQLite file or a database URL (default samples.sqlite in results/runs)",
        metavar="STORE",
    ),
]
LayerOption = Annotated[
    str,
    typer.Option(help="only layers whose operator and shapes contain this, or of this hash", metavar="LAYER"),
]
AlgorithmOption = Annotated[str, typer.Option(help="only this algorithm", metavar="ALGORITHM")]
StatusOption = Annotated[str, typer.Option(help="only ok, wrong or failed ones", metavar="STATUS")]
BoardOption = Annotated[
    str, typer.Option(help="only boards whose model contains this, or of this fingerprint", metavar="BOARD")
]
RoleOption = Annotated[
    str,
    typer.Option(help="only what was timed as a candidate, as reference, or while disturbed", metavar="ROLE"),
]
KindOption = Annotated[
    str, typer.Option(help="only silicon, host, simulated or modelled times", metavar="KIND")
]


@samples_app.command(name="list")
def list_samples(
    store: StoreOption = None,
    layer: LayerOption = "",
    algorithm: AlgorithmOption = "",
    status: StatusOption = "",
    board: BoardOption = "",
    role: RoleOption = "",
    kind: KindOption = "",
    limit: Annotated[int, typer.Option(help="most rows shown", min=1, metavar="N")] = 200,
    series: Annotated[
        bool, typer.Option("--series", help="show what else was read while measuring: power, temperatures")
    ] = False,
    as_json: Annotated[
        bool,
        json_option(
            "samples (id, layer, engine, algorithm, split, tile, status, kind, role, board, fingerprint, times_s, "
            "message, series) and left_out, how many more there are"
        ),
    ] = False,
) -> None:
    """List samples: layer, candidate, board, median with its confidence interval, outliers."""
    from explorer.samples.table import SampleFilter, samples_json, samples_sheet
    from explorer.terminal.json_output import print_json
    from microbench.store import Store

    with reported():
        wanted = SampleFilter(layer, algorithm, status, board, role, kind)
        with Store.open(_existing(store)) as opened:
            if as_json:
                print_json(samples_json(wanted.of(opened.samples()), limit))
                return
            sheet, left_out = samples_sheet(wanted.of(opened.samples()), limit, series)
        console = stdout()
        if not sheet.rows:
            console.print("no sample of this kind in the store")
            return
        sheet.show(console)
        if left_out:
            console.print(
                f"{left_out} more; see them with --limit, or choose by --layer, --algorithm, --board"
            )
        say_next(console, "explore samples export FILE.csv hands them to others")


@samples_app.command(name="export")
def export(
    file: Annotated[
        Path, typer.Argument(help="the file to write: *.csv, or *.parquet (extra `parquet`)", metavar="FILE")
    ],
    store: StoreOption = None,
    layer: LayerOption = "",
    algorithm: AlgorithmOption = "",
    status: StatusOption = "",
    board: BoardOption = "",
    role: RoleOption = "",
    kind: KindOption = "",
) -> None:
    """Write samples as CSV or Parquet, every repeat and reading of them."""
    from explorer.samples.files import check_format, export_samples
    from explorer.samples.table import SampleFilter
    from microbench.store import Store

    with reported(place=file):
        wanted = SampleFilter(layer, algorithm, status, board, role, kind)
        check_format(file)
        with Store.open(_existing(store)) as opened:
            count = export_samples(wanted.of(opened.samples()), file)
        console = stdout()
        console.print(f"{count} samples: {file}", markup=False)
        say_next(console, f"explore samples import {file.name}, there, or explore run --from {file.name}")


@samples_app.command(name="import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(help="a file that `explore samples export` wrote, here or elsewhere", metavar="FILE"),
    ],
    store: StoreOption = None,
) -> None:
    """Take in another's samples, with the fingerprints of the boards they come from."""
    from explorer.samples.files import import_samples, read_samples
    from explorer.settings import DEFAULT_STORE
    from microbench.store import Store

    with reported(place=file):
        samples = read_samples(file)  # before the store is made: a bad file leaves none behind
        with Store.open(store or DEFAULT_STORE) as opened:
            imported = import_samples(samples, opened)
        console = stdout()
        console.print(f"{imported.new} new samples, {imported.known} known already: {file}", markup=False)
        say_next(console, "explore run with this --store takes them up")


def _existing(store: str | None) -> str:
    """The store to read; raises UsageError for a file that is not there: opening it would make one."""
    from explorer.settings import DEFAULT_STORE

    place = store or str(DEFAULT_STORE)
    if "://" not in place and not Path(place).is_file():
        raise UsageError(f"there is no store {place}; `explore run` makes one, or name another with --store")
    return place
