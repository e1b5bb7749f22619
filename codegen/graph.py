"""The graph IR: a tuple of nodes in topological order, each an operator applied to tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from codegen.canonical import OPTIONAL, canonical_json
from codegen.errors import GraphSpecError
from codegen.lengths import Length
from codegen.operator import Operator, epilogue_text
from codegen.sparsity import Sparsity, sparsity_of
from codegen.tensor import Array, TensorType


@dataclass(frozen=True)
class Node:
    """One operator applied: `inputs` and `outputs` are activations, `weights` names of constants, each in the
    operator's order.
    """

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        """The only output; raises GraphSpecError where there are several."""
        if len(self.outputs) != 1:
            raise GraphSpecError(f"node {self.name!r} has {len(self.outputs)} outputs, where one is expected")
        return self.outputs[0]


@dataclass(frozen=True)
class Graph:
    """A network: nodes in topological order, types of every activation, values of every constant; and of outputs whose
    size depends on data the lengths, whose own tensors are outputs as well.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    types: Mapping[str, TensorType]
    constants: Mapping[str, Array] = field(repr=False, compare=False)
    lengths: Mapping[str, Length] = field(default_factory=dict)

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes that read an activation, in the graph's order."""
        return self._consumers.get(tensor, ())

    def producer(self, tensor: str) -> Node | None:
        """The node that writes an activation, or None for a graph input."""
        return self._producers.get(tensor)

    def weights_of(self, node: Node) -> tuple[Array, ...]:
        """The constants a node uses."""
        return tuple(self.constants[name] for name in node.weights)

    def weight_types_of(self, node: Node) -> tuple[TensorType, ...]:
        """The types of the constants a node uses."""
        return tuple(self._constant_types[name] for name in node.weights)

    def sparsity_of(self, node: Node) -> Sparsity | None:
        """Of the weights that a node multiplies by; None where it has none, or hardly any of them is zero."""
        if not node.op.skips_zeros or not node.weights:
            return None
        name = node.weights[0]
        if name not in self._sparsities:
            self._sparsities[name] = sparsity_of(self.constants[name])
        return self._sparsities[name]

    @cached_property
    def _sparsities(self) -> dict[str, Sparsity | None]:
        return {}

    @cached_property
    def _constant_types(self) -> dict[str, TensorType]:
        return {name: type_of(value) for name, value in self.constants.items()}

    @cached_property
    def _consumers(self) -> dict[str, tuple[Node, ...]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for tensor in dict.fromkeys(node.inputs):
                found.setdefault(tensor, []).append(node)
        return {tensor: tuple(nodes) for tensor, nodes in found.items()}

    @cached_property
    def _producers(self) -> dict[str, Node]:
        return {tensor: node for node in self.nodes for tensor in node.outputs}


@dataclass(frozen=True)
class LayerSpec:
    """What a layer computes, without its name and its weights' values: equal specs share measurements.

    Fields:
        op: the operator, with its parameters
        inputs: types of the activations that it reads, in the operator's order
        outputs: types of what it computes
        weights: types of its constants, in the operator's order; their values are the model's
        sparsity: how many of weights[0] are not zero, where that is known and not all; a part of what a layer is, as
            measurements at one sparsity say nothing of another
    """

    op: Operator
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    weights: tuple[TensorType, ...] = ()
    sparsity: Sparsity | None = field(default=None, metadata=OPTIONAL)

    @staticmethod
    def of(graph: Graph, node: Node) -> LayerSpec:
        """The spec of one node of a graph."""
        inputs, outputs = (
            tuple(graph.types[tensor] for tensor in tensors) for tensors in (node.inputs, node.outputs)
        )
        return LayerSpec(node.op, inputs, outputs, graph.weight_types_of(node), graph.sparsity_of(node))

    @cached_property
    def canonical(self) -> str:
        """Its canonical JSON, a part of that of each of its candidates."""
        return canonical_json(self)

    @cached_property
    def _hash(self) -> int:
        return hash((self.op, self.inputs, self.outputs, self.weights, self.sparsity))

    def __hash__(self) -> int:
        return self._hash

    @property
    def output(self) -> TensorType:
        """The only output; raises GraphSpecError where there are several."""
        if len(self.outputs) != 1:
            raise GraphSpecError(
                f"{type(self.op).__name__} has {len(self.outputs)} outputs, where one is expected"
            )
        return self.outputs[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of direct computation, padding counted; 0 for a layer that multiplies no weights.

        An algorithm that needs fewer (Winograd) or more (recomputed halos) is still counted by these.
        """
        return self.op.macs(self.inputs, self.weights, self.outputs)

    def describe(self) -> str:
        """Operator, its parameters, shapes, epilogue and sparsity in a line: `Conv2d 3x3 s2 p1 1x3x8x8 -> 1x16x4x4
        relu`.
        """
        shapes = f"{', '.join(map(_shape, self.inputs))} -> {', '.join(map(_shape, self.outputs))}"
        parts = (self.op.describe(), shapes, epilogue_text(self.op), self._zeros)
        return " ".join(part for part in parts if part)

    @property
    def _zeros(self) -> str:
        if self.sparsity is None:
            return ""
        return f"{1 - self.sparsity.weights / self.weights[0].elements:.0%} zeros"


def type_of(value: Array) -> TensorType:
    """The type of an array."""
    return TensorType(tuple(int(size) for size in value.shape), str(value.dtype))


def _shape(tensor: TensorType) -> str:
    return "x".join(map(str, tensor.shape))
