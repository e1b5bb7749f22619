"""All that keeps a model from being imported is told at once, and what cannot be judged is told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from codegen.errors import (
    DynamicShapeError,
    ModelError,
    ObstaclesError,
    UnsupportedOperatorError,
    UnsupportedTypeError,
)
from codegen.onnx_import.reader import import_model, survey

SHAPE = (1, 3, 8, 8)


def model_of(
    nodes: Sequence[NodeProto],
    *,
    inputs: dict[str, tuple[int, Sequence[int | str]]] | None = None,
    functions: Sequence[FunctionProto] = (),
    domains: Sequence[str] = ("",),
) -> ModelProto:
    given = inputs or {"x": (TensorProto.FLOAT, SHAPE)}
    graph = helper.make_graph(
        list(nodes),
        "several",
        [helper.make_tensor_value_info(name, *type_) for name, type_ in given.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([3, 2]), "sizes")],
    )
    sets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    return helper.make_model(graph, opset_imports=sets, ir_version=8, functions=list(functions))


def node(op: str, source: str, target: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, [source], [target], name=f"{op}_of_{source}", **attributes)


def test_every_node_that_is_not_supported_is_told() -> None:
    nodes = [
        node("Relu", "x", "a"),
        node("ImageDecoder", "a", "b"),
        node("Relu", "b", "c"),
        node("Multinomial", "c", "d"),
        node("RandomUniformLike", "x", "e"),
        helper.make_node("Add", ["d", "e"], ["y"]),
    ]
    model = model_of(nodes)
    with pytest.raises(ObstaclesError) as raised:
        import_model(model)
    assert [type(error) for error in raised.value.errors] == [UnsupportedOperatorError] * 3
    for text in ("3 things", "ImageDecoder_of_a", "Multinomial_of_c", "RandomUniformLike_of_x"):
        assert text in str(raised.value)
    # The Relu behind the image, its successor and the sum.
    assert survey(model).unjudged == 3


def test_behind_a_node_of_a_known_shape_everything_is_judged() -> None:
    nodes = [node("RandomUniformLike", "x", "a"), node("Softmax", "a", "b", axis=9), node("Relu", "b", "y")]
    with pytest.raises(ModelError, match="axis 9") as raised:
        import_model(model_of(nodes))
    assert type(raised.value) is ModelError


def test_open_dimensions_do_not_hide_operators() -> None:
    inputs: dict[str, tuple[int, Sequence[int | str]]] = {
        "x": (TensorProto.FLOAT, ("batch", 3)),
        "z": (TensorProto.FLOAT, ("batch", 3)),
        "s": (TensorProto.STRING, (2,)),
    }
    nodes = [node("Multinomial", "x", "a"), helper.make_node("Add", ["a", "z"], ["y"])]
    obstacles = survey(model_of(nodes, inputs=inputs)).obstacles
    kinds = [type(error) for error in obstacles]
    assert kinds == [DynamicShapeError, DynamicShapeError, UnsupportedTypeError, UnsupportedOperatorError]


def test_inside_functions_all_are_told_too() -> None:
    inner = [node("ImageDecoder", "p", "q"), node("Multinomial", "q", "r")]
    function = helper.make_function("own", "Block", ["p"], ["r"], inner, [helper.make_opsetid("", 17)])
    call = helper.make_node("Block", ["x"], ["y"], domain="own", name="block")
    obstacles = survey(model_of([call], functions=[function], domains=("", "own"))).obstacles
    assert ["block" in str(error) for error in obstacles] == [True, True]


def test_a_malformed_node_ends_the_survey() -> None:
    nodes = [node("Multinomial", "x", "a"), node("Relu", "nowhere", "y")]
    with pytest.raises(ModelError, match="nowhere") as raised:
        import_model(model_of(nodes))
    assert type(raised.value) is ModelError
