"""Runs a lowered layer on the virtual GPU and compares it with the float64 reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.algorithm import algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.link import GUARD_BYTES, link_single
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES, GpuProgram
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType
from codegen.trial_zeros import with_zeros
from microbench.profile import DeviceProfile, load_profile
from microbench.virtual import Execution, VirtualV3D
from tests.codegen.cpu_run import NAN

TARGET: Target = load_profile("pi-zero").target()


def random_tensors(spec: LayerSpec, seed: int) -> tuple[list[FloatArray], list[FloatArray]]:
    """Seeded inputs and weights; weights are scaled so that results stay near 1. Whole numbers are from 0 to 2."""
    rng = np.random.default_rng(seed)

    def values(tensor: TensorType) -> np.ndarray:
        if tensor.dtype == "float32":
            return rng.standard_normal(tensor.shape, dtype=np.float32)
        return rng.integers(0, 3, tensor.shape).astype(tensor.dtype)

    inputs, weights = list(map(values, spec.inputs)), list(map(values, spec.weights))
    if weights and weights[0].dtype == np.float32:
        weights[0] /= np.float32(np.sqrt(np.prod(weights[0].shape[1:])))
    return inputs, list(with_zeros(spec, weights, rng))


def execute(
    program: GpuProgram,
    images: Sequence[FloatArray],
    profile: DeviceProfile | None = None,
    poison: np.float32 = NAN,
) -> tuple[list[FloatArray], list[Execution]]:
    """Loads a program, writes its inputs, runs its launches and reads its outputs. All memory but the program's words
    and inputs holds the poison; fails when anything but the outputs, and layers' own scratch, is written.
    """
    with VirtualV3D(profile or load_profile("pi-zero")) as gpu:
        memory = gpu.alloc(program.size_bytes)
        words = memory.view.view(np.uint32)
        words[:] = np.frombuffer(poison.tobytes(), np.uint32)
        words[: len(program.words)] = program.words
        weights = program.weights_offset_bytes // WORD_BYTES
        words[weights - GUARD_BYTES // WORD_BYTES : weights] = words[len(program.words)]
        words[program.relocations] += np.uint32(memory.bus)
        for region, image in zip(program.inputs, images, strict=True):
            memory.view[region.offset_bytes : region.offset_bytes + image.nbytes] = image.view(np.uint8)
        before = memory.view.copy()
        runs = [
            gpu.execute(launch.num_qpus, memory.bus + launch.control_offset_bytes)
            for launch in program.launches
        ]
        after = memory.view.copy()
    results = []
    for out in program.outputs:
        inside = slice(out.offset_bytes, out.offset_bytes + out.size_bytes)
        results.append(after[inside].view(np.float32).copy())
        before[inside] = after[inside]
    for own in program.scratch:
        inside = slice(own.offset_bytes, own.offset_bytes + own.size_bytes)
        before[inside] = after[inside]
    changed = np.flatnonzero(before != after)
    assert not changed.size, f"written outside the outputs, at bytes {changed[:8]}"
    return results, runs


def run_layer(
    spec: LayerSpec, choice: Choice, inputs: Sequence[FloatArray], weights: Sequence[FloatArray]
) -> list[FloatArray]:
    """The outputs that a candidate computes; fails on stale reads."""
    algorithm = algorithm_named(choice.algorithm)
    assert isinstance(algorithm, QpuAlgorithm)
    layer = algorithm.lower(spec, TARGET, choice, weights)
    layouts = [layout_named(name) for name in choice.input_layouts]
    layouts_out = [layout_named(name) for name in choice.output_layouts]
    program = link_single(
        layer,
        [layout.size_bytes(tensor) for layout, tensor in zip(layouts, spec.inputs, strict=True)],
        [layout.size_bytes(tensor) for layout, tensor in zip(layouts_out, spec.outputs, strict=True)],
        TARGET.qpus,
    )
    memories, runs = execute(
        program, [layout.pack(value) for layout, value in zip(layouts, inputs, strict=True)]
    )
    assert all(run.stale_reads == 0 for run in runs)
    outputs = zip(layouts_out, memories, spec.outputs, strict=True)
    return [layout.unpack(memory, tensor) for layout, memory, tensor in outputs]


def relative_error(spec: LayerSpec, choice: Choice, seed: int = 0) -> float:
    """Largest error of a candidate over the largest reference value; also fails on stale reads."""
    inputs, weights = random_tensors(spec, seed)
    pairs = zip(run_layer(spec, choice, inputs, weights), evaluate_layer(spec, inputs, weights), strict=True)
    return max(float(np.abs(actual - wanted).max() / np.abs(wanted).max()) for actual, wanted in pairs)
