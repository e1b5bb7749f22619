"""`explore bench arm-peers`: this project's plans beside other engines' builds on the clock of a modelled core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.cpu_clock import CLOCK_HZ
from explorer.commands.bench.options import JsonOption
from explorer.terminal.exits import reported
from explorer.terminal.json_output import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.studies.arm_peers import ArmRow, ArmSettings, Clocked, Varied
    from explorer.studies.study_table import StudyTable

TITLE = "Networks on the clock of a Cortex-A53, beside other engines"
INTRODUCTION = """\
`explore bench arm-peers` runs networks by this project's plans and by other engines' own builds for AArch64 under one
clock: qemu-user with the model of a Cortex-A53 that `explore bench cpu-clock` judges (results/cpu-clock.md). Every
engine converts the same ONNX file by its own converter, has as many threads, float32, and its output is compared with
onnxruntime's. Times are `simulated`, those of the second inference; the model of memory has one free constant, which
heads each table."""

OWN_TITLE = "Pruned and quantised networks on the clock of a Cortex-A53"
OWN_INTRODUCTION = """\
`explore bench arm-peers --own` runs networks, pruned forms of them and forms whose weights and activations have 8 bits,
by this project's plans under the clock of arm-peers.md. Plans are those of the roofline model, none is searched; pruned
weights are zeros by magnitude, nothing is trained again. Times are `simulated`, those of the second inference. Fetching
instructions costs nothing on this clock, and where a pattern is instructions it has 12 bytes of them for a weight. What
ncnn's int8 takes on the same clock, for its own SqueezeNet and MobileNet, is in cpu-clock.md."""

NARROW_TITLE = "Narrow weights on the clock of a Cortex-A53"
NARROW_INTRODUCTION = """\
`explore bench arm-peers --own --weights` runs networks by this project's plans, with float32 weights and with weights
of two bytes where the plan has them (docs/hardware.md), under the clock of arm-peers.md. Plans are those of the
roofline model, none is searched. Times are `simulated`, those of the second inference. Errors are against the network
with the weights that the plan has; what rounding them costs is in docs/hardware.md."""


