"""The commands `explore qpu run` and `explore qpu sensitivity`. Imports of heavy packages stay inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.terminal.exits import reported
from explorer.terminal.json_output import json_option

if TYPE_CHECKING:
    from microbench.profile import DeviceProfile

ProgramArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="raw little-endian words, a listing (0x009e7000, 0x100009e7, …), or a job file *.toml "
        "(docs/qpu-programs.md)",
    ),
]
FormOption = Annotated[
    str | None,
    typer.Option(
        "--form",
        help="how the file is read: auto (the default), raw, words32, words32-high-first, words64",
        metavar="FORM",
    ),
]
TargetArgument = Annotated[
    Path,
    typer.Argument(help="a program as in `explore qpu run`, or a bundle's directory", metavar="FILE|BUNDLE"),
]
QpusOption = Annotated[
    int | None, typer.Option(help="how many QPUs run the program, 1 by default", min=1, metavar="N")
]
UniformOption = Annotated[
    list[str] | None,
    typer.Option(
        "--uniform", "-u",
        help="next word of the uniforms: a number (5, 0x10, 1.5), a buffer's address (NAME, NAME+64, "
        "NAME+256*qpu), that of the QPU's own uniforms (uniforms), the QPU's number (qpu), how many there are (qpus), "
        "or the words of a file (@FILE); may be repeated", metavar="WORD",
    ),
]  # fmt: skip
InOption = Annotated[
    list[str] | None,
    typer.Option(
        "--in", help="NAME=FILE: a buffer with a file's bytes; may be repeated", metavar="NAME=FILE"
    ),
]
BufferOption = Annotated[
    list[str] | None,
    typer.Option("--buffer", help="NAME=BYTES: a buffer of zeros; may be repeated", metavar="NAME=BYTES"),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="device profile: a name, or a file *.toml; pi-zero by default", metavar="DEVICE"),
]
GpuMemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="cached|direct",
        help="how memory is allocated: cached, in the L2 that the system of a Pi 1 or Zero has, or direct, past it",
    ),
]
ClockOption = Annotated[
    float | None, typer.Option(help="clock of the GPU, in Hz", min=1e6, max=5e9, metavar="HZ")
]


def run(
    program: ProgramArgument,
    form: FormOption = None,
    qpus: QpusOption = None,
    uniform: UniformOption = None,
    in_: InOption = None,
    buffer: BufferOption = None,
    launches: Annotated[
        int | None,
        typer.Option(
            help="launches in a row on the same buffers, caches cleared before each", min=1, metavar="N"
        ),
    ] = None,
    out: Annotated[
        list[str] | None,
        typer.Option(
            "--out", help="NAME=FILE: write a buffer afterwards; may be repeated", metavar="NAME=FILE"
        ),
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect",
            help="NAME=FILE:TOLERANCE: compare a buffer afterwards with a file of float32, or of another type with "
            ":TYPE behind, and exit 1 where a number is further off; may be repeated",
            metavar="NAME=FILE:TOLERANCE",
        ),
    ] = None,
    device: DeviceOption = None,
    v3d_hz: ClockOption = None,
    gpu_memory: GpuMemoryOption = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="limit of a launch in simulated seconds, 1 by default", min=1e-6, metavar="SECONDS"
        ),
    ] = None,
    lax: Annotated[
        bool, typer.Option("--lax", help="go on where silicon goes on after a broken rule, and count it")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="executions and stalls by instruction")] = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="write a Chrome trace of the last launch, which Perfetto opens, to this file", metavar="FILE"
        ),
    ] = None,
    trace_intervals: Annotated[
        int, typer.Option(help="most intervals in the trace", min=1, metavar="N")
    ] = 200_000,
    as_json: Annotated[
        bool,
        json_option(
            "launches (code, qpus, time_s, overhead_s, counters, notes, and with --profile instructions by code: "
            "index, executions, stall_cycles, text) and comparisons (buffer, error, beyond, text)"
        ),
    ] = False,
) -> None:
    """Run a QPU program, or a job file of several launches, on the virtual GPU, in simulated time."""
    from explorer.qpu.expectations import compare, require
    from explorer.qpu.job import write_outputs
    from explorer.qpu.run_options import ProgramOptions, with_files
    from explorer.qpu.run_tables import print_comparisons, print_run, run_json
    from explorer.terminal.console import say_next, stdout
    from explorer.terminal.json_output import print_json
    from microbench.virtual import VirtualV3D
    from microbench.virtual.program import run_program

    with reported():
        options = ProgramOptions(program, form, qpus, uniform or [], in_ or [], buffer or [], launches)
        job = with_files(options.load(), out or [], expect or [])
        constants = _device(device or job.device, v3d_hz or job.v3d_hz, gpu_memory or job.gpu_memory)
        with VirtualV3D(constants, strict=not (lax or job.lax)) as gpu:
            done = run_program(
                gpu, job.program, timeout or job.timeout_s, profile, trace_intervals if trace else 0
            )
        write_outputs(done, job.outputs)
        last = done.executions[-1].trace
        if trace is not None and last is not None:
            last.write(trace)
        comparisons = [compare(e, done.buffers[e.buffer]) for e in job.expectations]
        if as_json:
            print_json(run_json(job, done, profile, comparisons))
        else:
            print_run(job, done, profile)
            print_comparisons(comparisons)
            say_next(stdout(), _next_of(profile))
        require(comparisons)


def sensitivity(
    target: TargetArgument,
    form: FormOption = None,
    qpus: QpusOption = None,
    uniform: UniformOption = None,
    in_: InOption = None,
    buffer: BufferOption = None,
    device: DeviceOption = None,
    v3d_hz: ClockOption = None,
    gpu_memory: GpuMemoryOption = None,
    as_json: Annotated[
        bool,
        json_option(
            "time_s, factors, constants (constant, source, times_s by factor), variants (variant, source, time_s)"
        ),
    ] = False,
) -> None:
    """Time of a QPU program or a bundle with each assumed or fitted constant of the GPU at 0.75 and 1.5 times it."""
    from codegen.bundle.manifest import MANIFEST_NAME
    from explorer.qpu.job import DEFAULT_DEVICE
    from explorer.qpu.run_options import ProgramOptions
    from explorer.terminal.console import say_next, stdout
    from explorer.terminal.json_output import print_json
    from explorer.terminal.sheet import Sheet
    from microbench.sensitivity import Sensitivities, bundle_time_s
    from microbench.virtual.program import program_time_s

    with reported():
        if (target / MANIFEST_NAME).is_file():
            constants = _device(device or DEFAULT_DEVICE, v3d_hz, gpu_memory)
            found = Sensitivities.of(constants, lambda varied: bundle_time_s(varied, target))
        else:
            job = ProgramOptions(target, form, qpus, uniform or [], in_ or [], buffer or []).load()
            constants = _device(device or job.device, v3d_hz or job.v3d_hz, gpu_memory or job.gpu_memory)
            found = Sensitivities.of(constants, lambda varied: program_time_s(varied, job.program))
        if as_json:
            print_json(found)
        else:
            console, headings = stdout(), found.headings()
            Sheet("", headings, tuple(found.rows()), right=headings[1:-1], spare=headings[-1:]).show(console)
            say_next(console, "explore calibrate --device NAME measures these constants on a board")


def _next_of(profiled: bool) -> str:
    if profiled:
        return "explore qpu sensitivity varies the constants that nobody measured"
    return "explore qpu run with --profile says where the time goes"


def _device(name: str, v3d_hz: float | None, gpu_memory: str | None) -> DeviceProfile:
    from explorer.settings import parse_gpu_memory
    from microbench.profile import load_profile

    profile, chosen = load_profile(name), parse_gpu_memory(gpu_memory)
    if chosen is not None:
        profile = profile.with_gpu_memory(chosen)
    return profile.with_v3d(clock_hz=v3d_hz) if v3d_hz else profile
