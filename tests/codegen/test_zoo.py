"""The zoo's networks: reproducible, importable, with activations that neither die nor explode."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cache
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto

from codegen.errors import ModelError
from codegen.graph import Graph
from codegen.onnx_import.reader import import_model
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.operators.transpose import Transpose
from codegen.passes import optimize
from codegen.reference import evaluate, evaluate_all
from codegen.zoo import Style, build, networks

SMALL: dict[str, Any] = {"width": 0.25, "resolution": 64, "classes": 20}


@cache
def small() -> ModelProto:
    return build("mobilenet_v1", **SMALL)


@cache
def small_graph() -> Graph:
    return import_model(small())


def images(kind: str, resolution: int = 64) -> np.ndarray:
    random = np.random.default_rng(11)
    if kind == "white":
        return random.standard_normal((1, 3, resolution, resolution)).astype(np.float32)
    ramp = np.linspace(-1.5, 1.5, resolution)
    waves = [np.outer(np.sin(f * ramp), np.cos(ramp)) + ramp / 2 for f in (1.0, 2.0, 3.0)]
    return (np.stack(waves)[None] * 1.5).astype(np.float32)


def test_model_is_valid_onnx() -> None:
    onnx.checker.check_model(small(), full_check=True)
    names = [node.name for node in small().graph.node]
    assert len(set(names)) == len(names) == 27 * 3 + 3


@pytest.mark.parametrize("kind", ["white", "smooth"])
def test_activations_stay_sane(kind: str) -> None:
    graph = small_graph()
    values = evaluate_all(graph, {"input": images(kind)})
    clamped = [values[node.output] for node in graph.nodes if isinstance(node.op, Map)]
    assert len(clamped) == 27
    for value in clamped:
        assert 0.15 < value.std() < 2.0
        assert np.mean(value >= 6.0) < 0.05
        assert 0.1 < np.mean(value > 0.0) < 0.9
    logits = values["output"]
    assert 0.2 < logits.std() < 5.0


def test_different_images_give_different_results() -> None:
    white, smooth = (
        evaluate(small_graph(), {"input": images(kind)})["output"] for kind in ("white", "smooth")
    )
    assert np.abs(white - smooth).max() > 0.05 * np.abs(white).max()


def test_fused_graph_gives_what_onnxruntime_gives() -> None:
    value = images("white")
    session = onnxruntime.InferenceSession(small().SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"input": value})[0]
    fused = optimize(small_graph())
    found = evaluate(fused, {"input": value})["output"]
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
    kinds = [type(node.op) for node in fused.nodes]
    assert kinds == [Conv2d] * 27 + [Pool2d, Reshape, FullyConnected]


def test_equal_arguments_give_equal_bytes() -> None:
    again = build("mobilenet_v1", **SMALL).SerializeToString()
    assert hashlib.sha256(again).digest() == hashlib.sha256(small().SerializeToString()).digest()
    assert build("mobilenet_v1", **SMALL, seed=1).SerializeToString() != again


@pytest.mark.parametrize(
    ("width", "channels"), [(0.25, [8, 16, 256]), (0.5, [16, 32, 512]), (0.1, [8, 8, 102])]
)
def test_width_scales_channels(width: float, channels: list[int]) -> None:
    graph = import_model(build("mobilenet_v1", width=width, resolution=32, classes=3))
    depths = [graph.types[node.output].shape[1] for node in graph.nodes if isinstance(node.op, Conv2d)]
    assert [depths[0], depths[2], depths[-1]] == channels
    assert graph.types["output"].shape == (1, 3)


def test_softmax_is_optional() -> None:
    graph = import_model(build("mobilenet_v1", **SMALL, softmax=True))
    assert isinstance(graph.nodes[-1].op, Softmax)
    assert evaluate(graph, {"input": images("white")})["output"].sum() == pytest.approx(1.0)


BRANCHED: dict[str, dict[type[Operator], int]] = {
    "mobilenet_v2": {Conv2d: 52, Map: 11, Pool2d: 1, Reshape: 1, FullyConnected: 1},
    "squeezenet": {Conv2d: 26, Concat: 8, Pool2d: 4, Reshape: 1},
    "resnet18": {Conv2d: 20, Map: 8, Pool2d: 2, Reshape: 1, FullyConnected: 1},
}
STYLES: tuple[Style, ...] = ("pytorch", "tensorflow")


@cache
def model_of(name: str, style: Style) -> ModelProto:
    return build(name, **SMALL, style=style)


def run(model: ModelProto, value: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input": value})[0])


def image_for(style: Style) -> np.ndarray:
    return (
        images("white") if style == "pytorch" else np.ascontiguousarray(images("white").transpose(0, 2, 3, 1))
    )


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["mobilenet_v1", *BRANCHED])
def test_every_network_in_every_style(name: str, style: Style) -> None:
    """Valid, imported to the same layers but for the transposed input, and what onnxruntime computes."""
    model = model_of(name, style)
    onnx.checker.check_model(model, full_check=True)
    fused = optimize(import_model(model))
    wanted = run(model, image_for(style))
    found = evaluate(fused, {"input": image_for(style)})["output"]
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
    kinds: dict[type[Operator], int] = BRANCHED.get(
        name, {Conv2d: 27, Pool2d: 1, Reshape: 1, FullyConnected: 1}
    )
    extra: dict[type[Operator], int] = {} if style == "pytorch" else {Transpose: 1}
    assert Counter(type(node.op) for node in fused.nodes) == {**kinds, **extra}


@pytest.mark.parametrize("name", ["mobilenet_v1", *BRANCHED])
def test_styles_are_the_same_function(name: str) -> None:
    first, second = (run(model_of(name, style), image_for(style)) for style in STYLES)
    np.testing.assert_allclose(second, first, atol=1e-4 * np.abs(first).max())
    kinds = {node.op_type for node in model_of(name, "tensorflow").graph.node}
    assert {"Transpose", "ReduceMean"} <= kinds
    assert "Pad" in kinds or name == "squeezenet"  # whose windows of stride 2 have no pads


@pytest.mark.parametrize("name", BRANCHED)
@pytest.mark.parametrize("kind", ["white", "smooth"])
def test_activations_of_branched_networks_stay_sane(name: str, kind: str) -> None:
    graph = optimize(import_model(model_of(name, "pytorch")))
    values = evaluate_all(graph, {"input": images(kind)})
    for node in graph.nodes:
        if isinstance(node.op, Conv2d | Map):
            value = values[node.output]
            assert 0.15 < value.std() < 5.0
            assert 0.1 < np.mean(value > 0.0) < 0.98
    assert 0.05 < values["output"].std() < 5.0


@pytest.mark.parametrize("name", BRANCHED)
def test_branched_networks_are_reproducible(name: str) -> None:
    again = build(name, **SMALL).SerializeToString(deterministic=True)
    assert again == model_of(name, "pytorch").SerializeToString(deterministic=True)


def test_full_size_layers() -> None:
    """Channels and parameters as the papers have them."""
    parameters = {"mobilenet_v2": 3_504_872, "squeezenet": 1_235_496, "resnet18": 11_689_512}
    for name, count in parameters.items():
        model = build(name, resolution=32)
        graph = optimize(import_model(model))
        found = sum(value.size for value in graph.constants.values())
        assert found + normalised_channels(model) == count


def normalised_channels(model: ModelProto) -> int:
    """Of scale and bias of each, folding leaves a bias."""
    norms = {node.input[1] for node in model.graph.node if node.op_type == "BatchNormalization"}
    return sum(tensor.dims[0] for tensor in model.graph.initializer if tensor.name in norms)


def test_unknown_style() -> None:
    with pytest.raises(ModelError, match=r"no style 'keras'; it has pytorch, tensorflow"):
        build("resnet18", style=cast(Style, "keras"))


def test_unknown_network_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no network 'lenet'.* it has mobilenet_v1"):
        build("lenet")
    assert "mobilenet_v1" in networks()


@pytest.mark.parametrize(
    "options",
    [
        {"width": 0.0},
        {"width": float("nan")},
        {"resolution": 16},
        {"classes": 0},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_impossible_options(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="mobilenet_v1"):
        build("mobilenet_v1", **options)
