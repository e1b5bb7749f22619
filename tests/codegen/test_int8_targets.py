"""Kernels of integers of 8 bits by the instructions of other cores: AVX2 here, NEON and ARMv6 under qemu."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engine_registry import layout_named
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.machine import instruction_sets
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression, Operand
from codegen.graph import LayerSpec
from codegen.operators.pool2d import Pool2d
from codegen.operators.quantized_conv2d import QuantizedConv2d
from codegen.operators.typed_map import TypedMap
from codegen.program import CpuProgram
from codegen.reference import evaluate_layer
from codegen.requantization import requantized
from codegen.target import Target
from codegen.tensor import AnyArray, TensorType
from tests.codegen.layers import inferred_layer

TARGETS = {
    "avx2": (Target("avx2", 0, "x86-64-v3", ("", "-O2", "-march=x86-64-v3"), 1), ""),
    "avx512": (Target("avx512", 0, "x86-64-v4", ("", "-O2", "-march=x86-64-v4"), 1), ""),
    "aarch64": (
        Target("pi-3", 0, "cortex-a53", ("aarch64-linux-musl", "-O2", "-mcpu=cortex_a53", "-static"), 1),
        "qemu-aarch64",
    ),
    "dot products": (
        Target("pi-5", 0, "cortex-a76", ("aarch64-linux-musl", "-O2", "-mcpu=cortex_a76", "-static"), 1),
        "qemu-aarch64",
    ),
    "armv7": (
        Target("pi-2", 0, "cortex-a7", ("arm-linux-musleabihf", "-O2", "-mcpu=cortex_a7", "-static"), 1),
        "qemu-arm",
    ),
    "armv6": (
        Target(
            "pi-zero",
            0,
            "arm1176jzf-s",
            ("arm-linux-musleabihf", "-O2", "-mcpu=arm1176jzf_s-slowfpvmlx", "-static"),
            1,
        ),
        "qemu-arm",
    ),
}
NEEDED = {"avx2": "avx2", "avx512": "avx512bw"}


def quantized(op: QuantizedConv2d, source: TensorType, outputs: int, *others: TensorType) -> LayerSpec:
    kernel = TensorType((outputs, source.shape[1] // op.groups, *op.kernel), "int8")
    constants = (kernel, TensorType((outputs,), "int32"), TensorType((outputs,)))
    return inferred_layer(op, source, *others, weights=constants)


def layers(source: str) -> list[LayerSpec]:
    zero = 5 if source == "uint8" else -7
    ended = requantized(RESULT, 3, "uint8")
    plane = TensorType((1, 21, 6, 7), source)
    return [
        quantized(QuantizedConv2d((1, 1), zero=zero, epilogue=ended, dtype="uint8"), plane, 18),
        quantized(
            QuantizedConv2d((3, 3), (2, 1), (1, 1, 1, 1), zero=zero, epilogue=ended, dtype="uint8"), plane, 18
        ),
        quantized(
            QuantizedConv2d(
                (3, 3), (1, 1), (1, 1, 1, 1), groups=21, zero=zero, epilogue=ended, dtype="uint8"
            ),
            plane,
            21,
        ),
        quantized(
            QuantizedConv2d(
                (1, 1), epilogue=requantized(RESULT + Operand(1) * 0.5, 0, "int8"), dtype="int8", zero=zero
            ),
            plane,
            18,
            TensorType((1, 18, 6, 7), "uint8"),
        ),
        quantized(
            QuantizedConv2d((3, 3), zero=zero, epilogue=requantized(RESULT + 9.0, 0, "int8"), dtype="int8"),
            plane,
            18,
        ),
        quantized(
            QuantizedConv2d(
                (1, 1), epilogue=requantized(_sum_of_scales(), 3, "uint8"), dtype="uint8", zero=zero
            ),
            plane,
            18,
            TensorType((1, 18, 6, 7), "uint8"),
        ),
        quantized(
            QuantizedConv2d((1, 1), (2, 2), zero=zero, epilogue=ended, dtype="uint8"),
            TensorType((2, 24, 9, 9), source),
            29,
        ),
        quantized(
            QuantizedConv2d((1, 1), zero=zero, epilogue=ended, dtype="uint8"),
            TensorType((1, 40, 1, 1), source),
            203,
        ),
        quantized(
            QuantizedConv2d((1, 1), zero=zero, epilogue=ended, dtype="uint8"),
            TensorType((1, 40, 1, 3), source),
            75,
        ),
        quantized(
            QuantizedConv2d((3, 3), (1, 1), (1, 1, 1, 1), zero=zero, epilogue=ended, dtype="uint8"),
            TensorType((2, 24, 9, 15), source),
            29,
        ),
        quantized(
            QuantizedConv2d(
                (3, 3),
                (1, 1),
                (1, 1, 1, 1),
                epilogue=requantized(RESULT + Operand(1) * 0.5, 0, "int8"),
                dtype="int8",
                zero=zero,
            ),
            plane,
            18,
            TensorType((1, 18, 6, 7), "uint8"),
        ),
        quantized(
            QuantizedConv2d((7, 7), (2, 2), (3, 3, 3, 3), zero=zero, epilogue=ended, dtype="uint8"),
            TensorType((1, 3, 19, 33), source),
            12,
        ),
        inferred_layer(Pool2d("max", (3, 3), (2, 2), (1, 1, 1, 1)), plane),
        inferred_layer(
            TypedMap(requantized(Operand(0) / 0.7, 1, "uint8"), "float32", "uint8"), TensorType((1, 3, 5, 7))
        ),
    ]


def _sum_of_scales() -> Expression:
    """Of a convolution that is rounded first and of another quantised tensor, in steps of a third scale."""
    first = (requantized(RESULT, 4, "int8") - 4.0) * 0.0913
    return (first + (Operand(1) - 3.0) * 0.0372) / 0.0717


def with_large_sums(weights: Sequence[AnyArray]) -> list[AnyArray]:
    """The last output has sums that no float holds, by a factor that makes 8 bits of them."""
    kernel, bias, factor = (value.copy() for value in weights)
    bias[-1], factor[-1] = (1 << 25) + 1, 2.0**-20
    return [kernel, bias, factor]


def without_least(weights: Sequence[AnyArray]) -> list[AnyArray]:
    """No weight is -128; products of those of the first inputs may be summed in 16 bits, of the others not."""
    kernel, bias, factor = weights
    kernel = np.maximum(kernel, -127)
    kernel[:, :9] //= 2
    return [kernel, bias, factor]


def values(tensor: TensorType, random: np.random.Generator) -> AnyArray:
    if tensor.dtype == "float32":
        return random.uniform(0.5, 1.0, tensor.shape).astype(np.float32) / 4000
    limits = np.iinfo(tensor.dtype if tensor.dtype != "int32" else np.int8)
    return random.integers(limits.min, limits.max, tensor.shape, endpoint=True).astype(tensor.dtype)


@dataclass(frozen=True)
class Case:
    """A kernel with its inputs as they lie in memory, and what it is to give."""

    algorithm: str
    spec: LayerSpec
    program: CpuProgram
    images: tuple[AnyArray, ...]
    layout: str
    expected: AnyArray

    @property
    def output_bytes(self) -> int:
        return self.program.output_sizes[0] * self.spec.output.element_type.size_bytes


def cases(target: Target, source: str) -> Iterator[Case]:
    """The first and the last kernel of each algorithm, for each layer."""
    random = np.random.default_rng(1)
    number = 0
    for spec in layers(source):
        inputs = [
            values(tensor, random) * (4e5 if tensor.dtype == "float32" else 1) for tensor in spec.inputs
        ]
        inputs = [value.astype(tensor.dtype) for value, tensor in zip(inputs, spec.inputs, strict=True)]
        weights = [values(tensor, random) for tensor in spec.weights]
        if weights:
            weights = with_large_sums(weights) if source == "int8" else without_least(weights)
        (expected,) = evaluate_layer(spec, inputs, weights)
        before = number
        for case in kernels(spec, target, inputs, weights, expected, number):
            yield case
            number += 1
        assert number > before, spec.describe()


def kernels(
    spec: LayerSpec,
    target: Target,
    inputs: Sequence[AnyArray],
    weights: Sequence[AnyArray],
    expected: AnyArray,
    number: int,
) -> Iterator[Case]:
    """The first and the last kernel of each algorithm for a layer; entries are numbered from `number` on."""
    for name, algorithm in algorithms().items():
        if not name.startswith("cpu_int8") or not algorithm.applies(spec, target):
            continue
        assert isinstance(algorithm, CpuAlgorithm)
        choices = []
        for point in algorithm.space(spec, target).points():
            with suppress(ScheduleError):
                choices.append(algorithm.choice(spec, target, point))
        for choice in dict.fromkeys((choices[0], choices[-1])):
            program = algorithm.emit(spec, target, choice, weights, f"kernel_{number}")
            images = tuple(layout_named(n).pack(v) for n, v in zip(choice.input_layouts, inputs, strict=True))
            yield Case(name, spec, program, images, choice.output_layout, expected)
            number += 1


def data_text(name: str, content: bytes) -> str:
    numbers = ",".join(map(str, content)) or "0"
    return f"static const unsigned char {name}[] __attribute__((aligned(64))) = {{{numbers}}};"


def call_text(number: int, case: Case) -> str:
    """A function that calls one kernel on what stands beside it and writes its output."""
    program, size = case.program, case.output_bytes
    arrays = [data_text(f"a{number}_{i}", image.tobytes()) for i, image in enumerate(case.images)]
    names = ", ".join(f"(const float *)a{number}_{i}" for i, _ in enumerate(case.images))
    return "\n".join(
        [
            f"void {program.entry}(const float *const *, const float *, float *const *, void *, int);",
            *arrays,
            data_text(f"w{number}", program.weights.tobytes()),
            f"static unsigned char y{number}[{size}] __attribute__((aligned(64)));",
            f"static unsigned char work{number}[{program.workspace_bytes + 1}] __attribute__((aligned(64)));",
            f"static void call_{number}(void) {{",
            f"    const float *in[] = {{{names}}};",
            f"    float *out[] = {{(float *)y{number}}};",
            f"    {program.entry}(in, (const float *)w{number}, out, work{number}, 0);",
            f"    fwrite(y{number}, 1, {size}, stdout);",
            "}",
        ]
    )


def results_of(found: Sequence[Case], target: Target, emulator: Sequence[str]) -> list[AnyArray]:
    """What the kernels give, all called by one program; `emulator`: words that run it."""
    calls = [call_text(number, case) for number, case in enumerate(found)]
    body = " ".join(f"call_{number}();" for number, _ in enumerate(found))
    main = "\n".join(["#include <stdio.h>", *calls, f"int main(void) {{ {body} return 0; }}\n"])
    sources = {f"{case.program.entry}.c": case.program.source for case in found}
    executable = compile_executable({**sources, "main.c": main}, target, KERNEL_FLAGS)
    memory = subprocess.run((*emulator, str(executable)), capture_output=True, check=True, timeout=60).stdout
    results = []
    for case in found:
        mine, memory = memory[: case.output_bytes], memory[case.output_bytes :]
        image = np.frombuffer(mine, dtype=case.spec.output.element_type.dtype)
        results.append(layout_named(case.layout).unpack(image, case.spec.output))
    return results


@pytest.mark.parametrize("source", ["uint8", "int8"])
@pytest.mark.parametrize("name", TARGETS)
def test_kernels_of_other_cores_are_exact(name: str, source: str) -> None:
    target, emulator = TARGETS[name]
    if emulator and shutil.which(emulator) is None:
        pytest.skip(f"needs {emulator}")
    if name in NEEDED and NEEDED[name] not in instruction_sets():
        pytest.skip(f"needs {NEEDED[name]}")
    found = list(cases(target, source))
    for case, result in zip(found, results_of(found, target, [emulator] if emulator else []), strict=True):
        off = np.abs(result - case.expected).max()
        assert np.array_equal(result, case.expected), (case.spec.describe(), case.layout, off)
        assert len(np.unique(case.expected)) > 10