def arm_peers(
    networks: Annotated[
        list[str], typer.Argument(help="networks of the zoo, or ONNX files", metavar="NETWORK|FILE")
    ],
    plan: Annotated[
        list[Path] | None,
        typer.Option(
            help="a plan.json of one of the networks; without it the one that the roofline model composes",
            metavar="FILE",
        ),
    ] = None,
    cpu_hz: Annotated[
        float, typer.Option(help="clock of the modelled core", min=1e6, metavar="HZ")
    ] = CLOCK_HZ,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            help="threads of every engine, at most the model's four cores; may be repeated (default: 1)",
            min=1,
            max=4,
            metavar="N",
        ),
    ] = None,
    bandwidth: Annotated[
        list[float] | None,
        typer.Option(
            help="bytes a second of the modelled memory; may be repeated (default: 2e9 and 2.5e9)",
            min=1e6,
            metavar="B/S",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="where packages, wheels and finished runs are kept (default: the cache directory)",
            metavar="DIR",
        ),
    ] = None,
    environments: Annotated[
        Path | None,
        typer.Option(help="where the engines' converters are (default: the cache directory)", metavar="DIR"),
    ] = None,
    vary_assumed: Annotated[
        bool,
        typer.Option(
            "--vary-assumed",
            help="also with each assumed constant of the memory at 0.75 and 1.5 of its value: minutes each",
        ),
    ] = False,
    own: Annotated[
        bool,
        typer.Option(
            "--own",
            help="without other engines: each network beside the one that it is a pruned or quantised form of, whose "
            "name its own begins with",
        ),
    ] = False,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="with --own: each network also by a plan that may store weights so; may be repeated",
            metavar="float16|bfloat16",
        ),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="write the tables to this file too", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Time this project's plans and other engines' builds for AArch64 on the modelled clock of a Cortex-A53."""
    with reported(place=markdown):
        from explorer.errors import UsageError
        from explorer.settings import parse_weights
        from explorer.studies.arm_peers import ENGINES, ArmSettings, arm_rows, varied_rows
        from explorer.studies.cpu_clock import BANDWIDTHS, CORE
        from explorer.studies.study_table import show, write_markdown
        from microbench.emulation.core_model import load_core
        from microbench.emulation.judges.userland import default_directory
        from microbench.peers import environments as peers

        if weights and not own:
            raise UsageError("--weights is for --own: other engines have float32")
        console, model = told(as_json), load_core(CORE)
        every = threads or [1]
        settings = ArmSettings(
            networks=tuple(networks),
            plans=tuple(plan or ()),
            cache=(cache or default_directory()).absolute(),
            environments=(environments or peers.default_directory()).absolute(),
            clock_hz=cpu_hz,
            bandwidths=tuple(bandwidth or BANDWIDTHS),
            threads=every[0],
            engines=() if own else ENGINES,
            weights=tuple(map(parse_weights, weights or ())),
        )

        def tell(text: str) -> None:
            console.print(text, markup=False)

        tables = []
        for count in every:
            each = replace(settings, threads=count)
            rows = list(arm_rows(model, each, tell))
            tables += _own_tables(rows, each, model.hash) if own else _tables(rows, each, model.hash)
        if vary_assumed:
            tables.append(_varied_table(list(varied_rows(model, settings, tell)), _named(every[0])))
        if markdown is not None:
            forms = (NARROW_TITLE, NARROW_INTRODUCTION) if weights else (OWN_TITLE, OWN_INTRODUCTION)
            write_markdown(markdown, *(forms if own else (TITLE, INTRODUCTION)), tables)
        show(tables, as_json)


def _tables(rows: Sequence[ArmRow], settings: ArmSettings, model_hash: str) -> list[StudyTable]:
    from explorer.studies.arm_peers import Clocked, means
    from explorer.studies.study_table import StudyTable

    names = list(dict.fromkeys(name for row in rows for name in row.contenders))
    named, last = _named(settings.threads), len(settings.bandwidths) - 1
    note = f"{settings.clock_hz / 1e9:g} GHz, {named}, model {model_hash}."
    tables = []
    for place, bandwidth in enumerate(settings.bandwidths):
        columns = [("network", "left"), *((f"{name}, ms", "right") for name in names)]
        cells = tuple(
            (
                row.network,
                *(
                    f"{one.times_s[place] * 1e3:.1f}" if isinstance(one, Clocked) else "-"
                    for one in _of(row, names)
                ),
                f"{row.ratio(place):.2f}",
            )
            for row in rows
        )
        title = f"{named.capitalize()}, memory of {bandwidth / 1e9:g} GB/s"
        tables.append(
            StudyTable(
                title,
                (*columns, ("ours / fastest other", "right")),
                cells,
                (note, means(rows, settings.bandwidths)) if place == last else (note,),
            )
        )
    columns = [
        ("network", "left"),
        *((f"{name}, millions", "right") for name in names),
        ("largest error", "right"),
    ]
    cells = tuple(
        (
            row.network,
            *(
                f"{one.instructions / 1e6:.1f}" if isinstance(one, Clocked) else "-"
                for one in _of(row, names)
            ),
            f"{max(one.error for one in _of(row, names) if isinstance(one, Clocked)):.1e}",
        )
        for row in rows
    )
    refused = tuple(
        f"{row.network}: {one}." for row in rows for one in _of(row, names) if isinstance(one, str)
    )
    errors = (
        "Errors are largest differences from onnxruntime's output: ours relative to the largest value, others' to the "
        "root mean square."
    )
    title = f"Instructions of one inference, {named}"
    return [*tables, StudyTable(title, tuple(columns), cells, (errors, *refused))]


def _own_tables(rows: Sequence[ArmRow], settings: ArmSettings, model_hash: str) -> list[StudyTable]:
    from explorer.studies.arm_peers import OURS, Clocked, forms
    from explorer.studies.study_table import StudyTable

    named = _named(settings.threads)
    note = f"{settings.clock_hz / 1e9:g} GHz, {named}, model {model_hash}. Errors are relative to the largest output."
    columns = (
        ("network", "left"),
        ("ms", "right"),
        ("/ whole", "right"),
        ("millions", "right"),
        ("error", "right"),
    )
    tables = []
    for place, bandwidth in enumerate(settings.bandwidths):
        cells = []
        for row, whole in forms(rows):
            one, before = row.contenders[OURS], whole.contenders[OURS] if whole else None
            assert isinstance(one, Clocked)
            ratio = f"{one.times_s[place] / before.times_s[place]:.2f}" if isinstance(before, Clocked) else ""
            counted = f"{one.instructions / 1e6:.1f}", f"{one.error:.1e}"
            cells.append((row.network, f"{one.times_s[place] * 1e3:.1f}", ratio, *counted))
        title = f"{named.capitalize()}, memory of {bandwidth / 1e9:g} GB/s"
        tables.append(StudyTable(title, columns, tuple(cells), (note,)))
    return tables


def _named(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"


def _varied_table(varied: Sequence[Varied], named: str) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    networks = [row.network for row in varied[0].rows]
    cells = tuple(
        (one.constant, f"{one.value:g}", *(f"{row.ratio(0):.2f}" for row in one.rows)) for one in varied
    )
    columns = (("constant", "left"), ("value", "right"), *((name, "right") for name in networks))
    note = f"Ours to the fastest other, {named}; memory of the first bandwidth but where that is varied."
    return StudyTable(
        "Each assumed constant of the memory at 0.75 and 1.5 of its value", columns, cells, (note,)
    )


def _of(row: ArmRow, names: Sequence[str]) -> list[Clocked | str]:
    return [row.contenders[name] for name in names]
