"""What a composition chooses among: the allowed timed candidates of nodes, chains and layout changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

from codegen.bundle.tasks import can_place, is_view
from codegen.chains import ChainNode, chain_nodes, neighbours, node_side_by_side
from codegen.engine_registry import engines as all_engines
from codegen.free_name import free_name
from codegen.graph import Graph, LayerSpec, Node
from codegen.operators.chain import Chain
from codegen.operators.concat import Concat
from codegen.operators.relayout import Relayout
from codegen.operators.side_by_side import SideBySide
from explorer.compose.steps import ComposedStep, Prices
from explorer.compose.timed_candidates import TimedCandidate, TimedCandidates, efficient, relayout_spec
from explorer.errors import CompositionError

OUTSIDE_LAYOUT = "nchw"


class Sides(NamedTuple):
    """Layers, by name, that may not, or have to, run on an engine that launches."""

    called: frozenset[str] = frozenset()
    launched: frozenset[str] = frozenset()

    def allow(self, name: str, timed: TimedCandidate) -> bool:
        """Whether a layer may be computed so; a view is neither called nor launched."""
        if is_view(timed.candidate.spec, timed.candidate.choice):
            return name not in self.launched
        return name not in (self.called if timed.engine.launches else self.launched)


class Problem:
    """A graph with its ways. `engines`: those that layers may run on, None for all; `chains`: whether layers may be
    computed together, as chains or two at the same time; `sides`: where single layers have to run.

    Raises CompositionError naming a layer that has no way.
    """

    def __init__(
        self,
        graph: Graph,
        timed_candidates: TimedCandidates,
        prices: Prices,
        engines: Sequence[str] | None,
        chains: bool = True,
        sides: Sides = Sides(),  # noqa: B008
    ) -> None:
        self.graph = graph
        self._sides = sides
        self.prices = prices
        self.ways: dict[str, tuple[TimedCandidate, ...]] = {}  # by the name of a node or chain
        self.chains: dict[
            int, list[ChainNode]
        ] = {}  # layers together that were timed, by the first one's number
        self._timed_candidates = timed_candidates
        self.engines = tuple(all_engines() if engines is None else engines)
        self._allowed: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
        self._relayouts: dict[tuple[str, str, str], tuple[TimedCandidate, ...]] = {}
        self._most_changes: dict[str, int] = {}
        self._places: dict[tuple[str, str], bool] = {}
        for node in graph.nodes:
            self.ways[node.name] = self._ways_of_node(node)
        for chain in (*chain_nodes(graph), *self._side_by_side()) if chains else ():
            members = graph.nodes[chain.first : chain.last + 1]
            ways = self._on_sides(members, self.allowed(LayerSpec.of(graph, chain.node)))
            if ways:
                self.ways[chain.node.name] = ways
                self.chains.setdefault(chain.first, []).append(chain)
        self._readers = self._read()
        self._wanted: dict[str, tuple[str, ...]] = {}

    def of_steps(self, steps: Iterable[ComposedStep]) -> Problem:
        """The same with no ways but those that these steps take, wherever their layers are."""
        taken: dict[LayerSpec, dict[TimedCandidate, None]] = {}
        for step in steps:
            taken.setdefault(step.timed.candidate.spec, {})[step.timed] = None
        ways = {spec: tuple(of_one) for spec, of_one in taken.items()}
        for node in self.graph.nodes:
            ways.setdefault(LayerSpec.of(self.graph, node), self.ways[node.name])
        chains = any(isinstance(spec.op, (Chain, SideBySide)) for spec in taken)
        return Problem(self.graph, ways, self.prices, self.engines, chains, self._sides)

    @cached_property
    def used_engines(self) -> tuple[str, ...]:
        """Those of some way of a layer or of an allowed layout change."""
        of_layers = {id(ways): ways for ways in self.ways.values()}.values()
        of_changes = (ways for spec, ways in self._timed_candidates.items() if isinstance(spec.op, Relayout))
        changing = {way.candidate.choice.engine for ways in of_changes for way in ways} & {*self.engines}
        used = dict.fromkeys(way.candidate.choice.engine for ways in of_layers for way in ways)
        return (*used, *sorted(changing - {*used}))

    @cached_property
    def layouts(self) -> tuple[str, ...]:
        """Every layout that some way has, in the order of the ways."""
        found: dict[str, None] = {OUTSIDE_LAYOUT: None}
        for ways in self.ways.values():
            for timed in ways:
                choice = timed.candidate.choice
                found |= dict.fromkeys((*choice.input_layouts, *choice.output_layouts))
        return tuple(found)

    def allowed(self, spec: LayerSpec) -> tuple[TimedCandidate, ...]:
        """The ways of a layer on the allowed engines that no other beats."""
        if spec not in self._allowed:
            self._allowed[spec] = efficient(
                (
                    timed
                    for timed in self._timed_candidates.get(spec, ())
                    if timed.candidate.choice.engine in self.engines or is_view(spec, timed.candidate.choice)
                ),
                self.prices.of,
            )
        return self._allowed[spec]

    def readers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes and chains that read an activation."""
        return tuple(self._readers.get(tensor, ()))

    def wanted_layouts(self, tensor: str) -> tuple[str, ...]:
        """The layouts that some reader takes, sorted."""
        if tensor not in self._wanted:
            wanted = {
                layout
                for node in self.readers(tensor)
                for timed in self.ways[node.name]
                for name, layout in zip(node.inputs, timed.candidate.choice.input_layouts, strict=True)
                if name == tensor
            } | ({OUTSIDE_LAYOUT} if tensor in self.graph.outputs else set())
            self._wanted[tensor] = tuple(sorted(wanted))
        return self._wanted[tensor]

    def relayouts(self, tensor: str, source: str, target: str) -> tuple[TimedCandidate, ...]:
        """The ways to copy a tensor from one layout to another."""
        key = (tensor, source, target)
        if key not in self._relayouts:
            self._relayouts[key] = self.allowed(relayout_spec(self.graph.types[tensor], source, target))
        return self._relayouts[key]

    def most_changes(self, tensor: str) -> int:
        """How many layouts a tensor is changed to at most: one for each reader, and one more where a detour pays."""
        if tensor not in self._most_changes:
            nodes = len(self.graph.consumers(tensor)) + (tensor in self.graph.outputs)
            self._most_changes[tensor] = nodes + self._detour_pays(tensor)
        return self._most_changes[tensor]

    def _detour_pays(self, tensor: str) -> bool:
        """Whether some change of layout is cheaper over a third layout, or possible only like that."""
        wanted = self.wanted_layouts(tensor)
        return any(
            self._change_price(tensor, source, over) + self._change_price(tensor, over, target)
            < self._change_price(tensor, source, target)
            for source, over, target in product(self.layouts, wanted, wanted)
            if len({source, over, target}) == 3
        )

    def _change_price(self, tensor: str, source: str, target: str) -> float:
        ways = self.relayouts(tensor, source, target)
        return min(map(self.prices.of, ways), default=float("inf"))

    def every_way(self) -> Iterator[TimedCandidate]:
        """The ways of all nodes and chains, and of the layout changes that readers may want."""
        for ways in self.ways.values():
            yield from ways
        seen = {(type_, self.wanted_layouts(tensor)): tensor for tensor, type_ in self.graph.types.items()}
        for (_, wanted), tensor in seen.items():
            for source, target in product(self.layouts, wanted):
                yield from self.relayouts(tensor, source, target)

    def pairs_behind(self, number: int) -> tuple[Node, ...]:
        """What computes the node of that number and the one before it at the same time."""
        chains = self.chains.get(number - 1, ())
        return tuple(one.node for one in chains if one.last == number and isinstance(one.node.op, SideBySide))

    def wholes(self, tensor: str, layout: str) -> Iterator[Node]:
        """The concatenations that could be in place in that layout, with this tensor as a part."""
        for whole in self.graph.consumers(tensor):
            if isinstance(whole.op, Concat) and self.can_place(whole, layout):
                yield whole

    def can_place(self, whole: Node, layout: str) -> bool:
        """Whether a concatenation could be in place in that layout."""
        key = (whole.name, layout)
        if key not in self._places:
            self._places[key] = can_place(self.graph, whole, layout)
        return self._places[key]

    def _ways_of_node(self, node: Node) -> tuple[TimedCandidate, ...]:
        allowed = self._on_sides((node,), self.allowed(LayerSpec.of(self.graph, node)))
        if not allowed:
            raise CompositionError(
                f"layer {node.name!r} ({type(node.op).__name__}) has no working choice on "
                f"{' or '.join(sorted(self.engines))}: register an algorithm for it"
            )
        return allowed

    def _side_by_side(self) -> Iterator[ChainNode]:
        """Every two layers that were timed at the same time, in one way and another."""
        specs = [spec for spec in self._timed_candidates if isinstance(spec.op, SideBySide)]
        taken: set[str] = set()
        for first, _ in neighbours(self.graph) if specs else ():
            for spec in specs:
                assert isinstance(spec.op, SideBySide)
                found = node_side_by_side(self.graph, first, spec.op)
                if found is not None:
                    name = free_name(found.node.name, taken)
                    taken.add(name)
                    yield replace(found, node=replace(found.node, name=name))

    def _on_sides(
        self, nodes: Sequence[Node], ways: tuple[TimedCandidate, ...]
    ) -> tuple[TimedCandidate, ...]:
        if not any(self._sides):
            return ways
        return tuple(way for way in ways if all(self._sides.allow(node.name, way) for node in nodes))

    def _read(self) -> Mapping[str, list[Node]]:
        readers: dict[str, list[Node]] = {}
        chains = (chain.node for chains in self.chains.values() for chain in chains)
        for node in (*self.graph.nodes, *chains):
            for tensor in dict.fromkeys(node.inputs):
                readers.setdefault(tensor, []).append(node)
        return readers
