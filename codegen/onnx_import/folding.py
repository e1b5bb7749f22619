"""Constant folding at the door: a node that reads constants alone becomes a constant."""

from __future__ import annotations

import numpy as np
from onnx import AttributeProto, helper
from onnx.reference import ReferenceEvaluator

from codegen.element_type import element_types
from codegen.errors import FoldingError, UnsupportedTypeError
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.folding_limits import check_size, within_time
from codegen.onnx_import.node import OnnxNode
from codegen.tensor import Array

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
LISTS = frozenset({"Optional", "SequenceConstruct", "SplitToSequence"})  # whose results are no tensors
SUBGRAPHS = frozenset({AttributeProto.GRAPH, AttributeProto.GRAPHS})


def is_foldable(node: OnnxNode, builder: GraphBuilder) -> bool:
    """Whether the node reads constants, nothing else, and always gives the same."""
    names = [name for name in node.inputs if name]
    return (
        bool(names)
        and all(builder.is_constant(name) for name in names)
        and node.op_type not in RANDOM | LISTS
        and not any(attribute.type in SUBGRAPHS for attribute in node.attributes.values())
    )


def fold(node: OnnxNode, builder: GraphBuilder) -> None:
    """Evaluates the node by the reference implementation of ONNX and defines its outputs as constants.

    Raises FoldingError where the node cannot be evaluated, or not within the limits.
    """
    check_size(node, builder)
    values = {name: builder.constant(node, index) for index, name in enumerate(node.inputs) if name}
    with within_time(node, builder):
        results = _evaluate(node, values)
    for name, value in zip(node.outputs, results, strict=False):
        if name and not isinstance(value, np.ndarray | np.generic):
            raise UnsupportedTypeError(
                f"{node.where}: output {name!r} is a sequence or an optional value; export the model with tensors"
            )
        if name and str(np.asarray(value).dtype) not in element_types():
            raise UnsupportedTypeError(
                f"{node.where}: output {name!r} is constant, of {np.asarray(value).dtype}; supported are "
                f"{', '.join(sorted(element_types()))}; export the model with these, and with every input of the node"
            )
        if name:
            builder.define_constant(node, name, np.asarray(value))


def _evaluate(node: OnnxNode, values: dict[str, Array]) -> list[Array]:
    try:
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in values.items()
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.outputs if name]
        graph = helper.make_graph([node.proto], "constant", inputs, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
        with np.errstate(all="ignore"):
            return list(ReferenceEvaluator(model).run(None, values))
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
