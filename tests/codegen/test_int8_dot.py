"""Dot products of AArch64: exact sums beside other kernels and onnx's reference, instructions, and who gets them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from codegen.algorithm import algorithms
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.int8.dot import BLOCKS, most_pixels
from codegen.engines.cpu.int8.dot_products import HELD
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_object
from codegen.errors import ToolchainError
from codegen.expression import RESULT
from codegen.graph import LayerSpec
from codegen.operators.quantized_conv2d import QuantizedConv2d
from codegen.requantization import requantized
from codegen.target import Target
from codegen.tensor import AnyArray, TensorType
from microbench.inner_loops.counts import count_loop
from microbench.inner_loops.disassembly import disassemble
from microbench.inner_loops.loops import busiest_loop
from microbench.profile import known_profiles, load_profile
from tests.codegen.cpu_run import A53, A76
from tests.codegen.test_cpu_spills import widest
from tests.codegen.test_int8_targets import TARGETS, Case, kernels, quantized, results_of

PI_5, _ = TARGETS["dot products"]
EMULATOR = ("qemu-aarch64", "-cpu", "max")
DOT = "cpu_int8_dot"
PROFILE = """
name = "my-board"
title = "a board of one's own"
board = "host"
cpu = "generic+dotprod"
cores = 4
compiler_target = "aarch64-linux-musl"
compiler_flags = ["-O2", "-mcpu=generic+dotprod", "-static"]
"""


@dataclass(frozen=True)
class Layer:
    """Of sums that are written as they are. `op`: onnx's operator of the same sums."""

    op: str
    conv: QuantizedConv2d
    plane: tuple[int, int, int, int]
    outputs: int

    def spec(self, source: str, zero: int) -> LayerSpec:
        op = replace(self.conv, zero=zero, dtype="int32", epilogue=RESULT)
        return quantized(op, TensorType(self.plane, source), self.outputs)

    def by_onnx(self, value: AnyArray, weights: AnyArray, zero: int) -> AnyArray:
        """Sums by the reference implementation."""
        source = value.dtype
        attributes: dict[str, Any] = {"pads": list(self.conv.pads), "strides": list(self.conv.strides)}
        if self.op == "MatMulInteger":
            value, weights, attributes = (
                value.reshape(value.shape[0], -1),
                weights.reshape(len(weights), -1).T,
                {},
            )
        node = helper.make_node(self.op, ["x", "w", "z"], ["y"], **attributes)
        kind = helper.np_dtype_to_tensor_dtype(source)
        inputs = [
            helper.make_tensor_value_info("x", kind, value.shape),
            helper.make_tensor_value_info("w", TensorProto.INT8, weights.shape),
            helper.make_tensor_value_info("z", kind, []),
        ]
        output = helper.make_tensor_value_info("y", TensorProto.INT32, None)
        model = helper.make_model(helper.make_graph([node], "sums", inputs, [output]))
        feeds = {"x": value, "w": weights, "z": np.array(zero, source)}
        (sums,) = ReferenceEvaluator(model).run(None, feeds)
        return np.asarray(sums)


LAYERS = {
    "pointwise": Layer("ConvInteger", QuantizedConv2d((1, 1)), (1, 37, 5, 9), 30),
    "3x3": Layer("ConvInteger", QuantizedConv2d((3, 3), pads=(1, 1, 1, 1)), (2, 9, 7, 13), 14),
    "5x3 of stride 2": Layer(
        "ConvInteger", QuantizedConv2d((5, 3), (2, 2), pads=(2, 1, 0, 1)), (1, 6, 11, 12), 9
    ),
    "fully connected": Layer("MatMulInteger", QuantizedConv2d((1, 1)), (3, 515, 1, 1), 70),
}


