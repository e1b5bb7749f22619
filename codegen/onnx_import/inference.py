"""Types of what a node writes by ONNX's own inference, where no handler says them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import onnx
from onnx import AttributeProto, GraphProto, TensorProto, TypeProto, helper, numpy_helper, shape_inference

from codegen.errors import ModelError
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.tensors import CONVERTIBLE
from codegen.tensor import TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder

MOST_READ = 1024  # elements of a constant that may decide a shape


def outer_names(node: OnnxNode) -> Iterator[str]:
    """The tensors that a node reads, those that its subgraphs take from around it among them."""
    yield from (name for name in node.inputs if name)
    for attribute in node.attributes.values():
        if attribute.type == AttributeProto.GRAPH:
            yield from _outer_names(attribute.g)


def _outer_names(graph: GraphProto) -> Iterator[str]:
    own = {thing.name for things in (graph.input, graph.initializer) for thing in things}
    own |= {name for proto in graph.node for name in proto.output}
    for proto in graph.node:
        yield from (name for name in proto.input if name and name not in own)
        for attribute in proto.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from (name for name in _outer_names(attribute.g) if name not in own)


def inferred_types(node: OnnxNode, builder: GraphBuilder) -> dict[str, TensorType]:
    """The types of those outputs whose shapes are certain, by name; empty where inference fails."""
    names = [name for name in node.inputs if name]
    if any(attribute.type == AttributeProto.GRAPH for attribute in node.attributes.values()):
        return {}
    try:
        schema: Any = onnx.defs.get_schema(node.op_type, node.opset, node.domain)
        types = {name: type_proto(builder.type_by_name(name)) for name in names}
        found = shape_inference.infer_node_outputs(
            schema,
            node.proto,
            types,
            {name: value for name in names if (value := _small_constant(name, builder)) is not None},
            opset_imports=[helper.make_opsetid(node.domain, node.opset)],
        )
    except (
        onnx.defs.SchemaError,
        onnx.checker.ValidationError,
        shape_inference.InferenceError,
        KeyError,
        ModelError,
        RuntimeError,
        TypeError,
        ValueError,
    ):
        return {}
    return {name: type_ for name, proto in found.items() if (type_ := _fixed(proto)) is not None}


def type_proto(type_: TensorType) -> TypeProto:
    """The type in ONNX's words."""
    element = helper.np_dtype_to_tensor_dtype(type_.element_type.dtype)
    return helper.make_tensor_type_proto(element, type_.shape)


def _small_constant(name: str, builder: GraphBuilder) -> TensorProto | None:
    if not builder.is_constant(name):
        return None
    value = builder.value(name)
    return numpy_helper.from_array(value, name) if value.size <= MOST_READ else None


def _fixed(proto: TypeProto) -> TensorType | None:
    tensor = proto.tensor_type
    sizes = [dim.dim_value for dim in tensor.shape.dim]
    if not tensor.HasField("shape") or tensor.elem_type not in CONVERTIBLE or min(sizes, default=1) < 1:
        return None
    return TensorType(tuple(sizes), str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
