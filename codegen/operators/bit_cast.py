"""The same bits as elements of another type of the same width: BitCast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codegen.element_type import element_type
from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class BitCast(Operator):
    """Elements of type `source`, read as elements of type `result`.

    Fields:
        source: name of the input's element type
        result: name of the output's element type
    """

    source: str
    result: str

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        tensor = sole_input(self, inputs, weights, 0)
        widths = {element_type(name).size_bytes for name in (self.source, self.result)}
        if tensor.dtype != self.source or len(widths) != 1:
            raise GraphSpecError(f"{self.describe()} of elements of {tensor.dtype}")
        return (TensorType(tensor.shape, self.result),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        bits = inputs[0].astype(element_type(self.source).dtype)
        return (bits.view(element_type(self.result).dtype).astype("float64"),)

    def carried(self, axis: int, source: int, inputs: Types, outputs: Types) -> tuple[int | None, ...]:
        return (axis,)

    def describe(self) -> str:
        return f"BitCast {self.source} to {self.result}"


@handles("BitCast", "between element types of one width")
def bit_cast(node: OnnxNode, builder: GraphBuilder) -> None:
    """BitCast as a copy under another type."""
    tensor, result = builder.tensor(node), node.element_type("to")
    builder.emit(node, BitCast(builder.type_of(tensor).dtype, result), tensor)
