"""Elementwise layers over any element types, and changes of the element type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.element_type import element_type
from codegen.errors import GraphSpecError
from codegen.expression import Constant, Expression, Operand, apply, less, maximum, minimum, select, text
from codegen.onnx_import.registry import OnnxHandler, handles
from codegen.operator import Arrays, Operator, Types, broadcast_axis
from codegen.operators.reshape import Reshape
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class TypedMap(Operator):
    """An expression of inputs that broadcast as in numpy, computed by the arithmetic of the element type `computed` (of
    float16 by that of float32); results are converted to `result`.

    Fields:
        expression: of the inputs, element by element
        computed: name of the element type whose arithmetic is taken
        result: name of the output's element type
    """

    expression: Expression
    computed: str
    result: str

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        used = {operand.index for operand in self.expression.operands}
        if not inputs or weights or used != set(range(len(inputs))):
            raise GraphSpecError(
                f"TypedMap of {len(inputs)} inputs and {len(weights)} weights by an expression of {len(used)} operands"
            )
        shapes = [tensor.shape for tensor in inputs]
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError as error:
            raise GraphSpecError(f"TypedMap of tensors of shapes {shapes}, which do not broadcast") from error
        return (TensorType(tuple(shape), self.result),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        computed, result = element_type(self.computed), element_type(self.result)
        dtype = computed.dtype
        if computed.is_floating:  # a float16 is computed with as what C computes with
            dtype = np.dtype(np.float64 if computed.c_value == "double" else np.float32)
        with np.errstate(all="ignore"):
            value = self.expression.typed_value([np.asarray(array).astype(dtype) for array in inputs])
            if not computed.is_floating and value.dtype.kind == "f":
                value = np.trunc(value).astype(dtype)  # an integer quotient
            if not result.is_floating:
                value = value.astype(result.dtype)
        return (np.broadcast_to(value.astype(np.float64), outputs[0].shape),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (broadcast_axis(axis, inputs[source].shape, outputs[0].shape),)

    def describe(self) -> str:
        return f"TypedMap {text(self.expression) or 'x'} in {self.computed} to {self.result}"


BOOL = "bool"


def _not(x: Expression) -> Expression:
    return apply("not", x)


def _unary(name: str) -> Callable[[Expression], Expression]:
    return lambda x: apply(name, x)


def _binary(name: str) -> Callable[..., Expression]:
    return lambda x, y: apply(name, x, y)


TYPED_EXPRESSIONS: Mapping[str, Callable[..., Expression]] = {
    "Acos": _unary("acos"),
    "Acosh": _unary("acosh"),
    "Asin": _unary("asin"),
    "Asinh": _unary("asinh"),
    "Atan": _unary("atan"),
    "Atanh": _unary("atanh"),
    "BitwiseAnd": _binary("bitand"),
    "BitwiseNot": _unary("bitnot"),
    "BitwiseOr": _binary("bitor"),
    "BitwiseXor": _binary("bitxor"),
    "Cos": _unary("cos"),
    "Cosh": _unary("cosh"),
    "Round": _unary("round"),
    "Sin": _unary("sin"),
    "Sinh": _unary("sinh"),
    "Tan": _unary("tan"),
}
"""Of operands of one element type, which is the result's."""

TRUTHS: Mapping[str, Callable[..., Expression]] = {
    "And": _binary("and"),
    "Equal": lambda x, y: apply("equal", x, y),
    "Greater": lambda x, y: less(y, x),
    "GreaterOrEqual": lambda x, y: apply("or", less(y, x), apply("equal", x, y)),
    "IsNaN": _unary("isnan"),
    "Less": less,
    "LessOrEqual": lambda x, y: apply("or", less(x, y), apply("equal", x, y)),
    "Not": _not,
    "Or": _binary("or"),
    "Xor": _binary("xor"),
}
"""The same with results that are truth values."""


def emit_typed(
    node: OnnxNode,
    builder: GraphBuilder,
    expression: Expression,
    tensors: Sequence[str],
    *,
    computed: str = "",
    result: str = "",
    step: str = "",
    outputs: Sequence[str] | None = None,
) -> str:
    """A TypedMap of activations, in the first one's element type unless others are given."""
    own = builder.type_of(tensors[0]).dtype
    op = TypedMap(expression, computed or own, result or computed or own)
    return builder.emit(node, op, tensors, step=step, outputs=outputs)


def _handler(op_type: str, line: Callable[..., Expression], result: str) -> OnnxHandler:
    def handler(node: OnnxNode, builder: GraphBuilder) -> None:
        tensors = [builder.tensor(node, index) for index in range(len(node.inputs))]
        try:
            expression = line(*map(Operand, range(len(tensors))))
        except TypeError as error:
            raise node.malformed(str(error)) from error
        emit_typed(node, builder, expression, tensors, result=result)

    return OnnxHandler(op_type, "all", handler)


