"""The exact composition: which option each layer takes, where layouts change, how often the QPUs start.

Steps run in the graph's order, every layout change right after the tensor's producer (once, however
many layers read it). The cost of a composition is the sum of its steps' times plus one launch overhead
for every step on the QPUs that follows one on the CPU; network inputs and outputs are nchw and belong
to the CPU. A view (a reshape that moves no byte) costs nothing and belongs to whichever processor
computed before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from codegen.bundle.tasks import is_view
from codegen.graph import Graph, LayerSpec, Node
from codegen.schedule import Processor
from explorer.elimination import Factor, minimise
from explorer.errors import CompositionError
from explorer.options import Option, Options, fastest_by_interface, relayout_spec

OUTSIDE_LAYOUT = "nchw"
ALL_PROCESSORS: tuple[Processor, ...] = ("cpu", "qpu")


@dataclass(frozen=True)
class ComposedStep:
    """One step of the composed network. A relayout has no node: it copies `tensor` to another layout."""

    node: Node | None
    tensor: str
    option: Option
    is_view: bool = False

    @property
    def time_s(self) -> float:
        """What the step costs in the plan."""
        return 0.0 if self.is_view else self.option.time_s


@dataclass(frozen=True)
class Composition:
    """Steps in the order they run, their total time with launches, and the number of launches."""

    steps: tuple[ComposedStep, ...]
    total_s: float
    launches: int


@dataclass(frozen=True)
class _Value:
    """An option of a node, or None for a graph input; `processor` is where things stand after it."""

    option: Option | None
    processor: Processor
    is_view: bool = False

    @property
    def output_layout(self) -> str:
        return self.option.candidate.choice.output_layout if self.option else OUTSIDE_LAYOUT

    @property
    def time_s(self) -> float:
        return self.option.time_s if self.option and not self.is_view else 0.0


@dataclass(frozen=True)
class _Item:
    """A graph input or a node, as a variable of the problem."""

    node: Node | None
    tensor: str
    values: tuple[_Value, ...]

    def input_layouts(self, value: _Value, tensor: str) -> Iterator[str]:
        """The layouts in which it reads a tensor."""
        if self.node is not None and value.option is not None:
            pairs = zip(self.node.inputs, value.option.candidate.choice.input_layouts, strict=True)
            yield from (layout for name, layout in pairs if name == tensor)


def compose(
    graph: Graph,
    options: Options,
    launch_overhead_s: float,
    processors: Sequence[Processor] = ALL_PROCESSORS,
) -> Composition:
    """The fastest composition of measured options on the given processors; exact.

    Raises CompositionError naming the layer that has no option, or where layouts cannot be joined.
    """
    problem = _Problem(graph, options, launch_overhead_s, processors)
    factors = [problem.factor(index) for index in range(len(problem.items))]
    best = minimise([len(item.values) for item in problem.items], factors)
    return problem.composition(best.values)


class _Problem:
    def __init__(
        self, graph: Graph, options: Options, launch_overhead_s: float, processors: Sequence[Processor]
    ) -> None:
        self._graph = graph
        self._options = options
        self._launch_overhead_s = launch_overhead_s
        self._processors = frozenset(processors)
        self._relayouts: dict[LayerSpec, tuple[Option, ...]] = {}
        inputs = [_Item(None, name, (_Value(None, "cpu"),)) for name in graph.inputs]
        self.items = (*inputs, *(_Item(node, node.output, self._node_values(node)) for node in graph.nodes))
        self._readers = {
            item.tensor: tuple(i for i, other in enumerate(self.items) if _reads(other, item.tensor))
            for item in self.items
        }

    def factor(self, index: int) -> Factor:
        """What an item costs with the layout changes of its tensor and the launch of the item after it."""
        following = (index + 1,) if index + 1 < len(self.items) else ()
        readers = self._readers[self.items[index].tensor]
        scope = tuple(dict.fromkeys((index, *following, *readers)))
        table = np.empty(tuple(len(self.items[i].values) for i in scope))
        for point in product(*(range(size) for size in table.shape)):
            values = {i: self.items[i].values[place] for i, place in zip(scope, point, strict=True)}
            _, transition_s = self._transition(index, values)
            table[point] = values[index].time_s + transition_s
        return Factor(scope, table)

    def composition(self, places: Sequence[int]) -> Composition:
        """The steps of an assignment, in the order they run."""
        values = {
            i: item.values[place] for i, (item, place) in enumerate(zip(self.items, places, strict=True))
        }
        steps: list[ComposedStep] = []
        for index, item in enumerate(self.items):
            option = values[index].option
            if option is not None:
                steps.append(ComposedStep(item.node, item.tensor, option, values[index].is_view))
            chosen, _ = self._transition(index, values)
            steps += [ComposedStep(None, item.tensor, relayout) for relayout in chosen]
        launches = sum(starts_launch(steps))
        total_s = sum(step.time_s for step in steps) + launches * self._launch_overhead_s
        return Composition(tuple(steps), total_s, launches)

    def _node_values(self, node: Node) -> tuple[_Value, ...]:
        spec = LayerSpec.of(self._graph, node)
        allowed = self._allowed(spec)
        if not allowed:
            raise CompositionError(
                f"layer {node.name!r} ({type(node.op).__name__}) has no working choice on "
                f"{' or '.join(sorted(self._processors))}: register an algorithm for it"
            )
        return tuple(value for option in fastest_by_interface(allowed) for value in _values_of(option))

    def _allowed(self, spec: LayerSpec) -> list[Option]:
        return [
            option
            for option in self._options.get(spec, ())
            if option.candidate.choice.processor in self._processors or is_view(spec, option.candidate.choice)
        ]

    def _transition(self, index: int, values: Mapping[int, _Value]) -> tuple[tuple[Option, ...], float]:
        """Layout changes of an item's tensor and their time, with the launches up to the item after it."""
        item, source = self.items[index], values[index].output_layout
        wanted = {
            layout
            for reader in self._readers[item.tensor]
            for layout in self.items[reader].input_layouts(values[reader], item.tensor)
        }
        if item.tensor in self._graph.outputs:
            wanted.add(OUTSIDE_LAYOUT)
        ways = [self._relayout_options(item.tensor, source, target) for target in sorted(wanted - {source})]
        best: tuple[tuple[Option, ...], float] = ((), float("inf"))
        for chosen in product(*ways):
            path = (values[index].processor, *(option.candidate.choice.processor for option in chosen))
            time_s = sum(option.time_s for option in chosen) + self._launches_s(path, values.get(index + 1))
            if time_s < best[1]:
                best = (chosen, time_s)
        return best

    def _launches_s(self, path: tuple[Processor, ...], following: _Value | None) -> float:
        """Overhead of the launches along a path and on to the item after it; inf where a view cannot follow."""
        if following is not None and following.is_view:
            if following.processor != path[-1]:
                return float("inf")
        elif following is not None:
            path = (*path, following.processor)
        return sum(pair == ("cpu", "qpu") for pair in pairwise(path)) * self._launch_overhead_s

    def _relayout_options(self, tensor: str, source: str, target: str) -> tuple[Option, ...]:
        spec = relayout_spec(self._graph.types[tensor], source, target)
        if spec not in self._relayouts:
            self._relayouts[spec] = fastest_by_interface(self._allowed(spec))
        return self._relayouts[spec]


def _reads(item: _Item, tensor: str) -> bool:
    return item.node is not None and tensor in item.node.inputs


def _values_of(option: Option) -> tuple[_Value, ...]:
    """An option as values; a view is one value for each processor that may have computed before it."""
    choice = option.candidate.choice
    if is_view(option.candidate.spec, choice):
        return tuple(_Value(option, processor, is_view=True) for processor in ALL_PROCESSORS)
    return (_Value(option, choice.processor),)


def starts_launch(steps: Sequence[ComposedStep]) -> tuple[bool, ...]:
    """For each step whether the QPUs are launched for it: it runs on them and the one before did not."""
    before: Processor = "cpu"
    starts = []
    for step in steps:
        processor = before if step.is_view else step.option.candidate.choice.processor
        starts.append((before, processor) == ("cpu", "qpu"))
        before = processor
    return tuple(starts)
