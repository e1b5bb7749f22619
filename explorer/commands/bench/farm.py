"""`explore bench farm`: a search on 1, 4 and 16 null boards of a farm, and a thousand of them in a few processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption, ResolutionOption
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from explorer.studies.farm import Crowd, FarmRun

COLUMNS = (
    ("boards", "left"),
    ("measured", "right"),
    ("measuring", "right"),
    ("speed-up", "right"),
    ("of linear", "right"),
    ("whole search", "right"),
    ("plan", "right"),
    ("plan, to that of the fewest boards", "right"),
    ("measured twice", "right"),
)
CROWD_COLUMNS = (("of a farm", "left"), ("figure", "right"))
INTRODUCTION = """\
`explore bench farm` searches a network by the default strategy and budget on farms of null boards on loopback: a
scheduler of Dask in a process of its own, workers in two more, TCP between them. The boards answer after {answer_s:g} s
with a nominal time, and make no programs: a host core that makes them for real boards makes some tens a second, which
the table does not contain. "Measuring" is the time in which candidates were out: they are handed out by the round, as
soon as the strategy has decided on all of it. "Whole search" has what the strategy and the cost model take between the
rounds, on one core, and the composition in the end. Times are of this machine's clock (host), with whatever else it
did; plans are modelled, those of virtual boards simulated, whose host makes programs and simulates them."""


def farm(
    network: Annotated[
        str, typer.Option(help="of the zoo, or an ONNX file", metavar="MODEL")
    ] = "mobilenet_v1",
    device: Annotated[str, typer.Option(help="profile of the null boards", metavar="DEVICE")] = "pi-zero",
    boards: Annotated[
        list[int] | None,
        typer.Option(help="so many of them; may be repeated (default: 1, 4, 16)", min=1, metavar="N"),
    ] = None,
    answer_s: Annotated[
        float, typer.Option(help="seconds until a board answers", min=0.0, max=60.0, metavar="SECONDS")
    ] = 0.2,
    virtual: Annotated[
        list[int] | None,
        typer.Option(
            help="so many virtual boards too, each in a process; may be repeated", min=1, metavar="N"
        ),
    ] = None,
    crowd: Annotated[
        int, typer.Option(help="boards that share four processes; 0: none", min=0, metavar="N")
    ] = 1000,
    resolution: ResolutionOption = 224,
    records: Annotated[
        Path | None,
        typer.Option(
            help="file of the parts that are done, which are not done again (default farm.jsonl in results/runs)",
            metavar="FILE",
        ),
    ] = None,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what a farm gains, and what its boards take of a host."""
    with reported(place=markdown):
        from explorer.farm.place import DEFAULT_ADDRESS, place_of
        from explorer.settings import RUNS

        place_of(DEFAULT_ADDRESS)  # the extra is there
        from explorer.studies.farm import Crowd
        from explorer.studies.farm_records import CHANGING, VIRTUAL, parts_of, recorded
        from explorer.studies.study_table import StudyTable, show, write_markdown
        from explorer.studies.zoo_networks import network_named

        counts = tuple(sorted(set(boards or (1, 4, 16))))
        simulated = tuple(sorted(set(virtual or ())))
        with network_named(network, resolution) as imported:
            parts = parts_of(imported.graph, device, counts, answer_s, crowd, simulated)
            done = recorded(parts, records or RUNS / "farm.jsonl")
        runs = {name: part for name, part in done.items() if not isinstance(part, Crowd)}
        fewest = runs[str(counts[0])]
        rows = [_row(runs[str(count)], fewest, str(count)) for count in counts]
        rows += [
            _row(run, fewest, f"{run.boards}, a quarter killed, as many joined")
            for name, run in runs.items()
            if name.startswith(CHANGING)
        ]
        tables = [StudyTable(f"{network} on null boards that answer in {answer_s:g} s", COLUMNS, tuple(rows))]
        if simulated:
            of_virtual = [runs[f"{VIRTUAL}{count}"] for count in simulated]
            rows = [_row(run, of_virtual[0], str(run.boards)) for run in of_virtual]
            tables.append(StudyTable(f"{network} on virtual boards, a process each", COLUMNS, tuple(rows)))
        for part in done.values():
            if isinstance(part, Crowd):
                tables.append(StudyTable(f"{part.boards} boards", CROWD_COLUMNS, _crowd_rows(part)))
        show(tables, as_json, "explore farm up starts a farm")
        if markdown is not None:
            write_markdown(markdown, "Farms", INTRODUCTION.format(answer_s=answer_s), tables)


def _row(run: FarmRun, fewest: FarmRun, name: str) -> tuple[str, ...]:
    """Speed-ups are of measurements a second: more boards may measure a few more."""
    rate, base = run.measured / run.measuring_s, fewest.measured / fewest.measuring_s
    return (
        name,
        str(run.measured),
        f"{run.measuring_s:.1f} s",
        f"{rate / base:.2f}",
        f"{rate / base / (run.boards / fewest.boards):.2f}",
        f"{run.whole_s:.0f} s",
        f"{1e3 * run.plan_s:.3f} ms",
        f"{100 * (run.plan_s / fewest.plan_s - 1):+.2f} %",
        str(run.twice),
    )


def _crowd_rows(crowd: Crowd) -> tuple[tuple[str, ...], ...]:
    return (
        ("processes of boards", str(crowd.processes)),
        ("until all had joined", f"{crowd.start_s:.0f} s"),
        ("memory of a board", f"{crowd.board_bytes / 1024:.0f} KiB"),
        ("memory of the scheduler for it", f"{crowd.scheduler_bytes / 1024:.0f} KiB"),
        ("an idle board, of a core", f"{100 * crowd.idle_share:.3f} %"),
        ("candidates measured", str(crowd.orders)),
        ("in", f"{crowd.orders_s:.0f} s"),
        ("CPU time of a candidate, all processes", f"{1e3 * crowd.order_cpu_s:.1f} ms"),
        ("measured twice", str(crowd.twice)),
    )
