"""Nodes put in the place of one node: bodies of functions and of subgraphs, under names that nothing else has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto, TypeProto, helper

from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.inference import type_proto
from codegen.onnx_import.node import OnnxNode

Attributes = Mapping[str, AttributeProto]
WRITTEN_EARLY = {"LayerNormalization": 17}
"""Functions that onnxruntime's optimiser writes into models of older operator sets, and the set that has them first."""


def is_function(node: OnnxNode) -> bool:
    """Whether the operator set says what a node of it is, whatever types its inputs have."""
    try:
        schema: Any = onnx.defs.get_schema(node.op_type, _set_of(node), node.domain)
    except (onnx.defs.SchemaError, TypeError):
        return False
    return bool(schema.has_function or schema.context_dependent_function_opset_versions)


def _set_of(node: OnnxNode) -> int:
    return node.opset if node.domain else max(node.opset, WRITTEN_EARLY.get(node.op_type, 0))


def function_of(node: OnnxNode, builder: GraphBuilder) -> FunctionProto | None:
    """What the operator set says that a node of it is, as a function of other operators; None: it is primitive."""
    opset = _set_of(node)
    try:
        schema: Any = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except (onnx.defs.SchemaError, TypeError):  # the latter for a name that is no UTF-8
        return None
    versions = schema.function_opset_versions if schema.has_function else []
    contextual = schema.context_dependent_function_opset_versions
    data = b""
    if any(version <= opset for version in versions):
        data = schema.get_function_with_opset_version(max(v for v in versions if v <= opset))
    elif any(version <= opset for version in contextual):
        types = [_type_proto(node, index, builder).SerializeToString() for index in range(len(node.inputs))]
        version = max(v for v in contextual if v <= opset)
        try:
            data = schema.get_context_dependent_function_with_opset_version(
                version, node.proto.SerializeToString(), types
            )
        except (RuntimeError, ValueError) as error:
            raise node.malformed(f"ONNX cannot say what it computes ({error})") from error
    if not data:
        return None
    function = FunctionProto()
    function.ParseFromString(data)
    defaults = {name: a.default_value for name, a in schema.attributes.items() if a.default_value.name}
    function.attribute_proto.extend(defaults.values())
    return function


def function_nodes(node: OnnxNode, function: FunctionProto) -> tuple[list[NodeProto], Mapping[str, int]]:
    """The nodes of a function called by a node, and the operator sets that they are of, by domain."""
    given: dict[str, AttributeProto] = {a.name: a for a in function.attribute_proto}
    given.update(node.attributes)
    names = _mapping(node, function.input, function.output)
    nodes = [_renamed(proto, names, node.name, given) for proto in function.node]
    nodes += _passed_through(node, function.input, function.output)
    return nodes, {entry.domain: entry.version for entry in function.opset_import}


def graph_nodes(
    prefix: str, graph: GraphProto, inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[list[NodeProto], dict[str, TensorProto]]:
    """The nodes of a subgraph with its inputs bound to tensors, writing `outputs`; and its initializers by name.

    Names of the graphs around it stay what they are.
    """
    local = {tensor.name for tensor in graph.initializer}
    local |= {name for proto in graph.node for name in proto.output if name}
    names = {name: f"{prefix}/{name}" for name in local}
    names.update(zip((info.name for info in graph.input), inputs, strict=True))
    written = [info.name for info in graph.output]
    produced = {name for proto in graph.node for name in proto.output}
    copies = []
    for name, target in zip(written, outputs, strict=True):
        if name in produced and names[name] == f"{prefix}/{name}":
            names[name] = target
        elif target:
            copies.append((name, target))
    nodes = [_renamed(proto, names, "", {}) for proto in graph.node]
    nodes += [helper.make_node("Identity", [names.get(name, name)], [target]) for name, target in copies]
    return nodes, {names[tensor.name]: tensor for tensor in graph.initializer}


def _mapping(node: OnnxNode, inputs: Iterable[str], outputs: Iterable[str]) -> dict[str, str]:
    names = {name: node.inputs[i] if i < len(node.inputs) else "" for i, name in enumerate(inputs)}
    for index, name in enumerate(outputs):
        given = node.outputs[index] if index < len(node.outputs) else ""
        if name not in names:
            names[name] = given or f"{node.name}/{name}"
    return names


def _passed_through(node: OnnxNode, inputs: Sequence[str], outputs: Sequence[str]) -> list[NodeProto]:
    """Copies of inputs that are outputs too."""
    places = {name: node.inputs[i] for i, name in enumerate(inputs) if i < len(node.inputs)}
    return [
        helper.make_node("Identity", [places[name]], [node.outputs[index]])
        for index, name in enumerate(outputs)
        if name in places and index < len(node.outputs) and node.outputs[index]
    ]


def _renamed(proto: NodeProto, names: Mapping[str, str], prefix: str, given: Attributes) -> NodeProto:
    """A node under other names; with a prefix, what `names` does not list gets it. Attributes of the function become
    those given.
    """

    def name_of(name: str) -> str:
        if not name:
            return ""
        return names.get(name, f"{prefix}/{name}" if prefix else name)

    renewed = NodeProto()
    renewed.CopyFrom(proto)
    renewed.name = f"{prefix}/{proto.name or proto.op_type}" if prefix else proto.name
    renewed.input[:] = [name_of(name) for name in proto.input]
    renewed.output[:] = [name_of(name) for name in proto.output]
    del renewed.attribute[:]
    for attribute in proto.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in given:
                found = renewed.attribute.add()
                found.CopyFrom(given[attribute.ref_attr_name])
                found.name = attribute.name
            continue
        kept = renewed.attribute.add()
        kept.CopyFrom(attribute)
        if attribute.type == AttributeProto.GRAPH:
            _rename_graph(kept.g, names, prefix, given)
    return renewed


def _rename_graph(graph: GraphProto, names: Mapping[str, str], prefix: str, given: Attributes) -> None:
    def name_of(name: str) -> str:
        return names.get(name, f"{prefix}/{name}" if prefix else name)

    nodes = [_renamed(proto, names, prefix, given) for proto in graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    for things in (graph.input, graph.output, graph.initializer):
        for thing in things:
            thing.name = name_of(thing.name)


def _type_proto(node: OnnxNode, index: int, builder: GraphBuilder) -> TypeProto:
    if not node.has_input(index):
        return TypeProto()
    if node.inputs[index] in builder.sequences:
        tensors = builder.sequences.read(node, index)
        elements = type_proto(builder.type_by_name(tensors[0])) if tensors else TypeProto()
        return helper.make_sequence_type_proto(elements)
    return type_proto(builder.type(node, index))
