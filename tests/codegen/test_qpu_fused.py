"""Epilogues in every QPU algorithm and elementwise layers of their own, against the float64 reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.errors import ScheduleError
from codegen.expression import RESULT, Expression, Operand, apply, clamp, less, maximum, select
from codegen.graph import LayerSpec
from codegen.operator import Epilogued
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import EXPRESSIONS, Map
from codegen.schedule import Choice
from codegen.tensor import FloatArray, Shape, TensorType
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.gpu_run import TARGET, relative_error, run_layer
from tests.codegen.test_qpu_expressions import ACTIVATIONS, LINE, check

TOLERANCE = 1e-3
X, Y, Z = (Operand(i) for i in range(3))
PRODUCERS = (
    "pointwise", "pointwise, many channels", "same padding", "tiles by channels", "depthwise", "maximum", "average",
    "global average", "global maximum", "fully connected", "fully connected, many rows", "fully connected, a few rows",
    "transposed", "strided tiles",
)  # fmt: skip
# fmt: off
EPILOGUES: dict[str, Expression] = {
    name: EXPRESSIONS[name](X)
    for name in (
        "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "LeakyRelu", "Elu", "Gelu", "Softplus", "Tanh", "Mish",
    )
} | {"clamped tanh": clamp(apply("tanh", X), -0.5, 0.5), "Gelu by tanh": EXPRESSIONS["Gelu"](X, approximate="tanh")}
# fmt: on
EVERYWHERE = ("Sigmoid", "Tanh", "Gelu", "HardSwish")


def fused(name: str, epilogue: Expression) -> LayerSpec:
    spec = LAYERS[name]
    assert isinstance(spec.op, Epilogued)
    return replace(spec, op=replace(spec.op, epilogue=epilogue))  # type: ignore[type-var]


def ends(spec: LayerSpec) -> dict[str, list[Choice]]:
    """By algorithm that applies, the first and the last choice that it offers: the smallest and largest tile."""
    found: dict[str, list[Choice]] = {}
    for algorithm in algorithms().values():
        if isinstance(algorithm, QpuAlgorithm) and algorithm.applies(spec, TARGET):
            points = list(algorithm.space(spec, TARGET).points())
            offered = [_first(algorithm, spec, way) for way in (points, points[::-1])]
            found[algorithm.name] = [choice for choice in offered if choice is not None]
    return found


def algorithms_of(spec: LayerSpec) -> set[str]:
    """Names of the algorithms of the QPUs that apply."""
    return {
        algorithm.name
        for algorithm in algorithms().values()
        if isinstance(algorithm, QpuAlgorithm) and algorithm.applies(spec, TARGET)
    }


def _first(algorithm: QpuAlgorithm, spec: LayerSpec, points: list[dict[str, int]]) -> Choice | None:
    for point in points:
        try:
            return algorithm.choice(spec, TARGET, point)
        except ScheduleError:
            continue
    return None


@pytest.mark.parametrize("epilogue", EVERYWHERE)
@pytest.mark.parametrize("name", PRODUCERS)
def test_every_algorithm_has_tiles_for_the_usual_epilogues(name: str, epilogue: str) -> None:
    spec = fused(name, EPILOGUES[epilogue])
    found = ends(spec)
    assert found
    for algorithm, offered in found.items():
        assert offered, f"{algorithm} offers nothing with {epilogue}"
        for choice in offered:
            assert relative_error(spec, choice) < TOLERANCE, choice


def test_the_producers_are_of_every_algorithm_that_takes_an_epilogue() -> None:
    layers = [name for name, spec in LAYERS.items() if isinstance(spec.op, Epilogued)]
    known = {name: algorithms_of(fused(name, EPILOGUES["HardSwish"])) for name in layers}
    assert set[str]().union(*known.values()) == set[str]().union(*(known[name] for name in PRODUCERS))


@pytest.mark.parametrize("epilogue", sorted(set(EPILOGUES) - set(EVERYWHERE)))
def test_other_epilogues(epilogue: str) -> None:
    spec = fused("pointwise", EPILOGUES[epilogue])
    assert relative_error(spec, ends(spec)["qpu_pointwise_blocked"][0]) < TOLERANCE


def samples() -> FloatArray:
    """Numbers of every size as an image, the last ones repeated."""
    image = np.resize(LINE, 8 * 9 * 10).astype(np.float32)
    return image.reshape(1, 8, 9, 10)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_numbers_of_every_size_on_their_own(name: str) -> None:
    """Number by number, not beside the largest of a tensor."""
    image = samples()
    spec = elementwise(ACTIVATIONS[name], [image.shape], [])
    (result,) = run_layer(spec, ends(spec)["qpu_map"][-1], [image], [])
    check(ACTIVATIONS[name], [image.reshape(-1)], result.reshape(-1))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_numbers_of_every_size_behind_a_convolution(name: str) -> None:
    """The convolution passes its input on."""
    image = samples()
    identity = [np.eye(8, dtype=np.float32).reshape(8, 8, 1, 1), np.zeros(8, np.float32)]
    tensor = TensorType(image.shape)
    op = Conv2d((1, 1), epilogue=ACTIVATIONS[name])
    spec = LayerSpec(op, (tensor,), (tensor,), tuple(TensorType(w.shape) for w in identity))
    (result,) = run_layer(spec, ends(spec)["qpu_pointwise_streamed"][-1], [image], identity)
    check(ACTIVATIONS[name], [image.reshape(-1)], result.reshape(-1))


@pytest.mark.parametrize(
    "epilogue", [X * Y, X - Y, X + Y + Y, clamp(Y, 0.0, None), EXPRESSIONS["Tanh"](X + Y)]
)
def test_an_epilogue_of_a_further_tensor_is_not_offered_unless_it_is_a_sum(epilogue: Expression) -> None:
    spec = fused("pointwise", epilogue)
    assert not ends(replace(spec, inputs=(*spec.inputs, spec.output)))


@pytest.mark.parametrize("shape", [(1, 26, 1, 1), (1, 26, 7, 9)])
def test_a_residual_of_another_shape_is_not_offered(shape: Shape) -> None:
    spec = fused("pointwise", X + Y)
    assert spec.output.shape == (1, 26, 9, 7)
    assert not ends(replace(spec, inputs=(*spec.inputs, TensorType(shape))))


def test_a_residual_counts_as_work() -> None:
    plain = fused("pointwise", RESULT)
    more = fused("pointwise", X + Y)
    more = replace(more, inputs=(*more.inputs, more.output))
    for name, offered in ends(more).items():
        choice = offered[0]
        works = [
            algorithms()[name].work(
                spec, TARGET, replace(choice, input_layouts=choice.input_layouts[: len(spec.inputs)])
            )
            for spec in (plain, more)
        ]
        assert works[1].streamed_bytes_read - works[0].streamed_bytes_read >= 26 * 64 * 4
        assert works[1].unique_bytes_read - works[0].unique_bytes_read == more.output.size_bytes
        assert works[1].alu_instructions > works[0].alu_instructions


def test_epilogues_count_as_work() -> None:
    plain, more = fused("pointwise", RESULT), fused("pointwise", EPILOGUES["Gelu"])
    for name, offered in ends(more).items():
        algorithm = algorithms()[name]
        works = [algorithm.work(spec, TARGET, offered[0]) for spec in (plain, more)]
        assert works[1].alu_instructions > works[0].alu_instructions
        assert works[1].macs == works[0].macs


IMAGE: Shape = (1, 21, 6, 7)
CASES: dict[str, tuple[Expression, list[Shape], list[Shape]]] = {  # inputs, weights
    **{name: (epilogue, [IMAGE], []) for name, epilogue in EPILOGUES.items()},
    "product": (X * Y, [IMAGE, IMAGE], []),
    "gate of channels": (X * EXPRESSIONS["Sigmoid"](Y), [IMAGE, (1, 21, 1, 1)], []),
    "gate first": (X * Y, [(1, 21, 1, 1), IMAGE], []),
    "gate without planes": (X * Y, [IMAGE, (21, 1, 1)], []),
    "a plane for all channels": (maximum(X, Y), [IMAGE, (1, 1, 6, 7)], []),
    "a number": (X + Y * X, [IMAGE, (1, 1, 1, 1)], []),
    "weights of channels": (X * Y + Z, [IMAGE], [(21, 1, 1), (1, 21, 1, 1)]),
    "slopes": (select(less(X, 0.0), Y * X, X), [IMAGE], [(21, 1, 1)]),
    "a weight of one number": (X * Y, [IMAGE], [(1,)]),
    "a plane of weights": (X * Y, [IMAGE], [(6, 7)]),
    "a row of weights": (X * Y, [IMAGE], [(1, 7)]),
    "columns of weights of channels": (X * Y, [IMAGE], [(21, 6, 1)]),
    "weights everywhere": (X + Y, [IMAGE], [IMAGE]),
    "four tensors": (X * Y + Z * Operand(3), [IMAGE] * 4, []),
    "vector": (EPILOGUES["Tanh"], [(1, 137)], []),
    "vectors": (X * Y + Z, [(1, 137)] * 2, [(137,)]),
    "batch": (X * Y, [(2, 5, 6, 7)] * 2, []),
}


def elementwise(expression: Expression, inputs: list[Shape], weights: list[Shape]) -> LayerSpec:
    op = Map(expression)
    types = [TensorType(shape) for shape in inputs], [TensorType(shape) for shape in weights]
    return LayerSpec(op, tuple(types[0]), op.infer(*types, ()), tuple(types[1]))


@pytest.mark.parametrize("name", CASES)
def test_elementwise_layers(name: str) -> None:
    spec = elementwise(*CASES[name])
    offered = ends(spec)["qpu_map"]
    for choice in offered:
        assert relative_error(spec, choice) < TOLERANCE, choice


def test_gates_come_in_either_layout() -> None:
    layouts = {choice.input_layouts for choice in ends(elementwise(*CASES["gate of channels"]))["qpu_map"]}
    assert layouts == {("pixel16", "nchw"), ("pixel16", "pixel16")}


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([IMAGE, (1, 1, 6, 1)], "a column"),
        ([(1, 21, 1, 1), (1, 1, 6, 7)], "no operand of the output's shape"),
    ],
)
def test_what_lines_cannot_broadcast_is_not_offered(inputs: list[Shape], reason: str) -> None:
    assert "qpu_map" not in ends(elementwise(X * Y, inputs, [])), reason
