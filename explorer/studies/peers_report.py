"""Tables of a comparison with peers: on the terminal, as Markdown, and every time as CSV."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codegen.engines.cpu.toolchain import cpu_model
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from microbench.peers.comparison import Cell, mean_of
from microbench.peers.ratios import spread_of
from microbench.peers.rounds import Entry, RoundSettings

COLUMNS = (
    "engine",
    "version",
    "median ms",
    "quartiles ms",
    "fastest ms",
    "error",
    "/ fastest peer",
    "idle CPU",
    "note",
)
MEAN_COLUMNS = ("threads", "ours / fastest peer", "95 % interval", "networks", "not among them")


def cell_table(cell: Cell) -> StudyTable:
    """One network by one number of threads."""
    columns = tuple((name, RIGHT if place > 1 else LEFT) for place, name in enumerate(COLUMNS))
    rows = tuple(_row(cell, entry) for entry in ordered(cell))
    return StudyTable(f"{cell.network}, threads: {cell.threads}", columns, rows)


def mean_table(cells: Sequence[Cell], seed: int) -> StudyTable:
    """The geometric means."""
    columns = tuple((name, LEFT) for name in MEAN_COLUMNS)
    return StudyTable("Geometric mean over networks", columns, tuple(_mean_rows(cells, seed)))


def ordered(cell: Cell) -> tuple[Entry, ...]:
    """Entries by median, those that did not run last."""

    def place(entry: Entry) -> tuple[bool, float, str]:
        if entry.times_ns is None:
            return (True, 0.0, entry.name)
        return (False, spread_of(entry.times_ns).median_s, entry.name)

    return tuple(sorted(cell.entries, key=place))


def write_times(cells: Sequence[Cell], path: Path) -> None:
    """Every timed inference: network, threads, engine, version, round, run, nanoseconds."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("network", "threads", "engine", "version", "round", "run", "time_ns"))
        for cell in cells:
            for entry in cell.entries:
                if entry.times_ns is None:
                    continue
                for (turn, run), time_ns in np.ndenumerate(entry.times_ns):
                    rows.writerow(
                        (cell.network, cell.threads, entry.name, entry.version, turn, run, int(time_ns))
                    )


def write_markdown(cells: Sequence[Cell], settings: RoundSettings, path: Path) -> None:
    """The report that is kept."""
    lines = [
        "# This project's bundles and other inference engines on a CPU",
        "",
        *_method(cells, settings),
        "",
    ]
    lines += ["## Geometric mean over networks", "", "Below 1 this project is faster.", ""]
    lines += [*_markdown(MEAN_COLUMNS, _mean_rows(cells, settings.seed)), ""]
    for cell in cells:
        rows = [_row(cell, entry) for entry in ordered(cell)]
        lines += [f"## {cell.network}, threads: {cell.threads}", "", *_markdown(COLUMNS, rows), ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _row(cell: Cell, entry: Entry) -> tuple[str, ...]:
    if entry.times_ns is None:
        return (entry.title, entry.version or "-", *("-",) * (len(COLUMNS) - 3), f"not run: {entry.reason}")
    spread = spread_of(entry.times_ns)
    wrong = " (wrong)" if entry.error > cell.tolerance else ""
    return (
        entry.title,
        entry.version,
        _ms(spread.median_s),
        f"{_ms(spread.low_quartile_s)} to {_ms(spread.high_quartile_s)}",
        _ms(spread.fastest_s),
        f"{entry.error:.1e}{wrong}",
        _ratio(cell, spread.median_s),
        f"{entry.idle_share:.1%}",
        "",
    )


def _ratio(cell: Cell, median_s: float) -> str:
    name = cell.fastest_peer
    return "-" if name is None else f"{median_s / spread_of(cell.peers_ns[name]).median_s:.2f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _mean_rows(cells: Sequence[Cell], seed: int) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for threads in sorted({cell.threads for cell in cells}):
        mean = mean_of(cells, threads, seed)
        there = mean.networks if mean else ()
        missing = [cell.network for cell in cells if cell.threads == threads and cell.network not in there]
        ratio = f"{mean.ratio:.3f}" if mean else "-"
        interval = f"{mean.low:.3f} to {mean.high:.3f}" if mean else "-"
        rows.append((str(threads), ratio, interval, ", ".join(there) or "none", ", ".join(missing) or "none"))
    return rows


def _limits(cells: Sequence[Cell]) -> str:
    """The largest error that counts, and of which networks it is another: of quantised ones some units."""
    by_limit: dict[str, list[str]] = {}
    for cell in cells:
        by_limit.setdefault(f"{cell.tolerance:.2g}", []).append(cell.network)
    if len(by_limit) == 1:
        return next(iter(by_limit))
    return ", ".join(f"{limit} ({', '.join(dict.fromkeys(names))})" for limit, names in by_limit.items())


def _method(cells: Sequence[Cell], settings: RoundSettings) -> list[str]:
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    pinned = "; ".join(sorted({f"{cell.threads}: CPU {', '.join(map(str, cell.cpus))}" for cell in cells}))
    return [
        f"Times are this machine's clock (`host`): {cpu_model()}, {platform.system()} {platform.release()}, "
        f"load averages at the end {load}. Batch 1, float32.",
        "",
        f"Every engine is a process of its own, pinned to as many CPUs as threads ({pinned}). "
        f"{settings.rounds} rounds; in each, in a new random order, every engine has one turn while the others "
        f"wait: {settings.warmup} inferences to warm up, {settings.runs} timed. Between turns "
        f"{settings.settle_s * 1e3:.0f} ms pass; `idle CPU` is what an engine used of a CPU while others had "
        "their turns. `error` is the largest difference to onnxruntime's output over that output's root mean "
        f"square; above {_limits(cells)} an engine is not compared with. The interval is of a bootstrap over "
        "rounds, which peer is the fastest decided anew in each resample.",
        "",
        "Made by `explore bench cpu-peers`; all times are in `cpu-peers.csv` beside this file.",
    ]


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[word.replace("|", "\\|").replace("\n", " ") for word in row] for row in rows]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in cells)]
