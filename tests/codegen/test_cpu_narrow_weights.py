"""Kernels in C that widen weights of two bytes: results are those of the float32 kernel with weights rounded alike."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.algorithm import algorithm_named, algorithms
from codegen.engine_registry import engine_named, layout_named
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.blocked.narrow import NARROW_BYTES, narrow_types
from codegen.engines.cpu.machine import FLOAT_BYTES, instruction_sets
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable, compile_object
from codegen.errors import ScheduleError
from codegen.expression import RELU
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.fully_connected import FullyConnected
from codegen.program import CpuProgram
from codegen.reference import evaluate_layer
from codegen.schedule import Candidate, Choice, values
from codegen.stored_weights import WEIGHTS, StoresNarrow, bfloat16s, nearest_halves, weight_type, widened
from codegen.target import Target, WeightType
from codegen.tensor import FloatArray
from microbench.inner_loops.counts import count_loop
from microbench.inner_loops.disassembly import disassemble
from microbench.inner_loops.loops import busiest_loop
from microbench.profile import load_profile
from tests.codegen.algorithm_layers import LAYERS as ALL_LAYERS
from tests.codegen.kernel_file import kernel_file
from tests.codegen.layers import convolution, inferred_layer
from tests.codegen.test_int8_targets import NEEDED, TARGETS, call_text
from tests.codegen.test_int8_targets import Case as EmbeddedCase

KINDS: tuple[WeightType, ...] = ("float16", "bfloat16")
NEEDED_FOR_HALVES = {"avx2": "f16c", "avx512": "avx512f"}
WITH_MANY_REGISTERS = ("avx512", "pi-3", "pi-5")  # which `cpu_blocked_indirect` is not for
ALGORITHMS = ("cpu_blocked_fully_connected", "cpu_blocked_conv", "cpu_blocked_indirect")
LAYERS: dict[str, LayerSpec] = {
    "fully connected": inferred_layer(FullyConnected(RELU), (2, 37), weights=((75, 37), (75,))),
    "few outputs": inferred_layer(FullyConnected(), (1, 300), weights=((5, 300), (5,))),
    "pointwise": convolution(70, 83, (3, 5), Conv2d((1, 1), epilogue=RELU)),
    "two images": inferred_layer(Conv2d((1, 1)), (2, 64, 3, 4), weights=((68, 64, 1, 1), (68,))),
    "window": convolution(24, 29, (5, 4), Conv2d((3, 3), pads=(1, 1, 1, 1), epilogue=RELU)),
    "strided window": convolution(20, 33, (7, 7), Conv2d((3, 3), strides=(2, 2), pads=(1, 1, 1, 1))),
}


def nearest_bfloat16(values: FloatArray) -> FloatArray:
    """By distances of the two neighbours, in float64."""
    flat = np.ascontiguousarray(values, np.float32)
    bits = flat.view(np.uint32)
    low = (bits & np.uint32(0xFFFF0000)).view(np.float32)
    high = ((bits & np.uint32(0xFFFF0000)) + np.uint32(0x10000)).view(np.float32)
    near, far = np.abs(flat.astype(float) - low), np.abs(high.astype(float) - flat)
    odd = bits >> np.uint32(16) & np.uint32(1) == 1
    return np.where((far < near) | ((far == near) & odd), high, low).astype(np.float32)


def rounded(kind: WeightType, values: FloatArray) -> FloatArray:
    return values.astype(np.float16).astype(np.float32) if kind == "float16" else nearest_bfloat16(values)


@dataclass(frozen=True)
class Pair:
    """A layer by a kernel that widens its weights, and by the float32 kernel with the weights rounded."""

    spec: LayerSpec
    choice: Choice
    narrow: EmbeddedCase
    plain: EmbeddedCase


def narrow_choices(algorithm: CpuAlgorithm, spec: LayerSpec, target: Target) -> list[Choice]:
    found = []
    for point in algorithm.space(spec, target).points():
        with suppress(ScheduleError):
            found.append(algorithm.choice(spec, target, point))
    return [choice for choice in found if weight_type(choice) != "float32"]


def without_weights(choice: Choice) -> Choice:
    return replace(choice, tile=values({axis: x for axis, x in choice.tile if axis != WEIGHTS}))


def pairs(target: Target, kind: WeightType) -> Iterator[Pair]:
    """The first, the middle and the last kernel of each algorithm, for each layer."""
    random, number = np.random.default_rng(3), 0
    target = replace(target, weights=kind, cpu_l1d_bytes=1024)  # so that weights of small layers leave it
    for name in ALGORITHMS:
        algorithm, before = algorithms()[name], number
        assert isinstance(algorithm, CpuAlgorithm)
        for spec in LAYERS.values():
            if not algorithm.applies(spec, target):
                continue
            inputs = [random.standard_normal(t.shape).astype(np.float32) for t in spec.inputs]
            weights = [random.standard_normal(t.shape).astype(np.float32) for t in spec.weights]
            weights[0].reshape(-1)[:4] *= np.float32(2.0**-20)  # half floats that are not normal
            alike = [rounded(kind, weights[0]), *weights[1:]]
            (expected,) = evaluate_layer(spec, inputs, alike)
            found = narrow_choices(algorithm, spec, target)
            for choice in dict.fromkeys((found[0], found[len(found) // 2], found[-1])):
                images = tuple(
                    layout_named(n).pack(v) for n, v in zip(choice.input_layouts, inputs, strict=True)
                )
                programs = (
                    algorithm.emit(spec, target, choice, weights, f"narrow_{number}"),
                    algorithm.emit(spec, target, without_weights(choice), alike, f"plain_{number}"),
                )
                cases = (
                    EmbeddedCase(name, spec, one, images, choice.output_layout, expected) for one in programs
                )
                yield Pair(spec, choice, *cases)
                number += 1
        assert number > before or (name == "cpu_blocked_indirect" and target.name in WITH_MANY_REGISTERS), (
            name
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TARGETS)
def test_results_are_the_float32_kernel_s_with_rounded_weights(name: str, kind: WeightType) -> None:
    target, emulator = TARGETS[name]
    if kind not in narrow_types(target):
        assert (name, kind) == ("armv6", "float16")
        return
    if emulator and shutil.which(emulator) is None:
        pytest.skip(f"needs {emulator}")
    if name in NEEDED and not {NEEDED[name], NEEDED_FOR_HALVES[name]} <= instruction_sets():
        pytest.skip(f"needs {NEEDED[name]} and {NEEDED_FOR_HALVES[name]}")
    found = list(pairs(target, kind))
    cases = [case for pair in found for case in (pair.narrow, pair.plain)]
    calls = [call_text(number, case) for number, case in enumerate(cases)]
    body = " ".join(f"call_{number}();" for number, _ in enumerate(cases))
    main = "\n".join(["#include <stdio.h>", *calls, f"int main(void) {{ {body} return 0; }}\n"])
    sources = {
        f"{case.program.entry}.c": kernel_file(case.program.entry, case.program.source) for case in cases
    }
    executable = compile_executable({**sources, "main.c": main}, target, KERNEL_FLAGS)
    words = [emulator, str(executable)] if emulator else [str(executable)]
    memory = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
    results = []
    for case in cases:
        image, memory = np.frombuffer(memory[: case.output_bytes], np.float32), memory[case.output_bytes :]
        results.append(layout_named(case.layout).unpack(image, case.spec.output))
    for pair, narrow, plain in zip(found, results[::2], results[1::2], strict=True):
        assert np.array_equal(narrow, plain), (pair.spec.describe(), pair.choice)
        expected = pair.narrow.expected
        assert np.abs(narrow - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_weights_take_two_bytes(name: str, kind: WeightType) -> None:
    target = replace(TARGETS["aarch64"][0], weights=kind, cpu_l1d_bytes=1024)
    algorithm = algorithms()[name]
    assert isinstance(algorithm, CpuAlgorithm)
    for spec in LAYERS.values():
        if algorithm.applies(spec, target):
            weights = [np.ones(t.shape, np.float32) for t in spec.weights]
            for choice in narrow_choices(algorithm, spec, target):
                narrow, plain = (
                    algorithm.emit(spec, target, one, weights, "kernel").weights.nbytes
                    for one in (choice, without_weights(choice))
                )
                bias = plain - (plain - narrow) * FLOAT_BYTES // (FLOAT_BYTES - NARROW_BYTES)
                assert 0 < spec.weights[1].size_bytes <= bias < spec.weights[1].size_bytes + 1024
                works = [algorithm.work(spec, target, one) for one in (choice, without_weights(choice))]
                saved = works[1].unique_bytes_read - works[0].unique_bytes_read
                assert saved == NARROW_BYTES * spec.weights[0].elements
                assert works[0].alu_instructions > works[1].alu_instructions


def test_nothing_is_offered_unasked_or_where_weights_stay_in_the_first_cache() -> None:
    spec = convolution(16, 16, (7, 7), Conv2d((1, 1)))
    algorithm = algorithm_named("cpu_blocked_conv")
    target = TARGETS["aarch64"][0]
    for asked in (target, replace(target, weights="bfloat16"), replace(target, weights="int8")):
        assert WEIGHTS not in {axis.name for axis in algorithm.space(spec, asked).axes}


def test_float32_is_offered_beside_them_as_without_the_option() -> None:
    target = TARGETS["aarch64"][0]
    for name in ALGORITHMS:
        algorithm = algorithms()[name]
        for spec in ALL_LAYERS.values():
            if algorithm.applies(spec, target):
                found = [
                    [algorithm.choice(spec, one, point) for point in _points(algorithm, spec, one)]
                    for one in (target, replace(target, weights="float16"))
                ]
                assert found[0] == [choice for choice in found[1] if weight_type(choice) == "float32"]


def _points(algorithm: object, spec: LayerSpec, target: Target) -> Iterator[dict[str, object]]:
    assert isinstance(algorithm, CpuAlgorithm)
    for point in algorithm.space(spec, target).points():
        with suppress(ScheduleError):
            algorithm.choice(spec, target, point)
            yield dict(point)


def test_which_cores_have_halves() -> None:
    found = {
        device: narrow_types(load_profile(device).target()) for device in ("pi-zero", "pi-2", "pi-3", "pi-4")
    }
    assert found.pop("pi-zero") == ("bfloat16",)
    assert set(found.values()) == {("float16", "bfloat16")}


@settings(deadline=None)
@given(
    st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False, max_value=2.0**127, min_value=-(2.0**127)),
        min_size=1,
    )
)
def test_bfloat16_is_the_nearest(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    assert np.array_equal(widened(bfloat16s(values)), nearest_bfloat16(values))


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_that_is_too_large_is_refused(kind: WeightType) -> None:
    large = np.array([1.0, 65520.0 if kind == "float16" else 3.4e38], np.float32)
    with pytest.raises(ScheduleError, match=r"6.55e\+04.*--weights float16|3.4e\+38.*--weights bfloat16"):
        (nearest_halves if kind == "float16" else bfloat16s)(large)


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_says_what_its_program_computes_with(kind: WeightType) -> None:
    engine, spec = engine_named("cpu"), LAYERS["few outputs"]
    assert isinstance(engine, StoresNarrow)
    target = replace(TARGETS["aarch64"][0], weights=kind)
    algorithm = algorithms()["cpu_blocked_fully_connected"]
    assert isinstance(algorithm, CpuAlgorithm)
    weights = [
        np.random.default_rng(2).standard_normal(t.shape).astype(np.float32) * 1e-3 for t in spec.weights
    ]
    choice = narrow_choices(algorithm, spec, target)[0]
    found = engine.stored(algorithm, Candidate(spec, choice), weights, 1.0)
    assert np.array_equal(found[0], rounded(kind, weights[0]))
    assert np.array_equal(found[1], weights[1])


@pytest.mark.needs("llvm")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("device", ["pi-2", "pi-3-64", "pi-4"])
def test_no_loop_over_narrow_weights_spills(device: str, kind: WeightType) -> None:
    target = replace(load_profile(device).target(), weights=kind)
    layers = {
        "cpu_blocked_fully_connected": inferred_layer(
            FullyConnected(), (1, 512), weights=((256, 512), (256,))
        ),
        "cpu_blocked_conv": convolution(192, 64, (7, 7), Conv2d((1, 1))),
    }
    for name, spec in layers.items():
        algorithm = algorithms()[name]
        assert isinstance(algorithm, CpuAlgorithm)
        weights = [np.ones(t.shape, np.float32) for t in spec.weights]
        found = [one for one in narrow_choices(algorithm, spec, target) if one.threads == 1]
        for choice in (found[0], found[len(found) // 2], found[-1]):
            program = algorithm.emit(spec, target, choice, weights, "kernel")
            assert isinstance(program, CpuProgram)
            code = compile_object({"kernel.c": kernel_file("kernel", program.source)}, target, KERNEL_FLAGS)
            loop = busiest_loop(disassemble(code))
            assert loop is not None and loop.macs > 0
            assert count_loop(loop).stack_accesses == 0, choice
