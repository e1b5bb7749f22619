"""How fast the simulator is on this machine: `python -m microbench.virtual.speed [RUNS]`.

Real kernels on all 12 QPUs with full timing, strict. Processor time is measured, which other programs' load disturbs
less than the clock; the first column is the best of the runs, and the claim to keep is 25 million instructions/s.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from codegen.algorithm import algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.link import link_single
from codegen.errors import ScheduleError
from codegen.expression import RESULT, clamp
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import GpuProgram
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType
from microbench.profile import DeviceProfile, load_profile
from microbench.virtual.gpu import VirtualV3D

_RELU6 = clamp(RESULT, 0.0, 6.0)


def _convolution(inputs: int, outputs: int, size: int, op: Conv2d) -> LayerSpec:
    out = (size + op.pads[0] + op.pads[2] - op.kernel[0]) // op.strides[0] + 1
    weights = (TensorType((outputs, inputs // op.groups, *op.kernel)), TensorType((outputs,)))
    return LayerSpec(
        op, (TensorType((1, inputs, size, size)),), (TensorType((1, outputs, out, out)),), weights
    )


# Layers of MobileNet v1 with one algorithm each: what most simulated time goes into.
KERNELS: tuple[tuple[str, str, LayerSpec], ...] = (
    ("pointwise 256x256, 14x14", "qpu_pointwise_relayed",
     _convolution(256, 256, 14, Conv2d((1, 1), epilogue=_RELU6))),
    ("pointwise 64x128, 56x56", "qpu_pointwise_blocked",
     _convolution(64, 128, 56, Conv2d((1, 1), epilogue=_RELU6))),
    ("3x3 3x32, 224x224", "qpu_implicit_gemm",
     _convolution(3, 32, 224, Conv2d((3, 3), (2, 2), (0, 0, 1, 1), epilogue=_RELU6))),
    ("depthwise 256, 28x28", "qpu_depthwise",
     _convolution(256, 256, 28, Conv2d((3, 3), (1, 1), (1, 1, 1, 1), groups=256, epilogue=_RELU6))),
)  # fmt: skip


@dataclass(frozen=True)
class Speed:
    """Simulated instructions of one run, and each run's processor seconds."""

    kernel: str
    instructions: float
    seconds: tuple[float, ...]

    @property
    def rates(self) -> tuple[float, ...]:
        """Instructions a second of every run."""
        return tuple(self.instructions / s for s in self.seconds)


def first_choice(algorithm: QpuAlgorithm, spec: LayerSpec, target: Target) -> Choice:
    """The first point of the space that makes a kernel; raises ScheduleError where none does."""
    for point in algorithm.space(spec, target).points():
        try:
            return algorithm.choice(spec, target, point)
        except ScheduleError:
            continue
    raise ScheduleError(f"{algorithm.name}: no point of its space fits the layer")


def program_of(name: str, spec: LayerSpec, target: Target) -> tuple[GpuProgram, list[FloatArray]]:
    """A layer's linked program and the images of its random inputs."""
    algorithm = algorithm_named(name)
    if not isinstance(algorithm, QpuAlgorithm):
        raise ScheduleError(f"{name} is no algorithm of the QPUs")
    random = np.random.default_rng(0)
    choice = first_choice(algorithm, spec, target)
    weights = [random.standard_normal(t.shape, dtype=np.float32) for t in spec.weights]
    layouts = [layout_named(layout) for layout in choice.input_layouts]
    sizes = [layout.size_bytes(tensor) for layout, tensor in zip(layouts, spec.inputs, strict=True)]
    layer = algorithm.lower(spec, target, choice, weights)
    program = link_single(
        layer, sizes, [layout_named(choice.output_layout).size_bytes(spec.output)], target.qpus
    )
    inputs = [random.standard_normal(t.shape, dtype=np.float32) for t in spec.inputs]
    return program, [layout.pack(value) for layout, value in zip(layouts, inputs, strict=True)]


def kernel_speed(profile: DeviceProfile, name: str, algorithm: str, spec: LayerSpec, runs: int) -> Speed:
    """Runs one kernel several times on one virtual GPU."""
    program, images = program_of(algorithm, spec, profile.target())
    with VirtualV3D(profile) as gpu:
        memory = gpu.alloc(program.size_bytes)
        words = memory.view[: program.words.nbytes].view(np.uint32)
        words[:] = program.words
        words[program.relocations] += np.uint32(memory.bus)
        for region, image in zip(program.inputs, images, strict=True):
            memory.view[region.offset_bytes : region.offset_bytes + image.nbytes] = image.view(np.uint8)
        seconds, instructions = [], 0.0
        for _ in range(runs):
            started, instructions = time.process_time(), 0.0
            for launch in program.launches:
                execution = gpu.execute(launch.num_qpus, memory.bus + launch.control_offset_bytes)
                instructions += execution.counters["instructions"]
            seconds.append(time.process_time() - started)
    return Speed(f"{name} ({algorithm})", instructions, tuple(seconds))


def speeds(profile: DeviceProfile, runs: int) -> Iterator[Speed]:
    """Every kernel's speed, in turn."""
    for name, algorithm, spec in KERNELS:
        yield kernel_speed(profile, name, algorithm, spec, runs)


def main() -> None:
    """Prints the table; errors propagate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="?", type=int, default=9)
    parser.add_argument("--device", default="pi-zero")
    arguments = parser.parse_args()
    headings = ("kernel", "instructions", "best", "median", "worst")
    table = Table(*headings, title="million simulated instructions a processor second")
    for speed in speeds(load_profile(arguments.device), arguments.runs):
        rates = sorted(rate / 1e6 for rate in speed.rates)
        ordered = (rates[-1], statistics.median(rates), rates[0])
        table.add_row(speed.kernel, f"{speed.instructions / 1e6:.2f} M", *(f"{rate:.1f}" for rate in ordered))
    Console().print(table)


if __name__ == "__main__":
    main()
