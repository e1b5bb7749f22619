"""An ONNX node with a unique name and typed access to its attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import AttributeProto, NodeProto, TensorProto, helper

from codegen.errors import ModelError, UnsupportedOperatorError, UnsupportedTypeError
from codegen.onnx_import.tensors import CONVERTIBLE, type_name

MALFORMED = "; the model is malformed, export it again"

Pair = tuple[int, int]


@dataclass(frozen=True)
class OnnxNode:
    """One node of the model. An input or output whose name is empty is absent."""

    name: str
    op_type: str
    domain: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeProto]
    proto: NodeProto

    @staticmethod
    def of(proto: NodeProto, name: str, opset: int) -> OnnxNode:
        """The view of a node; raises ModelError where it has no output that has a name."""
        attributes = {attribute.name: attribute for attribute in proto.attribute}
        inputs, outputs = tuple(proto.input), tuple(proto.output)
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        node = OnnxNode(name, proto.op_type, domain, opset, inputs, outputs, attributes, proto)
        if not any(outputs):
            raise node.malformed("it has no output")
        return node

    @property
    def where(self) -> str:
        return f"node {self.name!r} ({self.op_type}, opset {self.opset})"

    @property
    def output(self) -> str:
        """The name of its first output; of one that is absent, a name that nothing else has."""
        return self.outputs[0] or f"{self.name}/output"

    def has_input(self, index: int) -> bool:
        return index < len(self.inputs) and bool(self.inputs[index])

    def input(self, index: int) -> str:
        """The name of an input that must be there."""
        if not self.has_input(index):
            raise self.malformed(f"input {index} is missing")
        return self.inputs[index]

    def malformed(self, reason: str) -> ModelError:
        """The error for a node that ONNX does not allow."""
        return ModelError(f"{self.where}: {reason}{MALFORMED}")

    def unsupported(self, reason: str, remedy: str) -> UnsupportedOperatorError:
        """The error for what ONNX allows and the project does not know."""
        return UnsupportedOperatorError(f"{self.where}: {reason}; {remedy}")

    def integer(self, name: str, default: int) -> int:
        attribute = self._attribute(name, AttributeProto.INT)
        return default if attribute is None else int(attribute.i)

    def flag(self, name: str) -> bool:
        """An integer attribute that means no (0, the default) or yes."""
        return self.integer(name, 0) != 0

    def real(self, name: str, default: float) -> float:
        attribute = self._attribute(name, AttributeProto.FLOAT)
        value = default if attribute is None else float(attribute.f)
        if math.isnan(value):
            raise self.unsupported(f"attribute {name} is not a number", "export the model with a number")
        return value

    def axis(self, value: int, rank: int) -> int:
        """An axis of a tensor of that rank, counted from the front; raises ModelError where it is outside."""
        if not -rank <= value < rank:
            raise self.malformed(f"axis {value} is outside a tensor of {rank} dimensions")
        return value + rank if value < 0 else value

    def text(self, name: str, default: str) -> str:
        attribute = self._attribute(name, AttributeProto.STRING)
        return default if attribute is None else attribute.s.decode("utf-8", errors="replace")

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list attribute, or None where it is absent."""
        attribute = self._attribute(name, AttributeProto.INTS)
        return None if attribute is None else tuple(int(value) for value in attribute.ints)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list attribute; empty where it is absent."""
        attribute = self._attribute(name, AttributeProto.STRINGS)
        return () if attribute is None else tuple(s.decode("utf-8", "replace") for s in attribute.strings)

    def reals(self, name: str) -> tuple[float, ...]:
        """A list attribute; empty where it is absent."""
        attribute = self._attribute(name, AttributeProto.FLOATS)
        return () if attribute is None else tuple(float(value) for value in attribute.floats)

    def pair(self, name: str, default: Pair | None = None) -> Pair:
        """A (height, width) attribute of positive integers; without a default it is required."""
        values = self.integers(name)
        if values is None:
            if default is None:
                raise self.malformed(f"attribute {name} is missing")
            return default
        if len(values) != 2 or min(values) < 1:
            raise self.malformed(f"attribute {name} is {list(values)}, not two positive integers")
        return values[0], values[1]

    def element_type(self, name: str, default: int = 0) -> str:
        """The name of the element type that an attribute numbers, the default's where it is undefined; raises
        UnsupportedTypeError for others.
        """
        number = self.integer(name, default) or default
        if number not in CONVERTIBLE:
            raise UnsupportedTypeError(
                f"{self.where}: attribute {name} asks for elements of {type_name(number)}; supported are float16 to "
                "float64, integers of 8 to 64 bits and bool; export the model with these"
            )
        return str(helper.tensor_dtype_to_np_dtype(number))

    def tensor(self, name: str) -> TensorProto | None:
        attribute = self._attribute(name, AttributeProto.TENSOR)
        return None if attribute is None else attribute.t

    def _attribute(self, name: str, kind: AttributeProto.AttributeType) -> AttributeProto | None:
        attribute = self.attributes.get(name)
        if attribute is None:
            return None
        if attribute.ref_attr_name:
            raise self.malformed(f"attribute {name} refers to a function's attribute")
        if attribute.type != kind:
            raise self.malformed(
                f"attribute {name} is of another type than {AttributeProto.AttributeType.Name(kind)}"
            )
        return attribute
