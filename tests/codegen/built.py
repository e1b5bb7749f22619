"""Candidates of any engine, built and ready to be run between guards."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from codegen.algorithm import Algorithm, algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.toolchain import compile_shared
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.layer import QpuLayer
from codegen.engines.videocore4.link import link_single
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES, CpuProgram, GpuProgram
from codegen.schedule import Choice, Work
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType
from tests.codegen.cpu_run import HOST, NEON, ON_AARCH64, SCALAR, call
from tests.codegen.gpu_run import TARGET as PI_ZERO
from tests.codegen.gpu_run import execute, random_tensors

POINTS = 3  # of an algorithm, for each layer and target


@dataclass(frozen=True)
class Case:
    """A candidate for a board, and the values of its layer."""

    layer: str
    spec: LayerSpec
    target: Target
    choice: Choice
    inputs: Sequence[FloatArray]
    weights: Sequence[FloatArray]

    @property
    def work(self) -> Work:
        return algorithm_named(self.choice.algorithm).work(self.spec, self.target, self.choice)

    @property
    def images(self) -> list[FloatArray]:
        """The inputs as they lie in memory."""
        layouts = map(layout_named, self.choice.input_layouts)
        return [layout.pack(value) for layout, value in zip(layouts, self.inputs, strict=True)]

    def __str__(self) -> str:
        point = dict(self.choice.split + self.choice.tile)
        return f"{self.layer} by {self.choice.algorithm} at {point} for {self.target.name}"


@dataclass(frozen=True)
class Built:
    """Sizes as emitted: elements of inputs and outputs, bytes of constants and workspace. `run` takes flat images of
    the inputs and the poison around all buffers, and gives flat images of the outputs; `stored_bytes` tells how much
    it stores at most.
    """

    case: Case
    input_sizes: tuple[int, ...]
    output_sizes: tuple[int, ...]
    weights_bytes: int
    workspace_bytes: int
    run: Callable[[list[FloatArray], np.float32], list[FloatArray]]
    stored_bytes: Callable[[], float]


def targets_of(algorithm: Algorithm) -> tuple[Target, ...]:
    """Boards whose candidates run here: their C is compiled for this machine, their GPU simulated."""
    if algorithm.name in ON_AARCH64:
        return (ON_AARCH64[algorithm.name],)
    return (PI_ZERO,) if isinstance(algorithm, QpuAlgorithm) else (SCALAR, NEON)


def choices(algorithm: Algorithm, spec: LayerSpec, target: Target, count: int) -> list[Choice]:
    """About so many choices spread evenly over the space."""
    found = []
    for point in algorithm.space(spec, target).points():
        with suppress(ScheduleError):
            found.append(algorithm.choice(spec, target, point))
    assert found, f"{algorithm.name} applies to {spec.describe()} but offers nothing"
    return found[:: max(1, len(found) // count)]


def cases(algorithm: Algorithm, layers: dict[str, LayerSpec]) -> Iterator[Case]:
    """Candidates for the layers that an algorithm takes."""
    for name, spec in layers.items():
        for target in targets_of(algorithm):
            if algorithm.applies(spec, target):
                inputs, weights = random_tensors(spec, seed=len(name))
                for choice in choices(algorithm, spec, target, POINTS):
                    yield Case(name, spec, target, choice, inputs, weights)


def built(algorithm: Algorithm, found: Sequence[Case]) -> list[Built]:
    """All candidates of one algorithm, those in C in one library."""
    if isinstance(algorithm, QpuAlgorithm):
        return [_linked(algorithm, case) for case in found]
    assert isinstance(algorithm, CpuAlgorithm)
    programs = [
        algorithm.emit(case.spec, case.target, case.choice, case.weights, f"kernel_{i}")
        for i, case in enumerate(found)
    ]
    sources = {f"kernel_{i}.c": program.source for i, program in enumerate(programs)}
    library = ctypes.CDLL(str(compile_shared(sources, HOST, ("-Wall", "-Wextra", "-Werror"))))
    return [_compiled(library, program, case) for program, case in zip(programs, found, strict=True)]


def _compiled(library: ctypes.CDLL, program: CpuProgram, case: Case) -> Built:
    return Built(
        case,
        program.input_sizes,
        program.output_sizes,
        program.weights.nbytes,
        program.workspace_bytes,
        partial(call, library, program, dtypes=[tensor.dtype for tensor in case.spec.outputs]),
        lambda: bytes_of(program.output_sizes, case.spec.outputs),
    )


def bytes_of(sizes: Sequence[int], tensors: Sequence[TensorType]) -> int:
    """Bytes of buffers of so many elements of the tensors' types."""
    return sum(size * tensor.element_type.size_bytes for size, tensor in zip(sizes, tensors, strict=True))


def _linked(algorithm: QpuAlgorithm, case: Case) -> Built:
    layer = algorithm.lower(case.spec, case.target, case.choice, case.weights)
    sizes = [
        [layout_named(name).size_bytes(type_) for name, type_ in zip(layouts, types, strict=True)]
        for layouts, types in (
            (case.choice.input_layouts, case.spec.inputs),
            (case.choice.output_layouts, case.spec.outputs),
        )
    ]
    program = link_single(layer, sizes[0], sizes[1], case.target.qpus)
    inputs, outputs = (
        tuple(region.size_bytes // WORD_BYTES for region in regions)
        for regions in (program.inputs, program.outputs)
    )
    return Built(
        case,
        inputs,
        outputs,
        _weights_bytes(layer),
        0,
        partial(_simulated, program),
        partial(_stored_bytes, program, case.images),
    )


def _simulated(program: GpuProgram, images: list[FloatArray], poison: np.float32) -> list[FloatArray]:
    results, runs = execute(program, images, poison=poison)
    assert all(run.stale_reads == 0 for run in runs)
    return results


def _stored_bytes(program: GpuProgram, images: list[FloatArray]) -> float:
    _, runs = execute(program, images)
    return sum(run.counters["dma_store_bytes"] for run in runs)


def _weights_bytes(layer: QpuLayer) -> int:
    """Of all phases."""
    return int(layer.weights.nbytes) + (_weights_bytes(layer.then) if layer.then is not None else 0)
