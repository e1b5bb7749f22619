"""What the best whole network costs through every way of every layer: tables filled from both ends.

The tables of `explorer.compose.suffixes` say what is left to pay from every state on; here they are walked once more
from the start, so that for each way both sides are known. The difference to the best network is what the way would
have to save to become part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from codegen.graph import Graph, LayerSpec
from codegen.schedule import Candidate
from explorer.compose.activity import ASLEEP, Rule
from explorer.compose.effort import Effort
from explorer.compose.problem import Problem
from explorer.compose.readings import Reading
from explorer.compose.rivals import INFINITE, Row, State
from explorer.compose.steps import ComposedStep, Overheads, Prices
from explorer.compose.suffixes import Suffixes
from explorer.compose.timed_candidates import Interface, TimedCandidate, TimedCandidates
from explorer.compose.trace import trace
from explorer.errors import CompositionError

MOST_STATES = 512
Kind = tuple[Interface, Rule | None]
"""All that the rest of a network sees of a way."""


class Through:
    """One problem, both ways. `best_s`: of the cheapest composition; where readers are loose a little less, and so are
    the rests. Raises CompositionError where layouts cannot be joined.
    """

    def __init__(self, problem: Problem) -> None:
        self._suffixes = Suffixes(problem, MOST_STATES, Effort(INFINITE), complete=True)
        self.best_s = self._suffixes.solve()
        if self.best_s == INFINITE:
            raise CompositionError(
                "no combination of choices fits together: a layout change has no algorithm"
            )
        self.steps: tuple[ComposedStep, ...] = trace(self._suffixes).steps
        self._nothing = (INFINITE,) * len(self._suffixes.activity.states)
        self._rests: dict[LayerSpec, dict[str, dict[Kind, float]]] = {}
        count = len(problem.graph.nodes)
        self._reached: list[dict[State, Sequence[float]]] = [{} for _ in range(count + 1)]
        self._walk(problem)

    def rests(self, timed: TimedCandidate) -> Iterator[float]:
        """For each place of its layer in the network, what all the rest costs at least with a way like this; nothing
        for a change of layout.
        """
        if not self._suffixes.activity.may_run(timed):
            return
        for rests in self._rests.get(timed.candidate.spec, {}).values():
            for rule in (self._suffixes.activity.rule(timed), None):
                rest = rests.get((Interface.of(timed.candidate), rule))
                if rest is not None:
                    yield rest
                    break

    def _walk(self, problem: Problem) -> None:
        tables = self._suffixes.tables
        for state, row in tables[0].items():
            for ending in self._suffixes.input_endings(state, row.costs):
                start = list(self._nothing)
                start[ASLEEP] = 0.0
                self._reach(0, state, ending.arrived(start))
        for place, readings in enumerate(self._suffixes.readings):
            for reading in readings:
                spec = LayerSpec.of(problem.graph, reading.node)
                rests = self._rests.setdefault(spec, {}).setdefault(reading.node.name, {})
                for state, row in tables[reading.after].items():
                    self._extend(place, reading, state, row, rests)

    def _extend(self, place: int, reading: Reading, state: State, row: Row, rests: dict[Kind, float]) -> None:
        rest, demands = self._suffixes.parted(state, reading.node.outputs)
        for offer, _, _, choices in reading.choices:
            for ending in self._suffixes.endings(offer, demands, row.costs):
                before = self._suffixes.before(rest, self._suffixes.asked(offer, ending), reading)
                reached = None if before is None else self._reached[place].get(before[0])
                if before is None or reached is None:
                    continue
                behind = list(self._nothing)
                for active, after, spent, way in choices:
                    if reached[active] == INFINITE:
                        continue
                    paid = reached[active] + before[1] + spent
                    behind[after] = min(behind[after], paid)
                    kind = (Interface.of(way.timed.candidate), way.rule)
                    rests[kind] = min(rests.get(kind, INFINITE), paid - way.price + ending.costs[after])
                self._reach(reading.after, state, ending.arrived(behind))

    def _reach(self, place: int, state: State, costs: list[float]) -> None:
        known = self._reached[place].get(state, self._nothing)
        self._reached[place][state] = [min(pair) for pair in zip(known, costs, strict=True)]


def times_through(
    graph: Graph, timed_candidates: TimedCandidates, overheads: Overheads
) -> Mapping[Candidate, float]:
    """Seconds of the fastest network through each timed candidate of a layer, in one of the layer's places."""
    through = Through(Problem(graph, timed_candidates, Prices(overheads), None))
    found: dict[Candidate, float] = {}
    for ways in timed_candidates.values():
        for way in ways:
            rest_s = min(through.rests(way), default=INFINITE)
            if rest_s < INFINITE:
                found[way.candidate] = rest_s + way.time_s
    return found
