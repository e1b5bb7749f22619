"""`explore bench cpu-clock-32`: the modelled clocks of cores in 32-bit state beside the tables of costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.bench.options import JsonOption
from explorer.terminal.exits import reported
from explorer.terminal.json_output import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.studies.clock_32 import ClockedNetwork, CoreRow, Varied
    from explorer.studies.study_table import StudyTable

SHOWN_STEPS = 3
TITLE = "Clocks of cores in 32-bit state"
INTRODUCTION = """\
`explore bench cpu-clock-32` runs programs of one thread in A32 under qemu-user with models of the cores of the boards
whose CPU and QPUs share a plan: [ARM1176JZF-S](../microbench/emulation/cores/aarch32/arm1176jzf-s.toml),
[Cortex-A7](../microbench/emulation/cores/aarch32/cortex-a7.toml) and
[Cortex-A53](../microbench/emulation/cores/aarch32/cortex-a53.toml) in 32-bit state, every constant with its source or
`assumed`. Caches, prefetches and memory are those of the [clock in 64-bit state](cpu-clock.md). An instruction without
a class ends the program. **No core is judged**: that takes five programs with published times of which all are within
0.80 to 1.25. So the boards' CPU times stay `modelled` by the profiles' tables of costs, and the clocked times here
(`simulated`) stand beside them; a difference says that one of the two is wrong, not which."""


def cpu_clock_32(
    device: Annotated[
        list[str] | None,
        typer.Option(help="a board; may be repeated (default: pi-zero, pi-2, pi-3)", metavar="NAME"),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="a network of the zoo, or an ONNX file; may be repeated", metavar="MODEL"),
    ] = None,
    loops_only: Annotated[bool, typer.Option(help="cores, loops and programs, no networks")] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="where finished runs are kept (default: the cache directory)", metavar="DIR"),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="write the tables to this file too", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the modelled clocks of cores in 32-bit state, and networks by them beside the tables of costs."""
    with reported(place=markdown):
        from codegen.engines.cpu.toolchain import cache_directory
        from explorer.errors import UsageError
        from explorer.studies.clock_32 import DEVICES, NETWORKS, Journal, clocked_networks, core_row, varied
        from explorer.studies.study_table import show, write_markdown
        from microbench.emulation.core_model_32 import known_cores_32
        from microbench.profile import load_profile

        console = told(as_json)
        journal = Journal(cache or cache_directory() / "cpu-clock-32")
        profiles = [load_profile(name) for name in dict.fromkeys(device or DEVICES)]
        for profile in profiles:
            if profile.cpu not in known_cores_32() or not profile.compiler_target.startswith("arm"):
                raise UsageError(
                    f"device {profile.name!r} has no core in 32-bit state with a model; there are: "
                    f"{', '.join(known_cores_32())}"
                )

        def tell(text: str) -> None:
            console.print(text, markup=False)

        rows = [core_row(profile, journal) for profile in profiles]
        tables = [_cores(rows), _off(rows)]
        if not loops_only:
            runs = [
                run
                for profile in profiles
                for run in clocked_networks(profile, tuple(network or NETWORKS), journal, tell)
            ]
            tables += [_networks(runs), _steps(runs)]
            tables.append(_varied([one for profile in profiles for one in varied(profile, journal, tell)]))
        if markdown is not None:
            write_markdown(markdown, TITLE, INTRODUCTION, tables)
        show(tables, as_json)


def _cores(rows: Sequence[CoreRow]) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    columns = (
        *(("core", "left"), ("model", "left"), ("emulated as", "left")),
        *(("constants", "right"), ("assumed", "right"), ("loops", "right"), ("within 6 % or 0.03", "right")),
        *(("programs, modelled to published", "left"), ("judged", "left")),
    )
    cells = tuple(
        (
            *(row.model.name, row.model.hash, row.model.emulated),
            *(str(row.constants), str(row.assumed), str(row.loops), str(row.loops - len(row.off))),
            ", ".join(f"{name} {modelled / published:.2f}" for name, published, modelled in row.programs)
            or "none",
            "yes" if row.is_judged else "no",
        )
        for row in rows
    )
    notes = (
        "Loops of the ARM1176JZF-S are its manual's figures and one published peak, of the Cortex-A7 published "
        "measurements; of the Cortex-A53 published measurements in 64-bit state, which its model assumes to hold.",
        "Programs: products of matrices of 500 x 500 floats on a Raspberry Pi of 700 MHz "
        "([programs_32.toml](../microbench/emulation/judges/programs_32.toml)); the textbook's order needs a page's "
        "translation for nearly every element, and walks of page tables are not modelled.",
    )
    return StudyTable("Cores", columns, cells, notes)


