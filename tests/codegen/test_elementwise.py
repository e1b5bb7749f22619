"""Every line of the table of elementwise operators: against onnxruntime, and compiled for the CPU.

Values are those at which formulas go wrong: zeros, tiny and huge numbers, infinities and what is no number.
"""

from __future__ import annotations

import ctypes
import inspect
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from codegen.algorithm import algorithms
from codegen.engine_registry import layout_named
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.toolchain import compile_shared
from codegen.errors import ScheduleError
from codegen.expression import Expression, Operand
from codegen.graph import LayerSpec, type_of
from codegen.onnx_import.reader import import_model
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import EXPRESSIONS, Map
from codegen.passes import optimize
from codegen.program import CpuProgram
from codegen.reference import evaluate
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import TensorType
from tests.codegen.cpu_run import AVX2, HOST, NEON, SCALAR, call

NUMBERS = [0.0, -0.0, 1e-30, -1e-30, 1e-4, -1e-4, 0.3, -0.3, 0.5, -0.5, 1.0, -1.0, 1.7, -1.7, 2.9, -2.9]
NUMBERS += [3.0, -3.0, 5.5, -5.5, 9.0, -9.0, 20.0, -20.0, 50.0, -50.0, 88.0, -88.0, 1e30, -1e30]
SPECIAL = [math.inf, -math.inf, math.nan]
VALUES = np.array(NUMBERS + SPECIAL, dtype=np.float32)
TINY = np.finfo(np.float32).tiny
WITHOUT_RUNTIME = {"Swish"}  # onnxruntime has no kernel: the formula of its ONNX function is the witness
ATTRIBUTES: Mapping[str, Sequence[dict[str, Any]]] = {
    "Celu": [{}, {"alpha": 0.7}],
    "Elu": [{}, {"alpha": 1.6}],
    "Gelu": [{}, {"approximate": "tanh"}],
    "HardSigmoid": [{}, {"alpha": 0.4, "beta": 0.3}],
    "LeakyRelu": [{}, {"alpha": 0.3}],
    "Selu": [{}, {"alpha": 1.1, "gamma": 1.3}],
    "Swish": [{}, {"alpha": 1.5}],
    "ThresholdedRelu": [{}, {"alpha": 0.4}],
}
OPSET = {"Gelu": 20, "Mish": 18, "Swish": 24}


def operand_count(op_type: str) -> int:
    parameters = inspect.signature(EXPRESSIONS[op_type]).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return 3
    return sum(parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)


def model_of(op_type: str, shapes: Sequence[tuple[int, ...]], **attributes: Any) -> ModelProto:
    names = [f"x{index}" for index in range(len(shapes))]
    node = helper.make_node(op_type, names, ["y"], **attributes)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(names, shapes, strict=True)
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, np.broadcast_shapes(*shapes))
    graph = helper.make_graph([node], "elementwise", inputs, [output])
    opset = helper.make_opsetid("", OPSET.get(op_type, 17))
    return helper.make_model(graph, opset_imports=[opset], ir_version=8 if op_type not in OPSET else 10)


def operands_of(count: int) -> list[np.ndarray]:
    """Each value with each other one, as vectors that broadcast into planes of a single image."""
    shapes = [(1, len(VALUES), 1, 1), (1, 1, 1, len(VALUES)), (1, 1, 1, 1)]
    return [VALUES.reshape(shapes[0]), VALUES.reshape(shapes[1]), np.full(shapes[2], 0.75, np.float32)][
        :count
    ]


