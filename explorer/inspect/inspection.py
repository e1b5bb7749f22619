"""What a model asks for: all that keeps it from being compiled, its operators, arithmetic, memory, and rough times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto

from codegen.chains import ChainNode, chain_nodes
from codegen.errors import ModelError
from codegen.graph import Graph, LayerSpec
from codegen.onnx_import.fixed_inputs import with_fixed_inputs
from codegen.onnx_import.model_file import read_model
from codegen.onnx_import.reader import Shapes, survey
from codegen.passes.pipeline import optimize
from explorer.compose.least_held import least_alive_bytes
from explorer.inspect.rough_times import RoughTime, rough_time
from microbench.profile import DeviceProfile


@dataclass(frozen=True)
class Obstacle:
    """What is not supported: the class of its error, what it is, and what would help."""

    error: str
    reason: str
    remedy: str

    @staticmethod
    def of(error: ModelError) -> Obstacle:
        """The parts of an error's message, which ends with what to do."""
        reason, _, remedy = str(error).rpartition("; ")
        return Obstacle(type(error).__name__, reason or remedy, remedy if reason else "")


@dataclass(frozen=True)
class Size:
    """What a network that can be compiled takes, before any choice: weights and activations row-major and unpadded;
    `peak_bytes` is what layers that are computed one by one hold at one time; with less than `least_bytes` for weights
    and activations, the caller's arrays not counted, no plan runs it.
    """

    layers: int
    macs: int
    weights: int
    weight_bytes: int
    peak_bytes: int
    peak_layer: str
    least_bytes: int
    times: tuple[RoughTime, ...]


@dataclass(frozen=True)
class Inspection:
    """A model, the operators that it uses by how often, and either what keeps it from being compiled or its size.

    `unjudged` nodes read what a node that is not supported writes: of them it is known only whether their operator is.
    """

    model: str
    operators: Mapping[str, int]
    obstacles: tuple[Obstacle, ...]
    unjudged: int
    size: Size | None


def inspect(
    path: Path, shapes: Shapes, profiles: Sequence[DeviceProfile], values: Mapping[str, str] | None = None
) -> Inspection:
    """With `values` of inputs that are constants. Raises ModelError for a file that is no model, or a malformed one,
    and for values that do not fit.
    """
    try:
        model = read_model(path)
        if values:
            model = with_fixed_inputs(model, values, shapes, path.parent)
            shapes = {name: shape for name, shape in shapes.items() if name not in values}
        found = survey(model, directory=path.parent, shapes=shapes, name=path.stem)
    except ModelError as error:
        error.args = (f"{path}: {error}",)
        raise
    obstacles = tuple(dict.fromkeys(map(Obstacle.of, found.obstacles)))
    size = _size(optimize(found.graph), profiles) if found.graph is not None else None
    return Inspection(str(path), operators_of(model), obstacles, found.unjudged, size)


def operators_of(model: ModelProto) -> dict[str, int]:
    """Operators by how many nodes they have, subgraphs and functions counted once; the most frequent first."""
    counts = Counter(_operators([*model.graph.node, *(n for f in model.functions for n in f.node)]))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _operators(nodes: Iterable[NodeProto]) -> Iterable[str]:
    for node in nodes:
        yield f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _operators(attribute.g.node)


def _size(graph: Graph, profiles: Sequence[DeviceProfile]) -> Size:
    weights = [
        graph.constants[name] for name in dict.fromkeys(w for node in graph.nodes for w in node.weights)
    ]
    weight_bytes = sum(value.nbytes for value in weights)
    peak_bytes, peak_layer = _peak(graph)
    return Size(
        layers=len(graph.nodes),
        macs=sum(LayerSpec.of(graph, node).macs for node in graph.nodes),
        weights=sum(value.size for value in weights),
        weight_bytes=weight_bytes,
        peak_bytes=peak_bytes,
        peak_layer=peak_layer,
        least_bytes=weight_bytes + _least_alive(graph),
        times=tuple(rough_time(graph, profile) for profile in profiles),
    )


def _least_alive(graph: Graph) -> int:
    """What activations hold at least, with layers taken together wherever that may be."""
    chains: dict[int, list[ChainNode]] = {}
    for chain in chain_nodes(graph):
        chains.setdefault(chain.first, []).append(chain)
    return least_alive_bytes(graph, chains, lambda tensor: graph.types[tensor].size_bytes)


def _peak(graph: Graph) -> tuple[int, str]:
    """The most bytes of activations alive at one layer, and which."""
    last = {tensor: number for number, node in enumerate(graph.nodes) for tensor in node.inputs}
    last.update(dict.fromkeys(graph.outputs, len(graph.nodes)))
    change = np.zeros(len(graph.nodes) + 2, dtype=np.int64)
    first = dict.fromkeys(graph.inputs, 0)
    first.update({tensor: number for number, node in enumerate(graph.nodes) for tensor in node.outputs})
    for tensor, start in first.items():
        size = graph.types[tensor].size_bytes
        change[start] += size
        change[last.get(tensor, start) + 1] -= size
    alive = np.cumsum(change)[: len(graph.nodes)]
    if not len(alive):
        return 0, ""
    place = int(alive.argmax())
    return int(alive[place]), graph.nodes[place].name
