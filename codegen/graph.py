"""The graph IR: every operator a frozen dataclass, every graph a tuple of nodes in topological order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from codegen.tensor import Array, TensorType


@dataclass(frozen=True)
class Activation:
    """Clamp applied to a result: `min(max(x, low), high)`; an end that is None is open."""

    low: float | None = None
    high: float | None = None

    @property
    def is_identity(self) -> bool:
        return self.low is None and self.high is None


IDENTITY = Activation()
RELU = Activation(low=0.0)


@dataclass(frozen=True)
class Conv2d:
    """Cross-correlation; weights (out, in / groups, kh, kw) and bias (out). Pads: top, left, bottom, right."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    activation: Activation = IDENTITY


@dataclass(frozen=True)
class ConvTranspose2d:
    """The transpose of a convolution: input (y, x) adds its value times tap (ky, kx) to output (y, x) * stride +
    (ky, kx) * dilation - pads.

    Weights (out, in / groups, kh, kw) and bias (out). `pads` (top, left, bottom, right) cut the result off, behind
    which `output_pads` (bottom, right) add rows and columns that may lie beyond every tap.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    output_pads: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    activation: Activation = IDENTITY


@dataclass(frozen=True)
class Pool2d:
    """Maximum or average over windows. A window over the whole plane is a global pool."""

    kind: str  # "max" | "average"
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    include_padding: bool = False  # average: the divisor counts padded elements too
    activation: Activation = IDENTITY


@dataclass(frozen=True)
class FullyConnected:
    """`y = x @ weights.T + bias`; x (batch, in), weights (out, in), bias (out)."""

    activation: Activation = IDENTITY


@dataclass(frozen=True)
class Add:
    """The sum of two tensors of equal shape, element by element."""

    activation: Activation = IDENTITY


@dataclass(frozen=True)
class Concat:
    """Tensors of equal batch and planes behind each other along `axis`, which is 1: that of the channels."""

    axis: int = 1


@dataclass(frozen=True)
class Pad2d:
    """Zeros around the plane; pads are top, left, bottom, right. Imported stage only."""

    pads: tuple[int, int, int, int]


@dataclass(frozen=True)
class Transpose:
    """Axis i of the result is axis `permutation[i]` of the input."""

    permutation: tuple[int, ...]


@dataclass(frozen=True)
class BatchNormalization:
    """Per-channel affine with weights scale, bias, mean, variance. Imported stage only."""

    epsilon: float


@dataclass(frozen=True)
class Clamp:
    """A stand-alone activation that no producer could absorb."""

    activation: Activation


@dataclass(frozen=True)
class Softmax:
    """Softmax over one axis (non-negative)."""

    axis: int


@dataclass(frozen=True)
class Reshape:
    """The same elements in row-major (NCHW) order under another shape: the node's output type."""


@dataclass(frozen=True)
class Relayout:
    """Moves a tensor from one memory layout to another; inserted by the composition, never by an importer."""

    source: str
    target: str


@dataclass(frozen=True)
class Chain:
    """Layers computed together, each behind the first reading the one before it; a composition groups them.

    `sources[i]` are the inputs of member i: number k of the chain's inputs as k, the output of member i - 1 as -1.
    The chain's weights are those of its members one behind the other.
    """

    members: tuple[LayerSpec, ...]
    sources: tuple[tuple[int, ...], ...]


Operator = (
    Chain
    | Conv2d
    | ConvTranspose2d
    | Pool2d
    | FullyConnected
    | Add
    | Concat
    | Pad2d
    | Transpose
    | BatchNormalization
    | Clamp
    | Softmax
    | Reshape
    | Relayout
)


@dataclass(frozen=True)
class Node:
    """One operator applied: `inputs` are activations, `weights` names of constants (in the operator's order)."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    output: str
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A network: nodes in topological order, types of every activation, values of every constant."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    types: Mapping[str, TensorType]
    constants: Mapping[str, Array] = field(repr=False, compare=False)

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes that read an activation, in the graph's order."""
        return self._consumers.get(tensor, ())

    def producer(self, tensor: str) -> Node | None:
        """The node that writes an activation, or None for a graph input."""
        return self._producers.get(tensor)

    def weights_of(self, node: Node) -> tuple[Array, ...]:
        """The constants a node uses."""
        return tuple(self.constants[name] for name in node.weights)

    @cached_property
    def _consumers(self) -> dict[str, tuple[Node, ...]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for tensor in dict.fromkeys(node.inputs):
                found.setdefault(tensor, []).append(node)
        return {tensor: tuple(nodes) for tensor, nodes in found.items()}

    @cached_property
    def _producers(self) -> dict[str, Node]:
        return {node.output: node for node in self.nodes}


@dataclass(frozen=True)
class LayerSpec:
    """What a layer computes, without its name and its weights' values: equal specs share measurements."""

    op: Operator
    inputs: tuple[TensorType, ...]
    output: TensorType
    weights: tuple[TensorType, ...] = ()

    @staticmethod
    def of(graph: Graph, node: Node) -> LayerSpec:
        """The spec of one node of a graph."""
        weights = tuple(
            TensorType(tuple(int(d) for d in graph.constants[name].shape), str(graph.constants[name].dtype))
            for name in node.weights
        )
        return LayerSpec(
            node.op, tuple(graph.types[t] for t in node.inputs), graph.types[node.output], weights
        )
