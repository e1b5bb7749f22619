"""Innermost loops of vector kernels for AArch64 keep their sums in registers: no load or store of the stack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.machine import TileRegisters
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_object
from codegen.errors import ScheduleError
from codegen.expression import RELU
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import TensorType
from microbench.inner_loops.counts import count_loop
from microbench.inner_loops.disassembly import disassemble
from microbench.inner_loops.loops import busiest_loop
from microbench.profile import load_profile
from tests.codegen.kernel_file import kernel_file
from tests.codegen.layers import layer_spec

TARGET = load_profile("pi-3-64").target()


def convolution(
    taps: int, channels: int, outputs: int, size: int, stride: int = 1, groups: int = 1
) -> LayerSpec:
    pad = taps // 2
    after = (size + 2 * pad - taps) // stride + 1
    return layer_spec(
        Conv2d((taps, taps), (stride, stride), (pad,) * 4, groups=groups, epilogue=RELU),
        (TensorType((1, channels, size, size)),),
        TensorType((1, outputs, after, after)),
        (TensorType((outputs, channels // groups, taps, taps)), TensorType((outputs,))),
    )


LAYERS = {
    "cpu_blocked_conv": {
        "pointwise": convolution(1, 120, 120, 28),
        "3x3": convolution(3, 24, 48, 57),
        "first": convolution(3, 3, 32, 224, 2),
    },
    "cpu_blocked_winograd": {"3x3": convolution(3, 64, 48, 57)},
    "cpu_blocked_depthwise": {
        "3x3": convolution(3, 64, 64, 56, 1, 64),
        "3x3 of stride 2": convolution(3, 64, 64, 56, 2, 64),
        "5x5": convolution(5, 64, 64, 56, 1, 64),
    },
}


def widest(algorithm: CpuAlgorithm, spec: LayerSpec, target: Target = TARGET) -> Iterator[Choice]:
    """Of one thread, the widest tile for each number of blocks or rows."""
    found: dict[tuple[int | str, ...], Choice] = {}
    for point in algorithm.space(spec, target).points():
        with suppress(ScheduleError):
            if point["threads"] == 1:
                found[point.get("blocks", 0), point.get("rows", 0)] = algorithm.choice(spec, target, point)
    yield from found.values()


@pytest.mark.needs("llvm")
@pytest.mark.parametrize(
    ("name", "layer"), [(name, layer) for name, layers in LAYERS.items() for layer in layers]
)
def test_no_tile_spills_in_its_innermost_loop(name: str, layer: str) -> None:
    algorithm, spec = algorithms()[name], LAYERS[name][layer]
    assert isinstance(algorithm, CpuAlgorithm)
    weights = [np.ones(type_.shape, np.float32) for type_ in spec.weights]
    choices = list(widest(algorithm, spec))
    assert choices
    for choice in choices:
        program = algorithm.emit(spec, TARGET, choice, weights, "kernel")
        assert isinstance(program, CpuProgram)
        code = compile_object({"kernel.c": kernel_file(program.entry, program.source)}, TARGET, KERNEL_FLAGS)
        loop = busiest_loop(disassemble(code))
        assert loop is not None and loop.macs > 0
        assert count_loop(loop).stack_accesses == 0, choice


@pytest.mark.needs("llvm")
@pytest.mark.parametrize(
    ("name", "layer"), [("cpu_blocked_conv", "pointwise"), ("cpu_blocked_winograd", "3x3")]
)
def test_a_core_that_issues_out_of_order_gets_the_compilers_schedule(name: str, layer: str) -> None:
    target, algorithm, spec = load_profile("pi-4").target(), algorithms()[name], LAYERS[name][layer]
    assert isinstance(algorithm, CpuAlgorithm)
    weights = [np.ones(type_.shape, np.float32) for type_ in spec.weights]
    for choice in widest(algorithm, spec, target):
        program = algorithm.emit(spec, target, choice, weights, "kernel")
        assert isinstance(program, CpuProgram) and "fmla" not in program.source
        code = compile_object({"kernel.c": kernel_file(program.entry, program.source)}, target, KERNEL_FLAGS)
        loop = busiest_loop(disassemble(code))
        assert loop is not None and count_loop(loop).stack_accesses == 0, choice
    scheduled = algorithm.emit(spec, TARGET, next(widest(algorithm, spec)), weights, "kernel")
    assert isinstance(scheduled, CpuProgram) and "fmla" in scheduled.source


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_sums_weights_and_inputs_of_a_tile_fit_the_registers(blocks: int) -> None:
    by_element = TileRegisters(32, by_element=True)
    pixels = by_element.pixels(blocks)
    assert pixels * blocks + pixels + blocks + 2 <= 32
    assert pixels < TileRegisters(32, by_element=False).pixels(blocks)
    assert by_element.streamed_pixels(blocks) * blocks + blocks + 1 <= 28


def test_fewer_registers_than_blocks_hold_no_tile() -> None:
    assert TileRegisters(4, by_element=True).pixels(4) == 0
    assert TileRegisters(4, by_element=False).pixels(4) == 0
