"""Synthetic networks and times for the composition: shapes that real networks have, choices as a search measures them.

All is drawn from a seed. A layer takes some milliseconds on either engine, a change of layout some hundredths of one:
what a network of the zoo takes on a small board.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import product

import numpy as np

from codegen.chains import chain_nodes
from codegen.expression import Operand
from codegen.graph import Graph, LayerSpec, Node
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.relayout import Relayout
from codegen.schedule import Candidate, Choice
from codegen.tensor import FloatArray, TensorType
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates, relayout_spec

SUM = Operand(0) + Operand(1)
PLANE = 16
CHANNELS = 64
QPU, CPU = "videocore4", "cpu"
QPU_LAYOUT = "pixel16"
CPU_LAYOUTS = ("nchw", "channel4", "channel16")
WORKSPACES = (0, 4096, 65536)
OVERHEADS = Overheads(1e-4, 2e-5, 5e-5)
THREADS = (1, 4)


class GraphMaker:
    """A graph under construction; every method adds a layer and returns its tensor."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._types = {"x": TensorType((1, CHANNELS, PLANE, PLANE))}
        self._constants: dict[str, FloatArray] = {}
        self._nodes: list[Node] = []

    def conv(self, source: str, channels: int = CHANNELS, size: int = 3) -> str:
        """A convolution that keeps the plane."""
        fan_in = self._types[source].shape[1]
        weights, bias = f"w{fan_in}_{channels}_{size}", f"b{channels}"
        zero = np.zeros((), np.float32)
        self._constants.setdefault(weights, np.broadcast_to(zero, (channels, fan_in, size, size)))
        self._constants.setdefault(bias, np.broadcast_to(zero, (channels,)))
        op = Conv2d((size, size), pads=(size // 2,) * 4)
        return self._add(op, (source,), (weights, bias), channels)

    def add(self, *sources: str) -> str:
        """A sum."""
        return self._add(Map(SUM), sources, (), self._types[sources[0]].shape[1])

    def concat(self, *sources: str) -> str:
        """A concatenation of channels."""
        return self._add(Concat(), sources, (), sum(self._types[source].shape[1] for source in sources))

    def graph(self, *outputs: str) -> Graph:
        """All that was added."""
        return Graph(self._name, ("x",), outputs, tuple(self._nodes), self._types, self._constants)

    def _add(self, op: Operator, sources: tuple[str, ...], weights: tuple[str, ...], channels: int) -> str:
        name = f"n{len(self._nodes)}"
        self._types[name] = TensorType((1, channels, PLANE, PLANE))
        self._nodes.append(Node(name, op, sources, (name,), weights))
        return name


def chain(count: int) -> Graph:
    """Convolutions one behind the other, of a few shapes."""
    make, tensor = GraphMaker(f"chain of {count}"), "x"
    for index in range(count):
        tensor = make.conv(tensor, (64, 96, 32, 64)[index % 4], (1, 3)[index % 2])
    return make.graph(tensor)


def residual(count: int) -> Graph:
    """Blocks of two convolutions and a sum."""
    make, tensor = GraphMaker(f"{count} residual blocks"), "x"
    for _ in range(count):
        tensor = make.add(make.conv(make.conv(tensor)), tensor)
    return make.graph(tensor)


def unet(skips: int) -> Graph:
    """As many layers down as up, each sum or concatenation reading what its level left."""
    make, tensor, left = GraphMaker(f"U-Net of {skips} skips"), "x", []
    for level in range(skips):
        tensor = make.conv(tensor, size=(1, 3)[level % 2])
        left.append(tensor)
    tensor = make.conv(tensor)
    for level, skip in enumerate(reversed(left)):
        tensor = make.add(tensor, skip) if level % 2 else make.conv(make.concat(tensor, skip))
        tensor = make.conv(tensor, size=(3, 1)[level % 2])
    return make.graph(tensor)


def branches(count: int) -> Graph:
    """Convolutions side by side, concatenated."""
    make = GraphMaker(f"{count} branches")
    start = make.conv("x")
    parts = [make.conv(make.conv(start, 16, 1 + 2 * (index % 2)), 16) for index in range(count)]
    return make.graph(make.conv(make.concat(*parts)))


def inception(blocks: int) -> Graph:
    """Blocks of four branches of one to three layers."""
    make, tensor = GraphMaker(f"{blocks} Inception blocks"), "x"
    for _ in range(blocks):
        parts = []
        for depth in (1, 2, 3, 2):
            part = tensor
            for layer in range(depth):
                part = make.conv(part, 16, (1, 3)[layer % 2])
            parts.append(part)
        tensor = make.concat(*parts)
    return make.graph(tensor)


def dense(*layers: int) -> Graph:
    """Blocks of so many layers, each of which reads the concatenation of all before it in its block."""
    make, tensor = GraphMaker("dense blocks of " + ", ".join(map(str, layers))), "x"
    for count in layers:
        features = [tensor]
        for _ in range(count):
            source = make.concat(*features) if len(features) > 1 else tensor
            features.append(make.conv(make.conv(source, 64, 1), 16))
        tensor = make.conv(make.concat(*features), CHANNELS, 1)
    return make.graph(tensor)


def pyramid(levels: int, repeats: int) -> Graph:
    """Several planes' worth of features that are merged down and up again, over and over (a BiFPN)."""
    make = GraphMaker(f"pyramid of {levels} levels, {repeats} times")
    features = ["x"]
    for _ in range(levels - 1):
        features.append(make.conv(features[-1]))
    for _ in range(repeats):
        down = [features[-1]]
        for feature in reversed(features[:-1]):
            down.append(make.conv(make.add(feature, down[-1])))
        merged = [down[-1]]
        for feature, lower in zip(features[1:], reversed(down[:-1]), strict=True):
            merged.append(make.conv(make.add(make.add(feature, lower), merged[-1])))
        features = merged
    return make.graph(*features)


SHAPES: Mapping[str, Callable[[], Graph]] = {
    "chain-5000": lambda: chain(5000),
    "chain-500": lambda: chain(500),
    "residual-16": lambda: residual(16),
    "inception-9": lambda: inception(9),
    "branches-4": lambda: branches(4),
    "branches-16": lambda: branches(16),
    "unet-16": lambda: unet(16),
    "densenet-121": lambda: dense(6, 12, 24, 16),
    "pyramid-5x3": lambda: pyramid(5, 3),
}


def synthetic_times(graph: Graph, seed: int, qpus: bool = True) -> TimedCandidates:
    """At least 12 ways for every distinct layer, in four layouts where there are QPUs, and every layout change."""
    times = _Times(seed, qpus)
    found: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        if spec not in found:
            found[spec] = tuple(times.layer(spec))
    for chained in chain_nodes(graph):
        spec = LayerSpec.of(graph, chained.node)
        if spec not in found:
            found[spec] = tuple(times.chain(spec, found))
    for tensor in dict.fromkeys(graph.types.values()):
        for source, target in product(times.layouts, times.layouts):
            if source != target:
                spec = relayout_spec(tensor, source, target)
                found[spec] = tuple(times.relayout(spec))
    return found


class _Times:
    def __init__(self, seed: int, qpus: bool) -> None:
        self._random = random.Random(seed)
        self._qpus = qpus
        self._made = 0
        self.layouts = (*CPU_LAYOUTS, QPU_LAYOUT) if qpus else (*CPU_LAYOUTS, "channel8")

    def layer(self, spec: LayerSpec) -> Iterator[TimedCandidate]:
        """The QPUs in their layout; the CPU in each of its own and from one to another, with one thread and several."""
        base_s = 10 ** self._random.uniform(-4.0, -2.5)
        count = len(spec.inputs)
        for _ in range(6 if self._qpus else 0):
            yield self._way(spec, QPU, (QPU_LAYOUT,) * count, QPU_LAYOUT, base_s * self._random.uniform(1, 2))
        slower = 10 ** self._random.uniform(-0.2, 0.8) if self._qpus else 1.0
        own = [layout for layout in self.layouts if layout != QPU_LAYOUT]
        for source, target in product(own, own):
            if source != target and count > 1:
                continue
            for threads in (1,) if self._qpus else THREADS:
                time_s = slower * base_s * self._random.uniform(1, 4) / threads**0.8
                yield self._way(spec, CPU, (source,) * count, target, time_s, threads)

    def chain(self, spec: LayerSpec, layers: TimedCandidates) -> Iterator[TimedCandidate]:
        """On the CPU, about as long as its members together."""
        members = getattr(spec.op, "members", ())
        for layout in CPU_LAYOUTS[1:]:
            together_s = sum(
                min(way.time_s for way in layers[member] if way.engine.name == CPU) for member in members
            )
            inputs = (layout,) * len(spec.inputs)
            yield self._way(spec, CPU, inputs, layout, together_s * self._random.uniform(0.8, 1.4))

    def relayout(self, spec: LayerSpec) -> Iterator[TimedCandidate]:
        """On the QPUs where it concerns them, and on the CPU."""
        assert isinstance(spec.op, Relayout)
        source, target = spec.op.source, spec.op.target
        if QPU_LAYOUT in (source, target):
            yield self._way(spec, QPU, (source,), target, 10 ** self._random.uniform(-4.5, -4.0))
        yield self._way(spec, CPU, (source,), target, 10 ** self._random.uniform(-4.0, -3.5))

    def _way(
        self,
        spec: LayerSpec,
        engine: str,
        inputs: tuple[str, ...],
        output: str,
        time_s: float,
        threads: int = 1,
    ) -> TimedCandidate:
        self._made += 1
        split = (("threads", threads),) if threads > 1 else ()
        choice = Choice(engine, f"synthetic-{self._made}", split, (), inputs, (output,))
        workspace = self._random.choice(WORKSPACES) if engine == CPU else 0
        return TimedCandidate(Candidate(spec, choice), time_s, "modelled", self._made, workspace)
