"""Elementwise operators: one operator of the IR, and a table with a line for each of ONNX's.

A line is a function of operands that gives an expression; its keyword-only parameters are the ONNX operator's
attributes with their defaults. Packages add lines by entry points of the group `explore.expressions`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Literal

import numpy as np

from codegen.element_type import FLOAT32
from codegen.errors import GraphSpecError
from codegen.expression import (
    LARGEST,
    RESULT,
    Constant,
    Expression,
    Operand,
    apply,
    as_clamp,
    clamp,
    less,
    maximum,
    minimum,
    select,
    text,
)
from codegen.interval import Interval
from codegen.onnx_import.registry import OnnxHandler, handles, line_parameters
from codegen.operator import Arrays, Operator, Types, broadcast_axis
from codegen.operators.batch_normalization import emit_affine
from codegen.operators.reshape import Reshape
from codegen.operators.typed_map import typed_clip, typed_line
from codegen.tensor import Doubles, FloatArray, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

Line = Callable[..., Expression]


@dataclass(frozen=True)
class Map(Operator):
    """An expression of its inputs and, numbered behind them, its weights; they broadcast as in numpy.

    Fields:
        expression: of the inputs and behind them the weights, element by element
    """

    expression: Expression

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        tensors = (*inputs, *weights)
        if not inputs or {operand.index for operand in self.expression.operands} != set(range(len(tensors))):
            raise GraphSpecError(
                f"Map of {len(inputs)} inputs and {len(weights)} weights by an expression that reads other "
                f"operands: {text(self.expression) or 'x'}"
            )
        shapes = [tensor.shape for tensor in tensors]
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError as error:
            raise GraphSpecError(f"Map of tensors of shapes {shapes}, which do not broadcast") from error
        return (replace(inputs[0], shape=tuple(shape)),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        value = self.expression.evaluate((*inputs, *weights))
        return (np.broadcast_to(value, outputs[0].shape),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (broadcast_axis(axis, inputs[source].shape, outputs[0].shape),)

    def describe(self) -> str:
        return f"Map {text(self.expression)}"

    def fused_with(self, expression: Expression) -> Map:
        return Map(expression.substitute((self.expression,)))

    @property
    def chain_part(self) -> Literal["end"] | None:
        return "end" if as_clamp(self.expression).value == Operand(0) + Operand(1) else None

    def range(self, inputs: Sequence[Interval]) -> Interval:
        known = max((operand.index for operand in self.expression.operands), default=0) + 1 - len(inputs)
        return self.expression.interval((*inputs, *(Interval(-math.inf, math.inf),) * known))


def _exp(x: Expression) -> Expression:
    return apply("exp", x)


def _sigmoid(x: Expression) -> Expression:
    return 1.0 / (1.0 + _exp(-x))


def _hard_sigmoid(x: Expression, *, alpha: float = 0.2, beta: float = 0.5) -> Expression:
    return clamp(alpha * x + beta, 0.0, 1.0)


def _shrink(x: Expression, *, lambd: float = 0.5, bias: float = 0.0) -> Expression:
    return select(less(x, -lambd), x + bias, select(less(lambd, x), x - bias, 0.0))


def _softplus(x: Expression) -> Expression:
    return maximum(x, 0.0) + apply("log1p", _exp(-abs(x)))


def _leaky(x: Expression, slope: Expression | float) -> Expression:
    return select(less(x, 0.0), slope * x, x)


def _elu(x: Expression, alpha: float) -> Expression:
    return select(less(x, 0.0), alpha * apply("expm1", x), x)


def _gelu(x: Expression, *, approximate: str = "none") -> Expression:
    if approximate == "tanh":
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))
        return x * _sigmoid(2.0 * inner)  # (1 + tanh(z)) / 2, without its cancellation
    if approximate != "none":
        raise GraphSpecError(f"attribute approximate is {approximate!r}; it may be none or tanh")
    return 0.5 * x * apply("erfc", x * -math.sqrt(0.5))


def _power(x: Expression, y: Expression) -> Expression:
    if isinstance(y, Constant) and y.value in (1.0, 2.0):
        return x if y.value == 1.0 else x * x
    return apply("pow", x, y)


def _sum(*x: Expression) -> Expression:
    return reduce(add, x)


EXPRESSIONS: Mapping[str, Line] = {
    "Abs": lambda x: abs(x),
    "Add": lambda x, y: x + y,
    "Ceil": lambda x: -apply("floor", -x),
    "Celu": lambda x, *, alpha=1.0: maximum(x, 0.0) + minimum(alpha * apply("expm1", x / alpha), 0.0),
    "Div": lambda x, y: x / y,
    "Elu": lambda x, *, alpha=1.0: _elu(x, alpha),
    "Erf": lambda x: apply("erf", x),
    "Exp": _exp,
    "Floor": lambda x: apply("floor", x),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda x: x * _hard_sigmoid(x, alpha=1.0 / 6.0),
    "LeakyRelu": lambda x, *, alpha=0.01: _leaky(x, alpha),
    "Log": lambda x: apply("log", x),
    "Max": maximum,
    "Mean": lambda *x: _sum(*x) * (1.0 / len(x)),
    "Min": minimum,
    "Mish": lambda x: x * apply("tanh", _softplus(x)),
    "Mul": lambda x, y: x * y,
    "Neg": lambda x: -x,
    "PRelu": _leaky,
    "Pow": _power,
    "Reciprocal": lambda x: 1.0 / x,
    "Relu": lambda x: maximum(x, 0.0),
    "Selu": lambda x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875: (
        gamma * _elu(x, alpha)
    ),
    "Shrink": _shrink,
    "Sigmoid": _sigmoid,
    "Sign": lambda x: select(less(x, 0.0), -1.0, select(less(0.0, x), 1.0, x)),
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1.0 + abs(x)),
    "Sqrt": lambda x: apply("sqrt", x),
    "Sub": lambda x, y: x - y,
    "Sum": _sum,
    "Swish": lambda x, *, alpha=1.0: x * _sigmoid(alpha * x),
    "Tanh": lambda x: apply("tanh", x),
    "ThresholdedRelu": lambda x, *, alpha=1.0: select(less(alpha, x), x, 0.0),
}


PAIRWISE = ("Max", "Min", "Sum")
"""Operators of any number of operands that may be taken two by two."""


def handler_of(name: str, line: Line) -> OnnxHandler:
    """The ONNX handler of a line of the table; `name` is `domain.Operator` for another operator set than ONNX's."""
    domain, _, op_type = name.rpartition(".")

    def handler(node: OnnxNode, builder: GraphBuilder) -> None:
        _emit_line(node, builder, line)

    return OnnxHandler(op_type, "elementwise; activations and constants that broadcast", handler, domain)


