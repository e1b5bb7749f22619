"""`explore bench cpu-families`: row-major CPU kernels beside those on blocks of channels, instructions counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.layer_names import chosen_layers
from explorer.commands.bench.options import JsonOption, MarkdownOption
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.studies.kernel_families import KernelCount
    from explorer.studies.study_table import StudyTable
    from microbench.profile import DeviceProfile

DEVICES = ("pi-zero", "pi-3-64")
COLUMNS = (
    ("layer", "left"),
    ("algorithm", "left"),
    ("blocks of", "left"),
    ("tile", "left"),
    ("instructions, millions", "right"),
    ("of the fewest row-major", "right"),
)
TITLE = "Row-major and blocked kernels of the CPU"
INTRODUCTION = """\
`explore bench cpu-families` runs kernels of one layer under qemu-user as the board's own core, compares their outputs
with the float64 reference and counts the instructions of one call with a TCG plugin. Blocked kernels are there twice:
with blocks of one channel, which is the row-major layout itself, and with as many channels as the device's registers
hold (four scalars where it has no vectors). Of each kernel the candidates of one thread that the roofline model ranks
first are counted, and the one with the fewest instructions is shown. Changes of layout are not counted."""


def cpu_families(
    device: Annotated[
        list[str] | None,
        typer.Option(
            help=f"device profile; may be repeated (default: {', '.join(DEVICES)})", metavar="DEVICE"
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="only layers whose name contains this; may be repeated", metavar="LAYER"),
    ] = None,
    points: Annotated[
        int, typer.Option(help="candidates of each algorithm, best ranked first", min=1, metavar="N")
    ] = 3,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count what row-major and blocked kernels of the same layer execute on a device's CPU."""
    with reported(place=markdown):
        from explorer.studies.kernel_families import count_families
        from explorer.studies.representative_layers import LAYERS_OF_OTHER_KINDS, REPRESENTATIVE_LAYERS
        from explorer.studies.study_table import show, write_markdown
        from microbench.profile import load_profile

        layers = chosen_layers({**REPRESENTATIVE_LAYERS, **LAYERS_OF_OTHER_KINDS}, layer)
        tables = []
        for profile in [load_profile(name) for name in device or DEVICES]:
            tables.append(_table(profile, list(count_families(profile, layers, points)), points))
            if not as_json:
                show(tables[-1:], as_json)
            if markdown is not None:  # after each device: an interrupt loses none that is done
                write_markdown(markdown, TITLE, INTRODUCTION, tables)
        then = "explore bench cpu-inner-loops says what the innermost loops consist of"
        show(tables if as_json else (), as_json, then)


def _table(profile: DeviceProfile, counts: Sequence[KernelCount], points: int) -> StudyTable:
    from explorer.studies.kernel_families import fewest_row_major
    from explorer.studies.study_table import StudyTable

    fewest = fewest_row_major(counts)
    rows = tuple(_row(count, fewest.get(count.layer)) for count in counts)
    notes = (f"Candidates counted of each kernel: {points}.",)
    return StudyTable(f"{profile.name}: {profile.cpu}", COLUMNS, rows, notes)


def _row(count: KernelCount, fewest: int | None) -> tuple[str, ...]:
    from explorer.runs.tables import axes

    choice = count.candidate.choice
    return (
        count.layer,
        choice.algorithm,
        "row-major" if count.lanes is None else str(count.lanes),
        axes(tuple(pair for pair in choice.tile if pair[0] != "lanes")),
        f"{count.instructions / 1e6:,.2f}",
        "-" if fewest is None else f"{count.instructions / fewest:.3f}",
    )
