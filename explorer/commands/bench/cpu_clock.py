"""`explore bench cpu-clock`: the modelled clock of a core in 64-bit state, judged by other engines' programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption
from explorer.terminal.exits import reported
from explorer.terminal.json_output import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.studies.cpu_clock import ClockSettings, LoopRow, NetworkRow, VariedRow
    from explorer.studies.own_clock import OwnRun
    from explorer.studies.study_table import StudyTable
    from microbench.emulation.judges.judge import PublishedTimes

CLOCK_HZ = 1.4e9  # of the board whose times with a Cortex-A53 are published
OWN_COUNTS = ("multiply-add", "vector load", "vector store")
LOOP_COLUMNS = (
    ("loop", "left"),
    ("published cycles", "right"),
    ("modelled cycles", "right"),
    ("within 6 % or 0.03", "left"),
    ("source", "left"),
)


def cpu_clock(
    core: Annotated[
        str, typer.Option(help="the core, as compilers name it: cortex-a53 or cortex-a72", metavar="NAME")
    ] = "cortex-a53",
    params: Annotated[
        Path | None,
        typer.Option(
            help="directory of networks as ncnn's benchmark has them, NAME.param; without it loops alone",
            metavar="DIR",
        ),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            help="only this network; may be repeated (default: all with a published time)", metavar="NAME"
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="only this release of ncnn; may be repeated", metavar="VERSION"),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            help="threads of the networks; may be repeated (default: 1; there are published times of 1 and 4)",
            min=1,
            metavar="N",
        ),
    ] = None,
    bandwidth: Annotated[
        list[float] | None,
        typer.Option(
            help="bytes a second of the modelled memory; may be repeated (default: the core model's; of a "
            "Cortex-A53 2e9 and 2.5e9)",
            min=1e6,
            metavar="B/S",
        ),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            help="a network of the zoo, or an ONNX file, by this project's plan too; may be repeated",
            metavar="MODEL",
        ),
    ] = None,
    varied: Annotated[
        list[str] | None,
        typer.Option(
            help="a network of --params also with what the model assumes at 0.75 and 1.5; may be repeated",
            metavar="NAME",
        ),
    ] = None,
    cpu_hz: Annotated[
        float | None,
        typer.Option(
            help="clock of the modelled core (default: the published times')", min=1e6, metavar="HZ"
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="where packages, wheels and finished runs are kept (default: the cache directory; about 100 MB)",
            metavar="DIR",
        ),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="write the tables to this file too", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the modelled clock of a core by published loops and by networks of another engine."""
    with reported(place=markdown):
        from explorer.commands.bench.cpu_clock_pages import PAGES
        from explorer.errors import UsageError
        from explorer.studies.cpu_clock import (
            ClockSettings,
            bandwidths_of,
            loop_rows,
            network_rows,
            own_rows,
            varied_rows,
        )
        from explorer.studies.study_table import show, write_markdown
        from microbench.emulation.core_model_32 import known_cores_32
        from microbench.emulation.core_model_out_of_order import known_cores_64, load_core_64
        from microbench.emulation.judges.judge import load_published
        from microbench.emulation.judges.userland import PEERS, default_directory

        if core not in PAGES:
            raise UsageError(f"no core {core!r} is judged; there are: {', '.join(PAGES)}")
        model, published, console = load_core_64(core), load_published(core), told(as_json)

        def tell(text: str) -> None:
            console.print(text, markup=False)

        tell(f"model {model.hash} of a {core}")
        tell(
            f"cores: {', '.join(known_cores_64())} in 64-bit state; {', '.join(known_cores_32())} in 32-bit state "
            "(explore bench cpu-clock-32)"
        )
        peers = tuple(wheel for wheel in PEERS if not peer or wheel.version in peer)
        if not peers:
            raise UsageError(f"no such release; there are: {', '.join(wheel.version for wheel in PEERS)}")
        if varied and params is None:
            raise UsageError("--varied takes networks of --params")
        clock_hz, bandwidths = cpu_hz or published.clock_hz, tuple(bandwidth or bandwidths_of(model))
        tables, rows = [_loops(loop_rows(model), model.hash)], []
        if params is not None:
            settings = ClockSettings(
                params=params,
                cache=(cache or default_directory()).absolute(),
                clock_hz=clock_hz,
                networks=tuple(network or published.networks),
                peers=peers,
                threads=tuple(dict.fromkeys(threads or (1,))),
                bandwidths=bandwidths,
            )
            for row in network_rows(model, settings, tell):
                rows.append(row)
            tables += [
                _networks(
                    [row for row in rows if (row.peer, row.threads) == (str(wheel), count)],
                    str(wheel),
                    settings,
                    count,
                    published,
                )
                for wheel in peers
                for count in settings.threads
            ]
            if varied:
                changed = varied_rows(model, replace(settings, networks=tuple(varied)), tell)
                tables.append(_varied(tuple(changed), str(peers[0])))
        if own:
            tables.append(_own(own_rows(model, own, clock_hz, bandwidths), clock_hz, bandwidths))
        if markdown is not None:
            write_markdown(markdown, PAGES[core].title, PAGES[core].introduction, tables)
        show(tables, as_json)