@handles("Clip", "ends by attribute or by constant input, either may be missing")
def clip(node: OnnxNode, builder: GraphBuilder) -> None:
    """Clip to a clamp; without an end it does nothing."""
    ends = [index for index in (1, 2) if node.has_input(index)]
    are_known = all(builder.is_constant(node.input(index)) for index in ends)
    if not are_known or builder.type(node).dtype != FLOAT32.name:
        typed_clip(node, builder)
        return
    tensor = builder.activation(node)
    if node.opset < 11:
        low, high = node.real("min", -LARGEST), node.real("max", LARGEST)
    else:
        low, high = _end(node, builder, 1, -LARGEST), _end(node, builder, 2, LARGEST)
    _emit(node, builder, clamp(RESULT, max(low, -LARGEST), min(high, LARGEST)), [tensor], {})


def _end(node: OnnxNode, builder: GraphBuilder, index: int, default: float) -> float:
    if not node.has_input(index):
        return default
    value = builder.weight(node, index)
    if value.size != 1:
        raise node.malformed(f"input {index} has {value.size} elements, not one")
    if math.isnan(float(value.reshape(-1)[0])):
        raise node.unsupported(f"input {index} is not a number", "export the model with a number")
    return float(value.reshape(-1)[0])


def _emit_line(node: OnnxNode, builder: GraphBuilder, line: Line) -> None:
    """Constants that are one number become constants of the expression, others weights of the Map."""
    indices = range(len(node.inputs))
    if any(
        builder.type(node, index).dtype != FLOAT32.name
        for index in indices
        if not builder.is_constant(node.input(index))
    ):
        typed_line(node, builder, line, line_parameters(line, node))
        return
    computed = [index for index in indices if not builder.is_constant(node.input(index))]
    tensors = [builder.activation(node, index) for index in computed]
    constants = {index: builder.number(node, index) for index in indices if index not in computed}
    if len(computed) == 1 and _emit_as_affine(node, builder, tensors[0], computed[0], constants):
        return
    if len(tensors) > 2 and node.op_type in PAIRWISE:
        tensors = _folded(node, builder, line, tensors)
        computed = computed[:2]
    try:
        shape = np.broadcast_shapes(*(builder.shape_of(tensor) for tensor in tensors))
    except ValueError as error:
        raise node.malformed(f"its operands do not broadcast: {error}") from error
    operands: dict[int, Expression] = {index: Operand(place) for place, index in enumerate(computed)}
    weights: dict[str, FloatArray] = {}
    for index, value in constants.items():
        if value.size == 1 and value.ndim <= len(shape) and np.isfinite(value).all():
            operands[index] = Constant(float(value.reshape(-1)[0]))
        else:
            operands[index] = Operand(len(tensors) + len(weights))
            weights[f"operand_{index}"] = value
    attributes = line_parameters(line, node)
    try:
        expression = line(*(operands[index] for index in sorted(operands)), **attributes)
    except (GraphSpecError, TypeError) as error:
        raise node.malformed(str(error)) from error
    _emit(node, builder, expression, tensors, weights)