def _off(rows: Sequence[CoreRow]) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    columns = (
        *(("loop that is off", "left"), ("core", "left")),
        *(("stated cycles", "right"), ("modelled cycles", "right")),
    )
    cells = tuple(
        (name, row.model.name, f"{stated:.2f}", f"{modelled:.2f}")
        for row in rows
        for name, stated, modelled in row.off
    )
    return StudyTable("Loops that are off", columns, cells)


def _networks(runs: Sequence[ClockedNetwork]) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    columns = (
        *(("board", "left"), ("network", "left"), ("by the table, ms", "right")),
        *(("by the clock, ms", "right"), ("clock to table", "right"), ("largest error", "right")),
    )
    cells = tuple(
        (
            *(run.device, run.network, f"{run.table_s * 1e3:.1f}", f"{run.clock_s * 1e3:.1f}"),
            f"{run.clock_s / run.table_s:.2f}",
            f"{run.error:.1e}{'' if run.is_right else ' WRONG'}",
        )
        for run in runs
    )
    note = "One thread, the plan that the table's costs compose, a run after another one; sums of steps."
    return StudyTable("Networks", columns, cells, (note, _spread(runs)))


def _spread(runs: Sequence[ClockedNetwork]) -> str:
    """How far apart the two times of a board's networks are."""
    sentences = []
    for device in dict.fromkeys(run.device for run in runs):
        ratios = [run.clock_s / run.table_s for run in runs if run.device == device]
        sentences.append(
            f"{device}: the clock has {min(ratios):.2f} to {max(ratios):.2f} of the table's times."
        )
    return " ".join(sentences)


def _steps(runs: Sequence[ClockedNetwork]) -> StudyTable:
    from explorer.studies.study_table import StudyTable

    columns = (
        *(("board", "left"), ("network", "left"), ("layer", "left"), ("algorithm", "left")),
        *(("by the table, ms", "right"), ("by the clock, ms", "right"), ("clock to table", "right")),
    )
    cells = tuple(
        (
            *(run.device, run.network, step.name, step.algorithm),
            *(f"{step.table_s * 1e3:.2f}", f"{step.clock_s * 1e3:.2f}", f"{step.clock_s / step.table_s:.2f}"),
        )
        for run in runs
        for step in run.furthest(SHOWN_STEPS)
    )
    note = f"The {SHOWN_STEPS} layers of each network whose two times are most milliseconds apart."
    return StudyTable("Layers that differ most", columns, cells, (note,))


def _varied(rows: Sequence[Varied]) -> StudyTable:
    from explorer.studies.clock_32 import FACTORS, VARIED_NETWORK, VARIED_PIXELS
    from explorer.studies.study_table import StudyTable

    columns = [("board", "left"), ("assumed constants", "left"), ("as they are, ms", "right")]
    columns += [(f"at {factor:g}", "right") for factor in FACTORS]
    cells = tuple(
        (
            *(row.device, row.what, f"{row.time_s * 1e3:.1f}"),
            *(f"{time_s / row.time_s:.2f}" for time_s in row.times_s),
        )
        for row in rows
    )
    note = (
        f"{VARIED_NETWORK} at {VARIED_PIXELS} x {VARIED_PIXELS} pixels, its plan unchanged: the time with all "
        "constants of a row that are assumed at so many times their value, to the time as they are. Cycles are whole "
        "ones: one cycle stays one at 0.75 and becomes two at 1.5."
    )
    return StudyTable("What rests on assumed constants", tuple(columns), cells, (note,))