def assert_close(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """1e-5 relative to each value, and its infinities and NaN; what float32 holds as denormals may be 0."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted), what)
    infinite, finite = np.isinf(wanted), np.isfinite(wanted)
    np.testing.assert_array_equal(found[infinite], wanted[infinite], what)
    error = np.abs(found[finite].astype(np.float64) - wanted[finite])
    allowed = 1e-5 * np.abs(wanted[finite].astype(np.float64)) + 2 * TINY
    worst = int(np.argmax(error / allowed))
    assert np.all(error <= allowed), f"{what}: {found[finite][worst]} for {wanted[finite][worst]}"


CASES = [
    pytest.param(op_type, attributes, id=f"{op_type} {attributes or ''}")
    for op_type in EXPRESSIONS
    for attributes in ATTRIBUTES.get(op_type, [{}])
]


@pytest.mark.parametrize(("op_type", "attributes"), CASES)
def test_meaning_is_that_of_onnxruntime(op_type: str, attributes: dict[str, Any]) -> None:
    if op_type in WITHOUT_RUNTIME:
        alpha = attributes.get("alpha", 1.0)
        found = EXPRESSIONS[op_type](*_symbols(1), **attributes).evaluate([VALUES.astype(np.float64)])
        with np.errstate(all="ignore"):
            wanted = VALUES.astype(np.float64) / (1 + np.exp(-alpha * VALUES.astype(np.float64)))
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
        return
    inputs = operands_of(operand_count(op_type))
    model = model_of(op_type, [value.shape for value in inputs], **attributes)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {f"x{index}": value for index, value in enumerate(inputs)}
    wanted = session.run(None, feed)[0]
    found = evaluate(optimize(import_model(model)), feed)["y"]
    finite = np.isfinite(wanted)
    with np.errstate(all="ignore"):
        single = found.astype(np.float32)
    # The runtime computes in float32: formulas that subtract what is nearly equal lose that much there.
    np.testing.assert_allclose(single[finite], wanted[finite], rtol=1e-5, atol=3e-7)
    np.testing.assert_array_equal(np.isnan(single), np.isnan(wanted))


def _symbols(count: int) -> list[Any]:
    return [Operand(index) for index in range(count)]


@dataclass(frozen=True)
class Compiled:
    """A line of the table as a kernel, stand-alone or behind a convolution by one."""

    expression: Expression
    spec: LayerSpec
    choice: Choice
    program: CpuProgram


def compiled(op_type: str, attributes: dict[str, Any], name: str, target: Target, entry: str) -> Compiled:
    count = operand_count(op_type)
    expression = EXPRESSIONS[op_type](*_symbols(count), **attributes)
    plane = TensorType((1, len(VALUES), 1, len(VALUES)))
    weights: list[np.ndarray] = []
    if name in ("cpu_map", "cpu_blocked_map"):
        spec = LayerSpec(Map(expression), (plane,) * count, (plane,))
    else:
        weights = [np.ones((len(VALUES), 1, 1, 1), np.float32), np.zeros(len(VALUES), np.float32)]
        op = Conv2d((1, 1), groups=len(VALUES), epilogue=expression)
        spec = LayerSpec(op, (plane,), (plane,), tuple(map(type_of, weights)))
    algorithm = algorithms()[name]
    assert isinstance(algorithm, CpuAlgorithm) and algorithm.applies(spec, target)
    choice = _first_choice(algorithm, spec, target)
    return Compiled(expression, spec, choice, algorithm.emit(spec, target, choice, weights, entry))


def _first_choice(algorithm: CpuAlgorithm, spec: LayerSpec, target: Target) -> Choice:
    for point in algorithm.space(spec, target).points():
        with suppress(ScheduleError):  # no kernel there
            return algorithm.choice(spec, target, point)
    raise AssertionError(f"{algorithm.name} has no kernel for {spec}")


KERNELS = [
    *(("cpu_map", target) for target in (HOST, SCALAR, NEON, AVX2)),
    *(("cpu_blocked_map", target) for target in (HOST, SCALAR)),
    *(("cpu_blocked_depthwise", target) for target in (HOST, SCALAR)),
]


@pytest.mark.parametrize(("name", "target"), KERNELS, ids=lambda value: getattr(value, "name", value))
def test_compiled_for_the_cpu(name: str, target: Target) -> None:
    fused = "depthwise" in name
    cases = [
        (op_type, attributes)
        for op_type in EXPRESSIONS
        for attributes in ATTRIBUTES.get(op_type, [{}])
        if not fused or operand_count(op_type) == 1
    ]
    kernels = [
        compiled(op, attributes, name, target, f"kernel_{i}") for i, (op, attributes) in enumerate(cases)
    ]
    sources = {f"{kernel.program.entry}.c": kernel.program.source for kernel in kernels}
    library = ctypes.CDLL(str(compile_shared(sources, HOST, ("-Wall", "-Wextra", "-Werror"))))
    for (op_type, attributes), kernel in zip(cases, kernels, strict=True):
        shape = kernel.spec.output.shape
        inputs = [
            np.ascontiguousarray(np.broadcast_to(value, shape))
            for value in operands_of(len(kernel.spec.inputs))
        ]
        layout = layout_named(kernel.choice.output_layout)
        (image,) = call(library, kernel.program, list(map(layout.pack, inputs)))
        found = layout.unpack(image, kernel.spec.output)
        zero = 0.0 if fused else -0.0  # a bias of 0 takes the sign of a zero
        wanted = kernel.expression.evaluate([value.astype(np.float64) + zero for value in inputs])
        with np.errstate(all="ignore"):
            assert_close(found, wanted.astype(np.float32), f"{op_type} {attributes}")
