"""`explore bench cpu-clock`: the modelled clock of a Cortex-A53, judged by other engines' programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption
from explorer.terminal.exits import reported
from explorer.terminal.json_output import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.studies.cpu_clock import ClockSettings, LoopRow, NetworkRow
    from explorer.studies.own_clock import OwnRun
    from explorer.studies.study_table import StudyTable

CLOCK_HZ = 1.4e9  # of the board whose times are published
TITLE = "The clock of a Cortex-A53"
INTRODUCTION = """\
`explore bench cpu-clock --params DIR` runs programs for AArch64 under qemu-user with a plugin that models the core: an
in-order pipeline of two instructions a cycle, caches, prefetches and memory
([core model](../microbench/emulation/cores/cortex-a53.toml), every constant with its source). Threads have a core and a
clock each, and go on in the order of their clocks; the second level and the channel to memory are shared, and a thread
that waits costs what it waits. The judges are loops whose cycles on silicon are published, and another engine's own
build on networks whose times on a Raspberry Pi 3B+ are
([published.toml](../microbench/emulation/judges/published.toml)). Times are `simulated`; ratios are modelled time to
published time. `seen before`: the model was compared with that time while it was made; nothing was fitted to a time of
four threads. The model is identified by its hash; kernels of this project are tuned on it only as it stands here."""
OWN_COUNTS = ("multiply-add", "vector load", "vector store")
LOOP_COLUMNS = (
    ("loop", "left"),
    ("published cycles", "right"),
    ("modelled cycles", "right"),
    ("within 6 % or 0.03", "left"),
    ("source", "left"),
)


def cpu_clock(
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
            help="bytes a second of the modelled memory; may be repeated (default: 2e9 and 2.5e9)",
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
    cpu_hz: Annotated[
        float, typer.Option(help="clock of the modelled core", min=1e6, metavar="HZ")
    ] = CLOCK_HZ,
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
    """Judge the modelled clock of a Cortex-A53 by published loops and by networks of another engine."""
    with reported(place=markdown):
        from explorer.errors import UsageError
        from explorer.studies.cpu_clock import (
            BANDWIDTHS,
            CORE,
            ClockSettings,
            loop_rows,
            network_rows,
            own_rows,
        )
        from explorer.studies.study_table import show, write_markdown
        from microbench.emulation.core_model import known_cores, load_core
        from microbench.emulation.core_model_32 import known_cores_32
        from microbench.emulation.judges.judge import load_published
        from microbench.emulation.judges.userland import PEERS, default_directory

        model, console = load_core(CORE), told(as_json)
        console.print(f"model {model.hash} of a {CORE}", markup=False)
        console.print(
            f"cores: {', '.join(known_cores())} in 64-bit state; {', '.join(known_cores_32())} in 32-bit state "
            "(explore bench cpu-clock-32)",
            markup=False,
        )
        peers = tuple(wheel for wheel in PEERS if not peer or wheel.version in peer)
        if not peers:
            raise UsageError(f"no such release; there are: {', '.join(wheel.version for wheel in PEERS)}")
        tables, rows = [_loops(loop_rows(model), model.hash)], []
        if params is not None:
            settings = ClockSettings(
                params=params,
                cache=(cache or default_directory()).absolute(),
                clock_hz=cpu_hz,
                networks=tuple(network or load_published()),
                peers=peers,
                threads=tuple(dict.fromkeys(threads or (1,))),
                bandwidths=tuple(bandwidth or BANDWIDTHS),
            )
            for row in network_rows(model, settings, lambda text: console.print(text, markup=False)):
                rows.append(row)
            tables += [
                _networks(
                    [row for row in rows if (row.peer, row.threads) == (str(wheel), count)],
                    str(wheel),
                    settings,
                    count,
                )
                for wheel in peers
                for count in settings.threads
            ]
        if own:
            tables.append(_own(own_rows(model, own, cpu_hz), cpu_hz))
        if markdown is not None:
            write_markdown(markdown, TITLE, INTRODUCTION, tables)
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


def _networks(rows: Sequence[NetworkRow], peer: str, settings: ClockSettings, threads: int) -> StudyTable:
    from explorer.studies.cpu_clock import verdict
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
    note = f"Published: Raspberry Pi 3B+, 1.4 GHz, {named}, ncnn of 2023-06-23."
    title = f"{peer}, {settings.clock_hz / 1e9:g} GHz, {named}"
    return StudyTable(title, tuple(columns), cells, (note, verdict(rows, settings.bandwidths)))


def _own(rows: Sequence[tuple[OwnRun, ...]], cpu_hz: float) -> StudyTable:
    from explorer.studies.cpu_clock import BANDWIDTHS
    from explorer.studies.study_table import StudyTable

    columns = [("network", "left")]
    columns += [(f"{bandwidth / 1e9:g} GB/s, ms", "right") for bandwidth in BANDWIDTHS]
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
