"""README.md of a bundle: what it takes and gives, how it is built and run, for who has nothing but this directory."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.bundle.build_files import VIRTUAL, Build
from codegen.bundle.manifest import CpuPlanEntry
from codegen.bundle.model import Model
from codegen.bundle.names import c_comment
from codegen.engines.cpu.source import fill
from codegen.plan import PlanTensor

README_NAME = "README.md"


def readme_text(model: Model, build: Build, cpu_plan: CpuPlanEntry | None = None) -> str:
    """The whole file; names of the network stand in it as text only. `cpu_plan`: that of a bundle with two plans."""
    parts = [_interface(model), _building(build)]
    if cpu_plan is not None:
        parts.append(_two_plans(cpu_plan))
    elif model.image is not None:
        parts.append(fill(_ONE_PLAN))
    if "classify" in build.programs:
        parts.append(fill(_CLASSIFY))
    if build.is_virtual:
        lines = "\n".join(f"    {build.virtual_line(program, 'cc')}" for program in build.programs)
        runs = {"bench": "--runs 1 --warmup 0", "stream": "--frames 2", "classify": "cat.ppm"}
        shown = "".join(f"    ./{program}-{VIRTUAL} {runs[program]}\n" for program in build.programs)
        parts.append(fill(_VIRTUAL, lines=lines, shown=shown, directory=VIRTUAL))
    parts.append(
        fill(
            _C_AND_PYTHON,
            header_name=model.identifier,
            models=", ".join(f"`{name}`" for name in build.models),
        )
    )
    parts.append(fill(_CHECKED, program=" and `model.qpu`" if model.image else ""))
    return "\n".join(parts)


def _interface(model: Model) -> str:
    plan = model.plan
    image = model.image
    launches = "launch" if len(model.launches) == 1 else "launches"
    gpu = (
        f" {len(model.launches)} {launches} of the QPUs, {image.size_bytes:,} bytes of GPU memory."
        if image
        else ""
    )
    return fill(
        """
        # $name

        A network as C, compiled for `$device`: $steps steps.$gpu

        | | name | shape | type | bytes |
        |---|---|---|---|---|
        $rows

        Arrays are row-major and little-endian; several inputs or outputs stand in a file one behind the other, in this
        order. `model_info.h` gives names, shapes and types to C programs, `manifest.json` to all others.
        """,
        name=c_comment(plan.model_name),
        device=c_comment(plan.device),
        steps=len(plan.steps),
        gpu=gpu,
        rows="\n".join([*_rows("input", plan.inputs), *_rows("output", plan.outputs)]),
    )


def _rows(kind: str, tensors: Sequence[PlanTensor]) -> list[str]:
    rows = []
    for tensor in tensors:
        shape = " x ".join(map(str, tensor.shape)) or "scalar"
        rows.append(
            f"| {kind} | `{c_comment(tensor.name)}` | {shape} | {tensor.dtype} | {tensor.type.size_bytes:,} |"
        )
    return rows


def _building(build: Build) -> str:
    return fill(
        """
        ## Build and run

        `make`, or `./build.sh` where there is no make, or$cmake one line for each program:

        $lines
        $elsewhere$privilege
            ./bench                                        # how long it takes, on trial values
            ./bench --input input.bin --output output.bin  # on yours
            ./stream --fps 30                              # as a camera gives frames: latency, dropped frames
        """,
        cmake=" `cmake -S . -B build && cmake --build build`, or" if build.is_native else "",
        lines="\n".join(f"    {build.line(program)}" for program in build.programs),
        elsewhere="" if build.is_native else _ON_THE_BOARD,
        privilege=_MAILBOX if build.platform == "mailbox" else "",
    )


_ON_THE_BOARD = """
On the board itself: `make CC=cc CFLAGS="-O3 -mcpu=native"`, or `cmake -S . -B build -DCMAKE_C_FLAGS=-mcpu=native &&
cmake --build build`, or these lines with that compiler and those flags.
"""

_MAILBOX = """
The GPU is reached through the firmware, `/dev/vcio` and `/dev/mem`: run the programs as root, on a 32-bit system
without the vc4-kms-v3d overlay.
"""

_ONE_PLAN = """
    Where the GPU is not to be had, the programs end with why and what to do; `explore run --with-cpu-plan` makes a
    bundle that uses the CPU there.
"""


def _two_plans(entry: CpuPlanEntry) -> str:
    return fill(
        _TWO_PLANS,
        steps=len(entry.steps),
        source=f"{entry.source_bytes:,}",
        weights=f"{entry.weights_bytes:,}",
        arena=f"{entry.arena_bytes:,}",
    )


_TWO_PLANS = """
    ## Where the GPU is not to be had

    This bundle has a second plan, for the CPU alone ($steps steps): $source bytes of C (`cpu_plan.c`) and $weights
    bytes of weights (`cpu_weights.bin`) more; it is loaded only where it runs, and takes $arena bytes for activations
    then. It runs where the GPU's interface is missing or refused, or its memory too small, never after a launch that
    failed; and it says so: `model_without_gpu` of `model.h`, `"without_gpu"` of `bench --json`, and a warning of
    `bench` and `classify`. Without the GPU on purpose: `make PLATFORM=none`.
"""

_CLASSIFY = """
    ## A picture of your own

        djpeg -pnm cat.jpg > cat.ppm    # Debian: libjpeg-turbo-progs; or: convert cat.jpg cat.ppm (ImageMagick)
        ./classify cat.ppm
        ./classify --labels labels.txt --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --top 5 cat.ppm
        ./classify input.bin            # the input as it is, such as numpy's array.tofile("input.bin") writes it
        python3 classify.py cat.ppm     # the same with NumPy, by way of bench; takes array.npy too

    The shorter side is scaled to the input's and the middle is cut out. Which `--mean` and `--std` are right depends on
    how the network was trained, which this bundle does not know; without them bytes become numbers from 0 to 1. An
    input of bytes takes them as they are. Labels are lines of a file that belongs to the network. `classify --help`
    tells the rest.
"""

_VIRTUAL = """
    ## Without the board

    `make on-this-machine`, or

    $lines

    or `cmake -S . -B build -DPLATFORM=virtual && cmake --build build` builds the programs with a simulator of the
    VideoCore IV (`$directory/`) in the GPU's stead, for this machine, where they are run so:

    $shown
    What they give is computed by the same instructions of the QPUs; times of launches are simulated, those of steps
    on the CPU are this machine's.
"""

_C_AND_PYTHON = """
    ## In a program of your own

    `model.h` has the functions: `${header_name}_open` loads this directory, `${header_name}_run` makes an inference,
    `${header_name}_free` ends. $models: the C library is all that they need, and `platform_*.c` where they use the GPU.

    For a video, `${header_name}_submit`, `${header_name}_wait` and `${header_name}_poll` put frames into a queue
    (`frame_queue.h`), whose thread runs them while the next one is prepared; several networks may share a queue, with
    priorities and deadlines. That takes `frame_queue.c` and `-pthread` more.
"""

_CHECKED = """
    ## Damage

    `sha256sum -c SHA256SUMS` checks every file. The programs check size, plan and CRC-32 of `weights.bin`$program
    when they load them. That finds damage on the way here; it is no signature, and does not tell who made the files.
"""
