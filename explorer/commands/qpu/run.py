"""The commands `explore qpu run` and `explore qpu sensitivity`. Imports of heavy packages stay inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.terminal.exits import reported

if TYPE_CHECKING:
    from microbench.profile import DeviceProfile

ProgramArgument = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="raw little-endian words, or a listing: 0x009e7000, 0x100009e7, …"),
]
FormOption = Annotated[
    str, typer.Option("--form", help="how the file is read: auto, raw, words32, words32-high-first, words64")
]
TargetArgument = Annotated[
    Path, typer.Argument(help="a program as in `explore qpu run`, or a bundle's directory")
]
QpusOption = Annotated[int, typer.Option(help="how many QPUs run the program", min=1)]
UniformOption = Annotated[
    list[str] | None,
    typer.Option(
        "--uniform", "-u",
        help="next word of the uniforms: a number (5, 0x10, 1.5), a buffer's address (NAME, NAME+64, "
        "NAME+256*qpu), the QPU's number (qpu), or the words of a file (@FILE); may be repeated",
    ),
]  # fmt: skip
InOption = Annotated[
    list[str] | None, typer.Option("--in", help="NAME=FILE: a buffer with a file's bytes; may be repeated")
]
BufferOption = Annotated[
    list[str] | None, typer.Option("--buffer", help="NAME=BYTES: a buffer of zeros; may be repeated")
]
DeviceOption = Annotated[str, typer.Option(help="device profile: a name, or a file *.toml")]
ClockOption = Annotated[float | None, typer.Option(help="clock of the GPU, in Hz", min=1e6, max=5e9)]


def run(
    program: ProgramArgument,
    form: FormOption = "auto",
    qpus: QpusOption = 1,
    uniform: UniformOption = None,
    in_: InOption = None,
    buffer: BufferOption = None,
    out: Annotated[
        list[str] | None, typer.Option("--out", help="NAME=FILE: write a buffer afterwards; may be repeated")
    ] = None,
    device: DeviceOption = "pi-zero",
    v3d_hz: ClockOption = None,
    timeout: Annotated[float, typer.Option(help="limit in simulated seconds", min=1e-6)] = 1.0,
    lax: Annotated[
        bool, typer.Option("--lax", help="go on where silicon goes on after a broken rule, and count it")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="executions and stalls by instruction")] = False,
    trace: Annotated[
        Path | None, typer.Option(help="write a Chrome trace, which Perfetto opens, to this file")
    ] = None,
    trace_intervals: Annotated[int, typer.Option(help="most intervals in the trace", min=1)] = 200_000,
) -> None:
    """Run a QPU program on the virtual GPU, in simulated time."""
    from explorer.qpu.run_options import ProgramOptions, output_files, write_outputs
    from explorer.qpu.run_tables import print_run
    from microbench.virtual import VirtualV3D
    from microbench.virtual.program import run_program

    with reported():
        options = ProgramOptions(program, form, qpus, uniform or [], in_ or [], buffer or [])
        loaded, outputs = options.load(), output_files(out or [])
        with VirtualV3D(_device(device, v3d_hz), strict=not lax) as gpu:
            done = run_program(gpu, loaded, timeout, profile, trace_intervals if trace else 0)
        write_outputs(done, outputs)
        if trace is not None and done.execution.trace is not None:
            done.execution.trace.write(trace)
        print_run(loaded, done, profile)


def sensitivity(
    target: TargetArgument,
    form: FormOption = "auto",
    qpus: QpusOption = 1,
    uniform: UniformOption = None,
    in_: InOption = None,
    buffer: BufferOption = None,
    device: DeviceOption = "pi-zero",
    v3d_hz: ClockOption = None,
) -> None:
    """Time of a QPU program or a bundle with each assumed or fitted constant of the GPU at 0.75 and 1.5 times it."""
    from codegen.bundle.manifest import MANIFEST_NAME
    from explorer.qpu.run_options import ProgramOptions
    from explorer.qpu.run_tables import print_table
    from microbench.sensitivity import bundle_time_s, sensitivity_table
    from microbench.virtual.program import program_time_s

    with reported():
        constants = _device(device, v3d_hz)
        if (target / MANIFEST_NAME).is_file():
            table = sensitivity_table(constants, lambda varied: bundle_time_s(varied, target))
        else:
            options = ProgramOptions(target, form, qpus, uniform or [], in_ or [], buffer or [])
            program = options.load()
            table = sensitivity_table(constants, lambda varied: program_time_s(varied, program))
        print_table(table)


def _device(name: str, v3d_hz: float | None) -> DeviceProfile:
    from microbench.profile import load_profile

    profile = load_profile(name)
    return profile.with_v3d(clock_hz=v3d_hz) if v3d_hz else profile
