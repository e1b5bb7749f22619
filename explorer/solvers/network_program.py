"""The composition of a network as a binary program: a path through its layers, and layouts that meet.

One unit flows through the layers in order, from state to state of what is active (see `explorer.compose.activity`): a
variable for every way of a node or chain between two states, and one for every way to change the layouts of what was
written. What a layer reads has to be there in the layout that it takes it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from math import inf
from typing import NamedTuple

from codegen.engine_registry import engine_named
from codegen.operators.side_by_side import SideBySide
from explorer.compose.activity import ASLEEP, Activity
from explorer.compose.demands import Demands
from explorer.compose.layout_changes import LayoutChanges
from explorer.compose.offers import Offer
from explorer.compose.problem import OUTSIDE_LAYOUT, Problem
from explorer.compose.readings import Reading, Readings
from explorer.compose.steps import ComposedStep
from explorer.errors import CompositionError
from explorer.solvers.program import Program

Place = tuple[int, int, int]
"""Behind the node of that number (-1: behind the inputs) with so many of its outputs in all their layouts; and what is
active."""


class Arc(NamedTuple):
    """What a variable stands for: steps from one place to another."""

    start: Place
    end: Place
    steps: tuple[ComposedStep, ...]


class _Provided(NamedTuple):
    """A variable for a tensor that was written in a layout and is there in all layouts of a mask."""

    layout: str
    mask: int
    variable: int


class NetworkProgram:
    """Of one problem without caps. Raises CompositionError for engines that share no memory, which it does not tell
    apart, and where nothing can read the inputs.
    """

    def __init__(self, problem: Problem) -> None:
        self.program = Program()
        self._problem = problem
        self._graph = problem.graph
        engines = [engine_named(name) for name in problem.used_engines]
        self._demands = Demands(problem.layouts, engines)
        if self._demands.tells_memories:
            raise CompositionError("the solvers' program does not tell apart which memories engines share")
        self._activity = Activity(problem.prices, [engine.name for engine in engines if engine.launches])
        self._changes = LayoutChanges(problem, self._demands, self._activity)
        self._readings = Readings(problem, self._demands, self._activity).at
        self._arcs: dict[int, Arc] = {}
        self._written: dict[
            str, dict[str, list[tuple[int, bool]]]
        ] = {}  # by layout; whether it may be a part
        self._taken: dict[
            str, dict[tuple[int, int], list[int]]
        ] = {}  # by a reader's number and what it asks for
        self._provided: dict[str, list[_Provided]] = {}
        self._pairs: dict[int, list[int]] = {}  # by the first layer's number
        self._build()

    def steps(self, ones: Iterable[int]) -> tuple[ComposedStep, ...]:
        """The steps in order of an assignment."""
        arcs = {self._arcs[one].start: self._arcs[one] for one in ones}
        found: list[ComposedStep] = []
        place = self._start
        while place[:2] != self._end:
            found += arcs[place].steps
            place = arcs[place].end
        return tuple(found)

    @property
    def _start(self) -> Place:
        return (-1, 0, ASLEEP)

    @property
    def _end(self) -> tuple[int, int]:
        return self._behind(len(self._graph.nodes) - 1)

    # Variables ----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        for begins, readings in enumerate(self._readings):
            for reading in readings:
                self._read(begins, reading)
        for begins, variables in self._pairs.items():
            self._pass_by(begins, variables)
        self._provide(-1, self._graph.inputs)
        for number, node in enumerate(self._graph.nodes):
            self._provide(number, node.outputs)
        self._require_a_path()
        for tensor, provided in self._provided.items():
            self._require_to_meet(tensor, provided)

    def _read(self, begins: int, reading: Reading) -> None:
        """A variable for every way to compute a node or chain."""
        before = self._behind(begins - 1)
        for offer, _, _, choices in reading.choices:
            for active, behind, price, way in choices:
                is_view, in_place = offer.free == "view", offer.free == "in place"
                step = ComposedStep(reading.node, reading.node.outputs, way.timed, is_view, in_place)
                is_pair = isinstance(reading.node.op, SideBySide)
                arc = Arc((*before, active), (begins if is_pair else reading.after - 1, 0, behind), (step,))
                variable = self._variable(arc, price)
                self._note(reading, offer, variable)
                if is_pair:
                    self._pairs.setdefault(begins, []).append(variable)

    def _pass_by(self, first: int, pairs: Sequence[int]) -> None:
        """From behind the outputs of a pair's first layer to those of its second, where a pair was computed."""
        arcs = (
            Arc((*self._behind(first), active), (first + 1, 0, active), ())
            for active in range(len(self._activity.states))
        )
        passed = {self._variable(arc, 0.0): 1.0 for arc in arcs}
        self.program.require(passed | dict.fromkeys(pairs, -1.0), 0, 0)

    def _note(self, reading: Reading, offer: Offer, variable: int) -> None:
        for tensor, mask in offer.inputs:
            for number in reading.readers[tensor]:
                self._taken.setdefault(tensor, {}).setdefault((number, mask), []).append(variable)
        for tensor, layout in zip(reading.node.outputs, offer.outputs, strict=True):
            written = self._written.setdefault(tensor, {}).setdefault(layout, [])
            written.append((variable, offer.may_be_part))

    def _provide(self, number: int, outputs: Sequence[str]) -> None:
        """A variable for every way to have an output in all layouts that readers may want."""
        for place, tensor in enumerate(outputs):
            provided = self._provided.setdefault(tensor, [])
            layouts = [OUTSIDE_LAYOUT] if number < 0 else list(self._written.get(tensor, {}))
            for layout, mask in product(layouts, self._masks(tensor)):
                changes = self._changes.of(tensor, layout, mask).get(0, ())
                for active, change in ((a, change) for a, every in enumerate(changes) for change in every):
                    steps = tuple(ComposedStep(None, (tensor,), timed) for timed in change.steps)
                    arc = Arc((number, place, active), (number, place + 1, change.after), steps)
                    provided.append(_Provided(layout, mask, self._variable(arc, change.cost)))

    def _masks(self, tensor: str) -> list[int]:
        """All that the readers of a tensor may ask for together."""
        asked: dict[int, list[int]] = {}
        for number, mask in self._taken.get(tensor, {}):
            asked.setdefault(number, []).append(mask)
        found = {self._demands.need(OUTSIDE_LAYOUT) if tensor in self._graph.outputs else 0}
        for masks in asked.values():
            found = {known | mask for known in found for mask in masks}
        return sorted(found)

    def _variable(self, arc: Arc, price: float) -> int:
        variable = self.program.variable(price)
        self._arcs[variable] = arc
        return variable

    def _behind(self, number: int) -> tuple[int, int]:
        """The place behind all outputs of a node."""
        outputs = self._graph.inputs if number < 0 else self._graph.nodes[number].outputs
        return number, len(outputs)

    # Rows ---------------------------------------------------------------------------------------------------

    def _require_a_path(self) -> None:
        leaving: dict[Place, dict[int, float]] = {}
        for variable, arc in self._arcs.items():
            leaving.setdefault(arc.start, {})[variable] = 1
            leaving.setdefault(arc.end, {})[variable] = -1
        if self._start not in leaving:
            raise CompositionError("no combination of choices fits together: no layout of the inputs is read")
        for place, factors in leaving.items():
            if place[:2] != self._end:
                supply = float(place == self._start)
                self.program.require(factors, supply, supply)

    def _require_to_meet(self, tensor: str, provided: Sequence[_Provided]) -> None:
        """It is provided from the layout that it is written in, and in every layout that it is read in."""
        for layout, written in self._written.get(tensor, {}).items():
            own = [one for one in provided if one.layout == layout]
            factors = {one.variable: 1.0 for one in own} | {variable: -1.0 for variable, _ in written}
            self.program.require(factors, 0, 0)
            parts = {one.variable: 1.0 for one in own if self._demands.placed_in(one.mask) is not None}
            if parts:
                may = {variable: -1.0 for variable, may_be_part in written if may_be_part}
                self.program.require(parts | may, -inf, 0)
        for (_, mask), taken in self._taken.get(tensor, {}).items():
            there = {one.variable: -1.0 for one in provided if one.mask & mask == mask}
            self.program.require({variable: 1.0 for variable in taken} | there, -inf, 0)
