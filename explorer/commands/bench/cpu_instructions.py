"""`explore bench cpu-instructions`: networks under emulation of the boards' CPUs, checked and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption, MarkdownOption, ResolutionOption
from explorer.terminal.exits import reported
from explorer.terminal.json_output import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.studies.executed_instructions import InstructionCount
    from explorer.studies.study_table import StudyTable

DEVICES = ("pi-zero", "pi-2", "pi-3", "pi-3-64", "pi-4")
MODELS = ("mobilenet_v1", "mobilenet_v2", "squeezenet", "resnet18")
COLUMNS = (
    ("network", "left"),
    ("device", "left"),
    ("emulated core", "left"),
    ("algorithms", "left"),
    ("instructions, millions", "right"),
    ("MACs, millions", "right"),
    ("MACs / instruction", "right"),
    ("largest error", "right"),
)
TITLE = "Instructions of whole networks"
INTRODUCTION = """\
`explore bench cpu-instructions` composes the CPU kernels that the roofline model ranks first, for one thread, compiles
the network for the board and runs it under qemu-user as the board's own core: an instruction that the core lacks ends
the program. Outputs are compared with onnxruntime's; the error is relative to the largest output. Instructions are
those of one inference, counted by a TCG plugin; MACs are those of direct computation, whatever the algorithm."""
NOTE = "A Cortex-A53 in 32-bit code is emulated as the core `max`: qemu-arm has no other with ARMv8's instructions."


def cpu_instructions(
    device: Annotated[
        list[str] | None,
        typer.Option(
            help=f"device profile; may be repeated (default: {', '.join(DEVICES)})", metavar="DEVICE"
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            help=f"a network of the zoo, or an ONNX file; may be repeated (default: {', '.join(MODELS)})",
            metavar="MODEL",
        ),
    ] = None,
    resolution: ResolutionOption = 224,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run networks under emulation of a device's CPU, check their outputs and count instructions."""
    with reported(place=markdown):
        from explorer.plans.check import trials_of
        from explorer.studies.executed_instructions import count_network, require_right
        from explorer.studies.study_table import show, write_markdown
        from explorer.studies.zoo_networks import network_named
        from microbench.profile import load_profile

        profiles, counts, console = [load_profile(name) for name in device or DEVICES], [], told(as_json)
        for name in models or MODELS:
            with network_named(name, resolution) as network:
                (trial,) = trials_of(network, seed=0, count=1)
                for profile in profiles:
                    counts.append(count_network(network, profile, trial))
                    right = "right" if counts[-1].is_right else "WRONG"
                    console.print(f"{name} for {profile.name}: outputs {right}", markup=False)
            if markdown is not None:  # after each network: an interrupt loses none that is done
                write_markdown(markdown, TITLE, INTRODUCTION, [_table(counts, resolution)])
        then = "explore bench cpu-inner-loops says what the innermost loops consist of"
        show([_table(counts, resolution)], as_json, then)
        require_right(counts)


def _table(counts: Sequence[InstructionCount], resolution: int) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    notes = (f"Networks of the zoo at {resolution} x {resolution} pixels.", NOTE)
    return StudyTable("Executed instructions of one inference", COLUMNS, tuple(map(_row, counts)), notes)


def _row(count: InstructionCount) -> tuple[str, ...]:
    return (
        count.model,
        count.device,
        count.core,
        " ".join(count.algorithms),
        f"{count.instructions / 1e6:,.1f}",
        f"{count.macs / 1e6:,.1f}",
        f"{count.macs_per_instruction:.2f}",
        f"{count.error:.1e}{'' if count.is_right else ' WRONG'}",
    )
