"""The LSTM that onnxruntime's dynamic quantiser writes: a loop of exact products of integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import GraphProto, helper

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

DOMAIN = "com.microsoft"
USUAL = ("sigmoid", "tanh", "tanh")
GATES = 4


@handles("DynamicQuantizeLSTM", "usual activations; without peepholes, lengths, clipping", DOMAIN)
def dynamic_quantize_lstm(node: OnnxNode, builder: GraphBuilder) -> None:
    """The input is quantised as a whole, the state of each step before it is multiplied."""
    if any(node.has_input(index) for index in (4, 7)) or node.real("clip", 0.0) or node.flag("input_forget"):
        raise node.unsupported("it has peepholes, lengths or a clip", "quantise the model without it")
    names = {"forward": ("forward",), "reverse": ("reverse",), "bidirectional": ("forward", "reverse")}
    directions = names.get(node.text("direction", "forward"), ())
    activations = [name.lower() for name in node.texts("activations")]
    if activations not in ([], [*USUAL], [*USUAL] * 2):
        raise node.unsupported(f"its activations are {activations}", f"quantise the model with {USUAL}")
    steps = Steps(node, builder)
    if len(directions) != steps.shape(node.input(1))[0] or len(steps.shape(node.input(0))) != 3:
        raise node.malformed(f"its weights of shape {steps.shape(node.input(1))} are not of its directions")
    found = [_direction(node, steps, index, way == "reverse") for index, way in enumerate(directions)]
    for place, axis in enumerate((1, 0, 0)):
        if place < len(node.outputs) and node.outputs[place]:
            parts = [steps("Unsqueeze", one[place], steps.integers(axis)) for one in found]
            steps("Concat", *parts, to=node.outputs[place], axis=axis)


def _direction(node: OnnxNode, steps: Steps, index: int, backward: bool) -> tuple[str, str, str]:
    """States (S, N, H) of one direction, its last state and its last cell (N, H)."""
    place = steps.constant(index, "int64")

    def own(number: int) -> str:
        return steps("Gather", node.input(number), place, axis=0)

    def point(number: int) -> str:
        """A zero point: one for all, or one of each column."""
        return own(number) if node.has_input(number) else steps.constant(0, steps.type(node.input(1)).dtype)

    weights, recurrence = own(1), own(2)
    _, batch, _ = steps.shape(node.input(0))
    hidden = steps.shape(recurrence)[0]
    quantized = [steps.fresh(name) for name in ("quantized", "scale", "zero")]
    steps.several("DynamicQuantizeLinear", [node.input(0)], quantized)
    product = steps.cast(steps("MatMulInteger", quantized[0], weights, quantized[2], point(9)), "float32")
    product = steps("Mul", product, steps("Mul", quantized[1], own(8)))
    if node.has_input(3):
        both = steps("Reshape", own(3), steps.integers(2, GATES * hidden))
        product = steps("Add", product, steps("ReduceSum", both, steps.integers(0), keepdims=0))
    zeros = np.zeros((batch, hidden), np.float32)
    states = [own(number) if node.has_input(number) else steps.constant(zeros) for number in (5, 6)]
    body = _body(steps.fresh("step"), recurrence, own(10), point(11))
    names = [steps.fresh(name) for name in ("last", "cell", "states")]
    ways = {"scan_input_directions": [int(backward)], "scan_output_directions": [int(backward)]}
    steps.several("Scan", [*states, product], names, body=body, num_scan_inputs=1, **ways)
    return names[2], names[0], names[1]


def _body(prefix: str, recurrence: str, scale: str, zero: str) -> GraphProto:
    """One step: (state, cell, products of the input) to (state, cell, state); gates are input, output, forget, cell."""
    lines = (
        "DynamicQuantizeLinear state -> q s z",
        f"MatMulInteger q {recurrence} z {zero} -> whole",
        "Cast whole -> real",
        f"Mul s {scale} -> factor",
        "Mul real factor -> recurrent",
        "Add given recurrent -> all",
        "Split all -> i o f c",
        "Sigmoid i -> input",
        "Sigmoid o -> output",
        "Sigmoid f -> forget",
        "Tanh c -> candidate",
        "Mul forget cell -> kept",
        "Mul input candidate -> added",
        "Add kept added -> next_cell",
        "Tanh next_cell -> shown",
        "Mul output shown -> next",
        "Identity next -> row",
    )
    outer = {recurrence, scale, zero}

    def named(text: str) -> list[str]:
        return [name if name in outer else f"{prefix}/{name}" for name in text.split()]

    nodes = []
    for line in lines:
        op_type, rest = line.split(" ", 1)
        taken, written = rest.split(" -> ")
        attributes: dict[str, Any] = {"Cast": {"to": 1}, "Split": {"axis": -1, "num_outputs": GATES}}.get(
            op_type, {}
        )
        nodes.append(helper.make_node(op_type, named(taken), named(written), **attributes))
    inputs, outputs = named("state cell given"), named("next next_cell row")
    read, given = (
        [helper.make_tensor_value_info(name, 1, None) for name in names] for names in (inputs, outputs)
    )
    return helper.make_graph(nodes, prefix, read, given)