def _folded(node: OnnxNode, builder: GraphBuilder, line: Line, tensors: Sequence[str]) -> list[str]:
    """All tensors but the last as one: each step of two, so that any engine has it, however many there are."""
    result = tensors[0]
    for tensor in tensors[1:-1]:
        op = Map(line(Operand(0), Operand(1)))
        result = builder.emit(node, op, (result, tensor), step=node.op_type.lower())
    return [result, tensors[-1]]


def _emit(
    node: OnnxNode,
    builder: GraphBuilder,
    expression: Expression,
    tensors: Sequence[str],
    weights: Mapping[str, FloatArray],
) -> None:
    if expression == RESULT:  # a pass removes it
        builder.emit(node, Reshape(), tensors[0], shape=builder.shape_of(tensors[0]))
    else:
        builder.emit(node, Map(expression), tensors, weights)


def _emit_as_affine(
    node: OnnxNode, builder: GraphBuilder, tensor: str, position: int, constants: Mapping[int, FloatArray]
) -> bool:
    """x + c, x - c, c - x, x * c and x / c with one number for each channel, as a normalisation."""
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(constants) != 1:
        return False
    (value,) = constants.values()
    shape = builder.shape_of(tensor)
    aligned = (1,) * (len(shape) - value.ndim) + value.shape
    varying = {axis for axis, size in enumerate(aligned) if size != 1}
    if len(shape) < 2 or len(aligned) != len(shape) or not varying <= {1} or aligned[1] not in (1, shape[1]):
        return False
    if node.op_type == "Div" and (position == 1 or not np.all(value)):
        return False
    constant, one = value.reshape(-1), np.ones(1, dtype=np.float32)
    affine: dict[str, tuple[FloatArray, FloatArray]] = {
        "Add": (one, constant),
        "Sub": (one, -constant) if position == 0 else (-one, constant),
        "Mul": (constant, 0.0 * one),
        "Div": (np.float32(1.0) / (constant if node.op_type == "Div" else one), 0.0 * one),
    }
    emit_affine(node, builder, tensor, *affine[node.op_type])
    return True
