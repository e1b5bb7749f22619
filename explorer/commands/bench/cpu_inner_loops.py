"""`explore bench cpu-inner-loops`: what compilers made of the kernels' inner loops, core by core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.layer_names import chosen_layers
from explorer.commands.bench.options import JsonOption, MarkdownOption
from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.studies.inner_loops import Inspection
    from explorer.studies.study_table import StudyTable
    from microbench.profile import DeviceProfile

DEVICES = ("pi-zero", "pi-2", "pi-3", "pi-3-64", "pi-4")
COLUMNS = (
    ("layer", "left"),
    ("algorithm", "left"),
    ("tile", "left"),
    ("instr.", "right"),
    ("MACs", "right"),
    ("loads", "right"),
    ("stores", "right"),
    ("branches", "right"),
    ("stack", "right"),
    ("MACs / instr.", "right"),
    ("cycles", "right"),
    ("MACs / cycle", "right"),
)
INTRODUCTION = """\
`explore bench cpu-inner-loops` compiles for every layer shape and CPU algorithm the candidate that the roofline model
ranks first on the device, with the project's own compiler flags, and disassembles it. A row is one iteration of the
innermost loop with the most multiply-accumulates (MACs): a four-lane instruction counts four, a product counts with
the sum that takes it. `stack` are the loads and stores of the stack among the others: spills. Cycles are llvm-mca's
(kind: modelled; every access a hit of the first cache); it has no model of 32-bit ARM cores."""


def cpu_inner_loops(
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
    ] = 1,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the kernels for a device and show what their inner loops consist of."""
    with reported(place=markdown):
        from explorer.studies.inner_loops import inspect_device
        from explorer.studies.representative_layers import REPRESENTATIVE_LAYERS
        from explorer.studies.study_table import show, write_markdown
        from microbench.profile import load_profile

        layers = chosen_layers(REPRESENTATIVE_LAYERS, layer)
        profiles = [load_profile(name) for name in device or DEVICES]
        tables = []
        for profile in profiles:
            tables.append(_table(profile, list(inspect_device(profile, layers, points))))
            if not as_json:
                show(tables[-1:], as_json)
        if markdown is not None:
            write_markdown(markdown, "Inner loops of the CPU kernels", INTRODUCTION, tables)
        then = "explore bench cpu-instructions counts what whole networks execute"
        show(tables if as_json else (), as_json, then)


def _table(profile: DeviceProfile, inspections: Sequence[Inspection]) -> StudyTable:
    from codegen.engines.cpu.toolchain import KERNEL_FLAGS
    from explorer.studies.study_table import StudyTable
    from microbench.inner_loops.pipeline_model import has_model, why_no_simulator

    modelled = has_model(profile.compiler_target, profile.cpu)
    missing = why_no_simulator() if modelled else f"llvm-mca has no model of {profile.cpu} in 32-bit code"
    notes = (f"Cycles: {missing}.",) if missing else ()
    flags = " ".join((profile.compiler_target, *profile.compiler_flags, *KERNEL_FLAGS))
    rows = tuple(_row(inspection, "-" if modelled else "no model") for inspection in inspections)
    return StudyTable(f"{profile.name}: {profile.cpu} ({flags})", COLUMNS, rows, notes)


def _row(inspection: Inspection, no_cycles: str) -> tuple[str, ...]:
    from explorer.runs.tables import axes

    choice, counts = inspection.candidate.choice, inspection.counts
    named = (inspection.layer, choice.algorithm, axes(choice.tile))
    if counts is None:
        return (*named, *("-",) * (len(COLUMNS) - len(named) - 1), inspection.refusal or "-")
    cycles, rate = inspection.cycles, inspection.macs_per_cycle
    return (
        *named,
        str(counts.instructions),
        str(counts.macs),
        str(counts.loads),
        str(counts.stores),
        str(counts.branches),
        str(counts.stack_accesses),
        f"{counts.macs_per_instruction:.2f}",
        no_cycles if cycles is None else f"{cycles:.1f}",
        no_cycles if rate is None else f"{rate:.2f}",
    )
