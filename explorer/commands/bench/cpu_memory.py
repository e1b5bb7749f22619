"""`explore bench cpu-memory`: what activations take, layer by layer and depth first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption
from explorer.terminal.exits import reported
from explorer.terminal.json_output import told

if TYPE_CHECKING:
    from rich.console import Console

    from explorer.plans.least_memory import MemoryRange
    from explorer.studies.study_table import StudyTable

INTRODUCTION = """\
Peak memory of activations and workspaces that a bundle allocates, beside the caller's input and output. `Layer by
layer` computes one layer after the other; `depth first` may take neighbouring layers as chains, of which only bands of
rows are in memory. Each once for speed and once for memory alone: the exact composition under lower and lower caps.
Times are the sums of what is expected of the steps (kind: as the samples')."""

MIB = 1 << 20


def cpu_memory(
    models: Annotated[list[Path], typer.Argument(help="ONNX files", metavar="FILE")],
    device: Annotated[str, typer.Option(help="device profile or named board", metavar="DEVICE")] = "host",
    store: Annotated[
        str | None,
        typer.Option(help="samples, as for `explore run`; what is missing is measured", metavar="STORE"),
    ] = None,
    threads: Annotated[int, typer.Option(help="most threads of a layer", min=1, metavar="N")] = 1,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how much memory the activations of networks take, layer by layer and depth first."""
    with reported(resumable=True, place=markdown):
        from explorer.studies.study_table import show, write_markdown

        console = told(as_json)
        tables = [_table(model, device, store, threads, console) for model in models]
        show(tables, as_json, "explore run --device host --max-memory SIZE searches below a bound")
        if markdown is not None:
            write_markdown(markdown, "Memory of activations on the CPU", INTRODUCTION, tables)


def _table(model: Path, device: str, store: str | None, threads: int, console: Console) -> StudyTable:
    from explorer.pipeline.run import searched
    from explorer.plans.least_memory import memory_range
    from explorer.plans.network import load_network
    from explorer.settings import DEFAULT_STORE, RunSettings
    from explorer.studies.study_table import LEFT, RIGHT, StudyTable
    from explorer.terminal.progress_lines import progress_on

    settings = RunSettings(device=device, model=model, store=store or str(DEFAULT_STORE))
    with progress_on(console) as progress:
        found = searched(settings, load_network(model, {}, model.stem), progress)
        progress.phase("Memory")
        ranges = {
            "layer by layer": memory_range(found, chains=False, threads=threads),
            "depth first": memory_range(found, chains=True, threads=threads),
        }
    rows = [row for name, ends in ranges.items() for row in _rows(name, ends)]
    columns = (("way", LEFT), ("for", LEFT), ("chains", RIGHT), ("memory", RIGHT), ("expected", RIGHT))
    return StudyTable(f"{settings.model_name} on {device}, {threads} thread(s)", columns, tuple(rows))


def _rows(name: str, ends: MemoryRange) -> list[tuple[str, ...]]:
    return [
        (
            name,
            purpose,
            str(point.chains),
            f"{point.total_bytes / MIB:.2f} MiB",
            f"{1e3 * point.composition.total_s:.2f} ms",
        )
        for purpose, point in (("speed", ends.fastest), ("memory", ends.smallest))
    ]