@pytest.mark.parametrize(("source", "zero"), [("uint8", 77), ("uint8", 128), ("int8", -9), ("int8", 0)])
def test_sums_are_those_of_onnx_and_of_other_kernels(source: str, zero: int) -> None:
    if shutil.which(EMULATOR[0]) is None:
        pytest.skip(f"needs {EMULATOR[0]}")
    random, limits, found = np.random.default_rng(zero & 255), np.iinfo(source), list[Case]()
    for layer in LAYERS.values():
        spec = layer.spec(source, zero)
        inputs = random.integers(limits.min, limits.max, layer.plane, dtype=source, endpoint=True)
        kernel = random.integers(-128, 127, spec.weights[0].shape, dtype=np.int8, endpoint=True)
        inputs[:, : layer.plane[1] // 2], kernel[0] = limits.max, -128  # the largest sums that there are
        expected = layer.by_onnx(inputs, kernel, zero).reshape(spec.output.shape)
        weights: list[AnyArray] = [
            kernel,
            np.zeros(layer.outputs, np.int32),
            np.ones(layer.outputs, np.float32),
        ]
        found += kernels(spec, PI_5, [inputs], weights, expected, len(found))
    names = [case.algorithm for case in found]
    assert names.count(DOT) == 2 * len(LAYERS) and len(set(names)) > 2
    for case, result in zip(found, results_of(found, PI_5, EMULATOR), strict=True):
        assert np.array_equal(result, case.expected), (case.algorithm, case.spec.describe())


def spec_of(windows: QuantizedConv2d, plane: tuple[int, ...], outputs: int) -> LayerSpec:
    op = replace(windows, zero=5, epilogue=requantized(RESULT, 3, "uint8"), dtype="uint8")
    return quantized(op, TensorType(plane, "uint8"), outputs)


BUSY = {
    "pointwise": spec_of(QuantizedConv2d((1, 1)), (1, 120, 28, 28), 96),
    "3x3": spec_of(QuantizedConv2d((3, 3), pads=(1, 1, 1, 1)), (1, 24, 28, 28), 96),
    "first": spec_of(QuantizedConv2d((3, 3), (2, 2), (1, 1, 1, 1)), (1, 3, 64, 64), 96),
    "fully connected": spec_of(QuantizedConv2d((1, 1)), (1, 512, 1, 1), 1000),
}


@pytest.mark.needs("llvm")
@pytest.mark.parametrize("layer", BUSY)
def test_innermost_loops_are_of_sdot_and_spill_nothing(layer: str) -> None:
    algorithm, spec = algorithms()[DOT], BUSY[layer]
    target = replace(PI_5, compiler=("aarch64-linux-musl", "-O3", "-mcpu=cortex_a76", "-static"))
    assert isinstance(algorithm, CpuAlgorithm)
    weights: list[AnyArray] = [np.ones(type_.shape, np.dtype(type_.dtype)) for type_ in spec.weights]
    choices = list(widest(algorithm, spec, target))
    assert len(choices) == len(BLOCKS)
    for choice in choices:
        program = algorithm.emit(spec, target, choice, weights, "kernel")
        loop = busiest_loop(disassemble(compile_object({"kernel.c": program.source}, target, KERNEL_FLAGS)))
        assert loop is not None and count_loop(loop).stack_accesses == 0, choice
        products = sum(instruction.mnemonic == "sdot" for instruction in loop.body)
        assert products >= choice.tiles["pixels"] * choice.tiles["blocks"], choice


@pytest.mark.parametrize("blocks", BLOCKS)
def test_sums_weights_inputs_and_the_sign_fit_the_registers(blocks: int) -> None:
    sizes = [pixels * blocks + -(-pixels // HELD) + blocks + 1 for pixels in (most_pixels(blocks), 40)]
    assert sizes[0] <= 32 < sizes[1]


def applies(target: Target) -> bool:
    return algorithms()[DOT].applies(BUSY["3x3"], target)


def test_only_cores_that_have_them_get_the_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert applies(A76)
    assert not applies(A53)
    assert not applies(replace(A76, compiler=("arm-linux-musleabihf", "-O2")))
    monkeypatch.setattr("codegen.engines.cpu.machine._native_lanes", lambda: HELD)
    for sets, there in (({"asimd", "asimddp"}, True), ({"asimd"}, False)):
        monkeypatch.setattr("codegen.engines.cpu.machine.instruction_sets", lambda sets=sets: frozenset(sets))
        assert applies(Target("host", 0, "native", ("",), 4)) is there
    monkeypatch.undo()
    for name in known_profiles():
        assert not applies(load_profile(name).target()) or name == "host", name
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE, encoding="utf-8")
    assert applies(load_profile(str(path)).target())
    path.write_text(PROFILE.replace("+dotprod", ""), encoding="utf-8")
    assert not applies(load_profile(str(path)).target())


def test_flags_without_them_are_refused_by_what_to_give() -> None:
    algorithm, spec = algorithms()[DOT], BUSY["fully connected"]
    assert isinstance(algorithm, CpuAlgorithm)
    weights: list[AnyArray] = [np.ones(type_.shape, np.dtype(type_.dtype)) for type_ in spec.weights]
    choice = next(widest(algorithm, spec, A76))
    program = algorithm.emit(spec, A76, choice, weights, "kernel")
    with pytest.raises(ToolchainError, match=r"armv8\.2-a\+dotprod"):
        compile_object({"kernel.c": program.source}, A76, KERNEL_FLAGS)
