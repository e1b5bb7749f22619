"""Constant folding at the door: a node that reads constants alone becomes a constant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from codegen.element_type import element_types
from codegen.errors import FoldingError, ModelError, UnsupportedTypeError
from codegen.graph import Graph
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.folding_limits import check_size, within_time
from codegen.onnx_import.node import OnnxNode
from codegen.reference import evaluate
from codegen.tensor import Array

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
LISTS = frozenset({"Optional", "SequenceConstruct", "SplitToSequence"})  # whose results are no tensors
SUBGRAPHS = frozenset({AttributeProto.GRAPH, AttributeProto.GRAPHS})
OWN = frozenset(
    {
        "BatchNormalization",
        "Hardmax",
        "LRN",
        "LogSoftmax",
        "Resize",
        "Softmax",
        "Upsample",
    }
)
"""Operators that ONNX's reference implementation computes wrongly: softmax of several axes before version 13, batch
normalisation by statistics of its input, resizing by another rule than that of the version, response normalisation of
as many channels as there are images."""
MOST_EXACT = 2**53
"""The largest integer up to which float64 has them all."""

Importer = Callable[[ModelProto], Graph]


def is_foldable(node: OnnxNode, builder: GraphBuilder) -> bool:
    """Whether the node reads constants, nothing else, and always gives the same."""
    names = [name for name in node.inputs if name]
    return (
        bool(names)
        and all(builder.is_constant(name) for name in names)
        and node.op_type not in RANDOM | LISTS
        and not any(attribute.type in SUBGRAPHS for attribute in node.attributes.values())
    )


def fold(node: OnnxNode, builder: GraphBuilder, imported: Importer) -> None:
    """Evaluates the node and defines its outputs as constants: by the reference implementation of ONNX, or by that of
    this compiler, for which the node is `imported` as a model of its own.

    Raises FoldingError where the node cannot be evaluated, or not within the limits.
    """
    check_size(node, builder)
    values = {name: builder.constant(node, index) for index, name in enumerate(node.inputs) if name}
    with within_time(node, builder):
        results = _evaluate(node, values, imported)
    for name, value in zip(filter(None, node.outputs), results, strict=False):
        if not isinstance(value, np.ndarray | np.generic):
            raise UnsupportedTypeError(
                f"{node.where}: output {name!r} is a sequence or an optional value; export the model with tensors"
            )
        if str(np.asarray(value).dtype) not in element_types():
            raise UnsupportedTypeError(
                f"{node.where}: output {name!r} is constant, of {np.asarray(value).dtype}; supported are "
                f"{', '.join(sorted(element_types()))}; export the model with these, and with every input of the node"
            )
        builder.define_constant(node, name, np.asarray(value))


def _evaluate(node: OnnxNode, values: dict[str, Array], imported: Importer) -> list[Array]:
    """By the reference implementation; by this compiler's where that is wrong, lacks the node's version or fails."""
    if node.op_type in OWN:
        with _failures(node):
            return _evaluate_own(node, values, imported)
    try:
        with _failures(node):
            return _evaluate_by_onnx(node, values)
    except FoldingError:
        with suppress(ModelError), _failures(node):  # what ONNX says of it tells more
            return _evaluate_own(node, values, imported)
        raise


@contextmanager
def _failures(node: OnnxNode) -> Iterator[None]:
    """What an evaluation ends by that was not made for the node's values, as FoldingError."""
    try:
        yield
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise FoldingError(
            f"{node.where}: its inputs are constant but it cannot be evaluated ({error}); export the model without it, "
            "or with its result"
        ) from error


def _evaluate_by_onnx(node: OnnxNode, values: dict[str, Array]) -> list[Array]:
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in values.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.outputs if name]
    graph = helper.make_graph([node.proto], "constant", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
    with np.errstate(all="ignore"):
        return list(ReferenceEvaluator(model).run(None, values))


def _evaluate_own(node: OnnxNode, values: dict[str, Array], imported: Importer) -> list[Array]:
    """The node as a model whose input is its first input, in float64; raises ModelError and its kin."""
    first = values[node.input(0)]
    if any(
        value.dtype.kind in "iu" and np.abs(value).max(initial=0) > MOST_EXACT for value in values.values()
    ):
        raise FoldingError(
            f"{node.where}: its inputs are constant but beyond {MOST_EXACT}; export the model with its result"
        )
    graph = imported(_alone(node, values))
    results = evaluate(graph, dict.fromkeys(graph.inputs, first))
    return [results[name].astype(graph.types[name].element_type.dtype) for name in graph.outputs]


def _alone(node: OnnxNode, values: dict[str, Array]) -> ModelProto:
    given = NodeProto()
    given.CopyFrom(node.proto)
    given.name = node.name
    given.input[:] = [f"input {index}" if name else "" for index, name in enumerate(node.inputs)]
    first, *others = ((own, values[name]) for own, name in zip(given.input, node.inputs, strict=True) if name)
    dtype = helper.np_dtype_to_tensor_dtype(first[1].dtype)
    graph = helper.make_graph(
        [given],
        "constant",
        [helper.make_tensor_value_info(first[0], dtype, first[1].shape)],
        [helper.make_empty_tensor_value_info(name) for name in node.outputs if name],
        [numpy_helper.from_array(value, name) for name, value in others],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