HANDLERS = tuple(
    _handler(name, line, result)
    for lines, result in ((TYPED_EXPRESSIONS, ""), (TRUTHS, BOOL))
    for name, line in lines.items()
)


@handles("Where", "all")
def where(node: OnnxNode, builder: GraphBuilder) -> None:
    """Where in the element type of its branches."""
    tensors = [builder.tensor(node, index) for index in range(3)]
    expression = select(Operand(0), Operand(1), Operand(2))
    emit_typed(node, builder, expression, tensors, computed=builder.type_of(tensors[1]).dtype)


@handles("Cast", "between floating types of 16 to 64 bits, integers and bool")
def cast(node: OnnxNode, builder: GraphBuilder) -> None:
    """Cast as a TypedMap that changes nothing else."""
    _emit_cast(node, builder, builder.tensor(node), node.element_type("to"))


@handles("CastLike", "as Cast")
def cast_like(node: OnnxNode, builder: GraphBuilder) -> None:
    """Cast to the type of another tensor, whose elements do not matter."""
    dtype = builder.type(node, 1).dtype
    if builder.is_constant(node.input(0)):
        with np.errstate(all="ignore"):
            builder.define_constant(node, node.output, np.asarray(builder.constant(node, 0).astype(dtype)))
    else:
        _emit_cast(node, builder, builder.activation(node), dtype)


def _emit_cast(node: OnnxNode, builder: GraphBuilder, tensor: str, result: str) -> None:
    if builder.type_of(tensor).dtype == result:  # a pass removes it
        builder.emit(node, Reshape(), tensor, shape=builder.shape_of(tensor))
    else:
        emit_typed(node, builder, Operand(0), [tensor], result=result)


@handles("Mod", "all")
def mod(node: OnnxNode, builder: GraphBuilder) -> None:
    """Mod of the divisor's sign, or with `fmod` of the dividend's."""
    name = "fmod" if node.flag("fmod") else "mod"
    emit_typed(
        node, builder, apply(name, Operand(0), Operand(1)), [builder.tensor(node, i) for i in range(2)]
    )


@handles("BitShift", "all")
def bit_shift(node: OnnxNode, builder: GraphBuilder) -> None:
    """BitShift by elements of a second tensor."""
    direction = node.text("direction", "")
    if direction not in ("LEFT", "RIGHT"):
        raise node.malformed(f"attribute direction is {direction!r}; it may be LEFT, RIGHT")
    name = "shl" if direction == "LEFT" else "shr"
    emit_typed(
        node, builder, apply(name, Operand(0), Operand(1)), [builder.tensor(node, i) for i in range(2)]
    )


@handles("IsInf", "all")
def is_inf(node: OnnxNode, builder: GraphBuilder) -> None:
    """IsInf of one sign or both."""
    x: Expression = Operand(0)
    found = apply("isinf", x)
    if not node.integer("detect_negative", 1):
        found = apply("and", found, less(0.0, x))
    if not node.integer("detect_positive", 1):
        found = apply("and", found, less(x, 0.0))
    emit_typed(node, builder, found, [builder.tensor(node)], result=BOOL)


def typed_line(
    node: OnnxNode, builder: GraphBuilder, line: Callable[..., Expression], attributes: Mapping[str, object]
) -> None:
    """A line of `codegen.operators.elementwise` over other element types than float32."""
    tensors = [builder.tensor(node, index) for index in range(len(node.inputs))]
    own = builder.type_of(tensors[0]).dtype
    computed = own
    if len({builder.type_of(tensor).dtype for tensor in tensors}) > 1:  # Pow
        computed = "float64"
    try:
        expression = line(*map(Operand, range(len(tensors))), **attributes)
    except (GraphSpecError, TypeError) as error:
        raise node.malformed(str(error)) from error
    emit_typed(node, builder, expression, tensors, computed=computed, result=own)


def typed_clip(node: OnnxNode, builder: GraphBuilder) -> None:
    """Clip with ends that may be computed, in any element type."""
    tensors, expression = [builder.tensor(node)], Operand(0)
    clipped: Expression = expression
    for index, function in ((1, maximum), (2, minimum)):
        if node.has_input(index):
            clipped = function(clipped, Operand(len(tensors)))
            tensors.append(builder.tensor(node, index))
    if node.opset < 11:
        clipped = minimum(maximum(clipped, Constant(node.real("min", -3.4e38))), node.real("max", 3.4e38))
    emit_typed(node, builder, clipped, tensors)
