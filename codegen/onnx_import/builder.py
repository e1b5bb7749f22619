"""The graph under construction, and what is known of the model's tensors so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto

from codegen.errors import GraphSpecError, ModelError, UnsupportedOperatorError
from codegen.graph import Graph, Node, type_of
from codegen.onnx_import.names import Names
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.tensors import to_array
from codegen.operator import Operator
from codegen.tensor import Array, FloatArray, TensorType

MAX_ELEMENTS = 2**28  # one gibibyte: more than any board that this project targets can address

Shape = tuple[int, ...]


class GraphBuilder:
    """Handlers read constants and activations from it and emit nodes into it."""

    def __init__(self, initializers: Mapping[str, TensorProto], directory: Path) -> None:
        self.directory = directory
        self._initializers = initializers
        self._constants: dict[str, Array] = {}
        self._types: dict[str, TensorType] = {}
        self._nodes: list[Node] = []
        self._weights: dict[str, Array] = {}
        self._absent: dict[str, str] = {}
        self._names = Names()
        self._tensors = Names()

    def reserve(self, nodes: set[str], tensors: set[str]) -> None:
        """Names that the model itself uses, which nothing emitted beside them may take."""
        self._names.reserve(nodes)
        self._tensors.reserve(tensors)

    def add_input(self, name: str, shape: Shape) -> None:
        """Declares a graph input."""
        self._define(name, shape, f"input {name!r}")

    def is_constant(self, name: str) -> bool:
        return name in self._constants or name in self._initializers

    def constant(self, node: OnnxNode, index: int) -> Array:
        """The value of an input that must be constant; raises UnsupportedOperatorError where it is not."""
        name = node.input(index)
        if not self.is_constant(name):
            self.activation(node, index)
            raise node.unsupported(
                f"input {index} ({name!r}) is computed from the model's inputs",
                "only a constant is supported here: fold it when exporting",
            )
        if name not in self._constants:
            what = f"initializer {name!r}"
            self._constants[name] = to_array(self._initializers[name], what, self.directory)
        return self._constants[name]

    def weight(self, node: OnnxNode, index: int) -> FloatArray:
        """A constant input that must be float32."""
        value = self.constant(node, index)
        if value.dtype != np.float32:
            raise node.unsupported(
                f"input {index} ({node.inputs[index]!r}) is {value.dtype}",
                "export the model with float32 weights",
            )
        if value.size == 0:
            raise node.malformed(f"input {index} ({node.inputs[index]!r}) of shape {value.shape} is empty")
        return value.astype(np.float32, copy=False)

    def number(self, node: OnnxNode, index: int) -> FloatArray:
        """A constant input of float32, or of integers that float32 holds."""
        value = self.constant(node, index)
        if value.dtype.kind not in "iu":
            return self.weight(node, index)
        single = value.astype(np.float32)
        if not np.array_equal(single.astype(np.float64), value.astype(np.float64)):
            raise node.unsupported(
                f"input {index} ({node.inputs[index]!r}) holds integers that float32 has not",
                "use smaller ones",
            )
        return single

    def bias(self, node: OnnxNode, index: int, channels: int) -> FloatArray:
        """An optional constant input of float32, zeros where it is absent."""
        return self.weight(node, index) if node.has_input(index) else np.zeros(channels, dtype=np.float32)

    def array(self, tensor: TensorProto, what: str) -> Array:
        """The value of a tensor of the model; raises ModelError naming `what`."""
        return to_array(tensor, what, self.directory)

    def integers(self, node: OnnxNode, index: int) -> tuple[int, ...]:
        """A constant input that must be a list of integers."""
        value = self.constant(node, index)
        if value.dtype.kind not in "iu" or value.ndim > 1:
            raise node.malformed(
                f"input {index} is {value.dtype} of shape {value.shape}, not a list of integers"
            )
        return tuple(int(item) for item in value.reshape(-1))

    def activation(self, node: OnnxNode, index: int = 0) -> str:
        """The name of an input that is computed from the model's inputs."""
        name = node.input(index)
        if name in self._types:
            return name
        if name in self._absent:
            raise UnsupportedOperatorError(
                f"{node.where}: reads {name!r}, which {self._absent[name]} gives in training only or as an "
                "optional output that is not supported; export the model for inference"
            )
        if self.is_constant(name):
            raise node.unsupported(
                f"input {index} ({name!r}) is constant", "only a computed tensor is supported here"
            )
        raise node.malformed(f"reads {name!r}, which no earlier node writes")

    def shape(self, node: OnnxNode, index: int = 0) -> Shape:
        """The shape of a computed input."""
        return self._types[self.activation(node, index)].shape

    def shape_of(self, tensor: str) -> Shape:
        """The shape of an activation by name."""
        return self._types[tensor].shape

    def define_constant(self, node: OnnxNode, name: str, value: Array) -> None:
        """Makes a tensor of the model known as a constant."""
        self._refuse_second(name, node.where)
        self._constants[name] = value

    def emit(
        self,
        node: OnnxNode,
        op: Operator,
        tensors: str | Sequence[str],
        weights: Mapping[str, FloatArray] | None = None,
        *,
        step: str = "",
        shape: Shape | None = None,
    ) -> str:
        """Appends `op` applied to one activation or several, and returns the (first) tensor it writes.

        The last node emitted for an ONNX node writes the ONNX node's output; an earlier one is told apart by
        `step`. `shape` is given for a Reshape. Raises ModelError where the operator does not fit its inputs.
        """
        inputs = (tensors,) if isinstance(tensors, str) else tuple(tensors)
        arrays = dict(weights or {})
        name = self._names.take(f"{node.name}/{step}") if step else node.name
        declared = [TensorType(shape)] if shape is not None else []
        try:
            types = op.infer(
                [self._types[tensor] for tensor in inputs], list(map(type_of, arrays.values())), declared
            )
        except GraphSpecError as error:
            raise node.malformed(str(error)) from error
        outputs = self._output_names(node, step, len(types))
        constants = {f"{name}.{role}": np.ascontiguousarray(array) for role, array in arrays.items()}
        for output, type_ in zip(outputs, types, strict=True):
            self._define(output, type_.shape, node.where)
        self._weights.update(constants)
        self._nodes.append(Node(name, op, inputs, outputs, tuple(constants)))
        return outputs[0]

    def _output_names(self, node: OnnxNode, step: str, count: int) -> tuple[str, ...]:
        if step:
            return tuple(self._tensors.take(f"{node.output}/{step}") for _ in range(count))
        if len(node.outputs) < count or not all(node.outputs[:count]):
            raise node.malformed(f"it has {count} outputs, of which {len(node.outputs)} have a name")
        return node.outputs[:count]

    def finish(self, node: OnnxNode) -> None:
        """Remembers the outputs of a node that its handler did not give."""
        for name in node.outputs:
            if name and name not in self._types and name not in self._constants:
                self._absent[name] = node.where

    def graph(self, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
        """The imported graph; raises ModelError for an output that no node writes."""
        written = {tensor for node in self._nodes for tensor in node.outputs}
        for output in outputs:
            if output not in written:
                known = output in self._types or self.is_constant(output)
                reason = "does not depend on any computation" if known else "is written by no supported node"
                raise ModelError(f"output {output!r} {reason}; export the model with its real outputs")
        return Graph(name, inputs, outputs, tuple(self._nodes), self._types, self._weights)

    def _define(self, name: str, shape: Shape, where: str) -> None:
        self._refuse_second(name, where)
        if not shape or min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS:
            raise ModelError(
                f"{where}: tensor {name!r} of shape {shape} is a scalar, is empty or has more than "
                f"{MAX_ELEMENTS} elements; such tensors are not supported"
            )
        self._types[name] = TensorType(tuple(shape))

    def _refuse_second(self, name: str, where: str) -> None:
        if name in self._types or self.is_constant(name):
            raise ModelError(
                f"{where}: tensor {name!r} is defined twice; the model is malformed, export it again"
            )
