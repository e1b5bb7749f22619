"""An ONNX operator said by others: nodes that are imported one by one in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from onnx import AttributeProto, helper

from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode
from codegen.tensor import Array, Shape, TensorType

OPSET = 21  # whose forms the nodes have


class Steps:
    """Called with an operator, names of tensors ("" for an absent one) and attributes (`to_` for `to`) it gives the
    name of the result; `to` is the name that the result is to have.
    """

    def __init__(self, node: OnnxNode, builder: GraphBuilder) -> None:
        self._node, self._builder, self._count = node, builder, 0

    def __call__(self, op_type: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        return self.several(op_type, inputs, [to or self.fresh(op_type)], **attributes)[0]

    def several(
        self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> tuple[str, ...]:
        """An operator of several outputs, of which "" is not wanted."""
        renamed = {name.rstrip("_"): value for name, value in attributes.items()}
        proto = helper.make_node(op_type, list(inputs), list(outputs), **renamed)
        proto.name = f"{self._node.name}/{op_type}"
        self._builder.expand(self._node, [proto], sets={"": OPSET}, is_step=True)
        return tuple(outputs)

    def copied(
        self, op_type: str, inputs: Sequence[str], attributes: Iterable[AttributeProto], to: str = ""
    ) -> str:
        """An operator with attributes as another node has them."""
        result = to or self.fresh(op_type)
        proto = helper.make_node(op_type, list(inputs), [result], name=f"{self._node.name}/{op_type}")
        proto.attribute.extend(attributes)
        self._builder.expand(self._node, [proto], sets={"": OPSET}, is_step=True)
        return result

    def constant(self, value: Any, dtype: str = "") -> str:
        """The name of a new constant."""
        array: Array = np.asarray(value, dtype=dtype or None)
        name = self.fresh("constant")
        self._builder.define_constant(self._node, name, array)
        return name

    def integers(self, *values: int) -> str:
        """The name of a new constant list of integers."""
        return self.constant(values, "int64")

    def cast(self, tensor: str, dtype: str, to: str = "") -> str:
        """The tensor with elements of another type."""
        number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self("Cast", tensor, to=to, to_=number)

    def type(self, tensor: str) -> TensorType:
        """The type of a tensor, computed or constant."""
        return self._builder.type_by_name(tensor)

    def shape(self, tensor: str) -> Shape:
        """The shape of a tensor, computed or constant."""
        return self.type(tensor).shape

    def fresh(self, what: str) -> str:
        """A name that no tensor has."""
        self._count += 1
        return self._builder.free_tensor(f"{self._node.name}/{what}_{self._count}")