def _loops(rows: Sequence[LoopRow], model_hash: str) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    within = sum(row.within for row in rows)
    cells = tuple(
        (row.name, f"{row.published:.2f}", f"{row.modelled:.2f}", "yes" if row.within else "NO", row.source)
        for row in rows
    )
    note = f"{within} of {len(rows)} loops within 6 % or 0.03 cycle. Model {model_hash}."
    return StudyTable("Loops of the core", LOOP_COLUMNS, cells, (note,))


def _networks(
    rows: Sequence[NetworkRow], peer: str, settings: ClockSettings, threads: int, published: PublishedTimes
) -> StudyTable:
    from explorer.studies.cpu_clock import judgement, verdict
    from explorer.studies.study_table import StudyTable

    columns = [("network", "left"), ("seen before", "left"), ("published, ms", "right")]
    for bandwidth in settings.bandwidths:
        columns += [(f"{bandwidth / 1e9:g} GB/s, ms", "right"), ("ratio", "right")]
    columns.append(("instructions, millions", "right"))
    cells = tuple(
        (
            row.network,
            "yes" if row.is_seen else "no",
            f"{row.published_ms:.2f}",
            *(
                cell
                for place, judged in enumerate(row.judged)
                for cell in (f"{judged.time_s * 1e3:.1f}", f"{row.ratio(place):.2f}")
            ),
            f"{row.judged[0].instructions / 1e6:.1f}",
        )
        for row in rows
    )
    named = "one thread" if threads == 1 else f"{threads} threads"
    note = (
        f"Published: {published.board}, {published.clock_hz / 1e9:g} GHz, {named}, ncnn of {published.date}."
    )
    title = f"{peer}, {settings.clock_hz / 1e9:g} GHz, {named}"
    if len(settings.bandwidths) == 1:
        title += f", memory of {settings.bandwidths[0] / 1e9:g} GB/s"
    return StudyTable(
        title, tuple(columns), cells, (note, verdict(rows, settings.bandwidths), judgement(rows))
    )


def _varied(rows: Sequence[VariedRow], peer: str) -> StudyTable:
    from explorer.studies.cpu_clock import FACTORS
    from explorer.studies.study_table import StudyTable

    columns = [("network", "left"), ("assumed constants", "left"), ("as they are, ms", "right")]
    columns += [(f"at {factor:g}", "right") for factor in FACTORS]
    cells = tuple(
        (
            *(row.network, row.what, f"{row.time_s * 1e3:.1f}"),
            *(f"{time_s / row.time_s:.2f}" for time_s in row.times_s),
        )
        for row in rows
    )
    note = (
        f"{peer}, one thread: the time with all constants of a row that are assumed at so many times their value, "
        "to the time as they are. Cycles are whole ones: one cycle stays one at 0.75 and becomes two at 1.5."
    )
    return StudyTable("What rests on assumed constants", tuple(columns), cells, (note,))


def _own(rows: Sequence[tuple[OwnRun, ...]], cpu_hz: float, bandwidths: Sequence[float]) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    columns = [("network", "left")]
    columns += [(f"{bandwidth / 1e9:g} GB/s, ms", "right") for bandwidth in bandwidths]
    columns += [(f"{name}, millions", "right") for name in ("instructions", *OWN_COUNTS)]
    columns.append(("largest error", "right"))
    cells = tuple(
        (
            runs[0].model,
            *(f"{run.time_s * 1e3:.1f}" for run in runs),
            f"{runs[0].instructions / 1e6:.1f}",
            *(f"{runs[0].counts[name] / 1e6:.1f}" for name in OWN_COUNTS),
            f"{runs[0].error:.1e}{'' if runs[0].is_right else ' WRONG'}",
        )
        for runs in rows
    )
    note = "Plans are those that the roofline model ranks first, not searched; outputs are compared with onnxruntime's."
    return StudyTable(f"This project, {cpu_hz / 1e9:g} GHz, one thread", tuple(columns), cells, (note,))
