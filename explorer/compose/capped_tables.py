"""The least cost of what is left to do within caps, for all that it may ask for: tables from the last layer back.

As in `explorer.compose.suffixes`, but every copy that is asked for says where it lies, so that what is held at every
step is known; labels say what an open launch takes. Copies that leave open where they lie take up nothing until that
is known: then the least cost is a lower bound, and exact where the steps behind it fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from codegen.engine_registry import engine_named
from codegen.graph import Node
from explorer.compose.activity import ASLEEP, Activity
from explorer.compose.capped_offers import capped_offers, prepare
from explorer.compose.change_sequences import Changes, ChangeSequences
from explorer.compose.demands import ANYWHERE, Demands
from explorer.compose.effort import Effort
from explorer.compose.held import Caps
from explorer.compose.homes import Asked, Homes
from explorer.compose.horizon import Endless, Horizon
from explorer.compose.labels import Label, Labels, PreparedStep, Prepending, beats
from explorer.compose.marks import APART, EARNED, LENT, NEED, ON_GPU, PART, PLACE, VIEWS, Marks
from explorer.compose.offers import Offer
from explorer.compose.problem import OUTSIDE_LAYOUT, Problem
from explorer.compose.rivals import INFINITE, State
from explorer.compose.steps import ComposedStep
from explorer.compose.timed_candidates import TimedCandidate

OFFER_UNITS = 2  # what it takes to put an offer before a state, in ways of tables without caps

Table = dict[State, Labels]


class TooLarge(Exception):
    """There are too many states to look at all of them."""


class Size(NamedTuple):
    """How large tables may grow: `states` of one; `work`, offers that are put before states in all, or so many for
    every layer where that is more. After as many layers as are `tried` the work of all is known well enough.
    """

    states: int
    work: int
    work_per_layer: int
    tried: int


SMALL = Size(states=128, work=100_000, work_per_layer=25, tried=16)
LARGE = Size(states=4096, work=400_000, work_per_layer=500, tried=64)


class _Reading(NamedTuple):
    """A node or chain at its place, and its offers by the layouts of their outputs."""

    node: Node
    after: int
    offers: Mapping[tuple[str, ...], Sequence[tuple[Offer, tuple[PreparedStep, ...]]]]


class CappedTables:
    """The tables of one problem within caps, without what lies beyond a horizon."""

    def __init__(
        self,
        problem: Problem,
        caps: Caps,
        effort: Effort,
        horizon: Horizon | None = None,
        size: Size = LARGE,
    ) -> None:
        self._problem = problem
        self._size = size
        self._graph = problem.graph
        self._effort = effort
        engines = [engine_named(name) for name in problem.used_engines]
        self._marks = Marks(problem.layouts)
        self._homes = Homes(problem, self._marks)
        self._activity = Activity(problem.prices, [engine.name for engine in engines if engine.launches])
        self._sequences = ChangeSequences(problem, self._marks, self._homes, self._activity)
        self._horizon = horizon or Endless(len(self._activity.states))
        self._room = INFINITE  # for all from the place on that is being filled
        self._demands = Demands(problem.layouts, engines)
        self._demanded: dict[int, int] = {}
        self._prepending = Prepending(self._activity, problem.prices.launch, caps)
        self._is_arena_capped = caps.arena_bytes < INFINITE
        self._order = {tensor: place for place, tensor in enumerate(_tensors(problem))}
        self._prepared: dict[tuple[str, int], PreparedStep] = {}
        self._tables: dict[int, Table] = {}
        self._work = 0

    # Tables -------------------------------------------------------------------------------------------------

    def solve(self) -> Label | None:
        """Fills the tables and returns the best of all; None where nothing fits together within the caps.

        Raises TooLarge where tables grow too large for that, or take more effort than is left.
        """
        count = len(self._graph.nodes)
        chains = (chain for chains in self._problem.chains.values() for chain in chains)
        longest = max((chain.last - chain.first for chain in chains), default=0)
        nothing = tuple((Label(0.0, 0),) for _ in self._activity.states)
        self._tables[count] = {state: nothing for state in self._ends()}
        for place in range(count - 1, -1, -1):
            before = self._work
            self._fill(place)
            self._effort.spend(OFFER_UNITS * (self._work - before))
            if len(self._tables[place]) > self._size.states or self._is_too_much(count - place, count):
                raise TooLarge
            if self._effort.is_spent():
                raise TooLarge
            self._tables.pop(place + longest + 1, None)
        return self._start()

    def _is_too_much(self, done: int, count: int) -> bool:
        """Whether so many layers of all took more work than may be, or all would."""
        expected = self._work * count / max(done, min(self._size.tried, count))
        return expected > max(self._size.work, self._size.work_per_layer * count)

    def _ends(self) -> Iterator[State]:
        """Every output row-major, wherever it lies."""
        per_output = [
            [
                self._marks.field(OUTSIDE_LAYOUT, NEED | space | home)
                for space in self._homes.spaces(OUTSIDE_LAYOUT)
                for home in self._homes.homes(tensor, OUTSIDE_LAYOUT, len(self._graph.nodes))
            ]
            for tensor in self._graph.outputs
        ]
        for masks in product(*per_output):
            yield self._state(dict(zip(self._graph.outputs, masks, strict=True)))

    def _start(self) -> Label | None:
        best: Label | None = None
        self._room = self._horizon.most
        layouts = (OUTSIDE_LAYOUT,) * len(self._graph.inputs)
        for state, labels in self._tables[0].items():
            asked = dict(state)
            demands = tuple((tensor, asked.pop(tensor, 0)) for tensor in self._graph.inputs)
            if asked:
                continue
            for sources, found in self._endings(demands, layouts, (), labels):
                if all(self._may_write(mask, OUTSIDE_LAYOUT, ANYWHERE) for _, mask in sources):
                    best = min((*found[ASLEEP], *([best] if best else ())), key=_cost, default=None)
        return best

    def _fill(self, place: int) -> None:
        table: Table = {}
        self._room = self._horizon.room(place)
        for reading in self._read(place):
            for state, labels in self._tables[reading.after].items():
                self._extend(place, table, reading, state, labels)
        table = {state: labels for state, labels in table.items() if any(labels)}
        self._tables[place] = table if len(table) == 1 else self._efficient(table)

    def _extend(self, place: int, table: Table, reading: _Reading, state: State, labels: Labels) -> None:
        rest = dict(state)
        demands = tuple((tensor, rest.pop(tensor, 0)) for tensor in reading.node.outputs)
        others = tuple(rest.items())
        least = min(own[0].cost for own in labels if own)
        for layouts, every in reading.offers.items():
            offers = [one for one in every if one[0].free or least + one[1][0].price < self._room]
            if not offers:
                continue
            for sources, ahead in self._merged_endings(demands, layouts, others, labels).items():
                for offer, ways in offers:
                    self._work += 1
                    asked = self._asked(offer, layouts, sources)
                    before = None if asked is None else self._before(rest, asked)
                    if before is None:
                        continue
                    rooms = self._horizon.rooms(place, self._as_demands(before))
                    if not offer.free and least + ways[0].price >= max(rooms):
                        continue
                    found = (
                        _free(ways[0].step, ahead)
                        if offer.free
                        else self._computed(ways, ahead, before, sources)
                    )
                    if found is None:
                        continue
                    found = _below(found, rooms)
                    known = table.get(before)
                    table[before] = found if known is None else self._prepending.merged(known, found)

    def _as_demands(self, state: State) -> State:
        """What a state asks for wherever copies lie."""
        for _, mask in state:
            if mask not in self._demanded:
                self._demanded[mask] = self._marks.as_demands(mask, self._demands)
        return tuple((tensor, self._demanded[mask]) for tensor, mask in state)

    def _computed(
        self, ways: Sequence[PreparedStep], ahead: Labels, target: State, sources: tuple[Asked, ...]
    ) -> Labels | None:
        """The labels before a step, by the cheapest way of each rule that fits."""
        before, during = self._homes.held(target), self._homes.held((*target, *sources))
        found: Labels | None = None
        done = set()
        for way in ways:
            if way.rule in done or not self._prepending.fits(during, way.workspace_bytes):
                continue
            done.add(way.rule)
            labels = self._prepending.put(way, ahead, before, during)
            found = labels if found is None else self._prepending.merged(found, labels)
        return found if found is not None and any(found) else None

    def _asked(
        self, offer: Offer, layouts: tuple[str, ...], sources: tuple[Asked, ...]
    ) -> tuple[Asked, ...] | None:
        """What an offer asks of its inputs where its outputs are written as these copies; None where it cannot."""
        if not offer.free:
            for (_, mask), layout in zip(sources, layouts, strict=True):
                bits = self._marks.bits(mask, layout)
                if bits & sum(VIEWS) or (bits & PART and not offer.may_be_part):
                    return None
                if not self._may_write(mask, layout, offer.writes):
                    return None
            return offer.inputs
        ((tensor, mask),), (layout,) = sources, layouts
        bits = self._marks.bits(mask, layout)
        handed = bits & PLACE
        if layout == OUTSIDE_LAYOUT and tensor in self._graph.outputs:
            handed |= LENT
        if bits & PART or (bits & sum(VIEWS) and offer.free != "view"):
            return None
        if offer.free == "in place":
            return tuple((part, asked | self._marks.field(layout, handed)) for part, asked in offer.inputs)
        if bits & APART:
            return None
        ((source, asked),) = offer.inputs
        (handed_to,) = (name for name, _ in self._marks.fields(asked))
        handed |= self._home_of_source(source, bits)
        return ((source, asked | self._marks.field(handed_to, handed)),)

    def _home_of_source(self, source: str, bits: int) -> int:
        """Whose buffer a copy is in of which a view is shown."""
        if not self._homes.depth(source):
            return 0
        for depth, view in enumerate(VIEWS):
            if bits & view:
                return VIEWS[depth - 1] if depth else APART
        return 0

    def _may_write(self, mask: int, layout: str, writes: frozenset[str]) -> bool:
        return self._sequences.settled(layout, self._marks.bits(mask, layout), writes) is not None

    def _before(self, rest: Mapping[str, int], inputs: tuple[Asked, ...]) -> State | None:
        """The state before a node; None where demands contradict each other."""
        every = dict(rest)
        for tensor, mask in inputs:
            every[tensor] = every.get(tensor, 0) | mask
            if self._marks.contradicts(every[tensor]):
                return None
        return self._state(every)

    def _state(self, asked: Mapping[str, int]) -> State:
        if len(asked) == 1:
            return tuple(asked.items())
        order = self._order
        return tuple(sorted(asked.items(), key=lambda item: order[item[0]]))

    # What is written --------------------------------------------------------------------------------------------

    def _merged_endings(
        self, demands: tuple[Asked, ...], layouts: tuple[str, ...], others: tuple[Asked, ...], labels: Labels
    ) -> dict[tuple[Asked, ...], Labels]:
        """The best labels behind a node for each set of copies that its outputs may be written as."""
        found: dict[tuple[Asked, ...], Labels] = {}
        for sources, ahead in self._endings(demands, layouts, others, labels):
            known = found.get(sources)
            found[sources] = ahead if known is None else self._prepending.merged(known, ahead)
        return found

    def _endings(
        self, demands: tuple[Asked, ...], layouts: tuple[str, ...], others: tuple[Asked, ...], labels: Labels
    ) -> Iterator[tuple[tuple[Asked, ...], Labels]]:
        """The copies that a node's outputs may be written as, and the labels behind it, before layouts are changed."""
        if not demands:
            yield (), labels
            return
        tensor, mask = demands[-1]
        around = (*others, *demands[:-1])
        for changes in self._sequences.of(tensor, layouts[-1], mask):
            ahead = self._changed(tensor, changes, around, labels)
            if ahead is not None:
                written = (tensor, changes.source)
                for sources, found in self._endings(demands[:-1], layouts[:-1], (*others, written), ahead):
                    yield (*sources, written), found

    def _changed(
        self, tensor: str, changes: Changes, around: tuple[Asked, ...], labels: Labels
    ) -> Labels | None:
        """The labels before changes of a tensor's layout; None where they do not fit."""
        for step in reversed(changes.steps):
            before = self._homes.held((*around, (tensor, step.before)))
            during = self._homes.held((*around, (tensor, step.during)))
            if not self._prepending.fits(during, step.timed.workspace_bytes):
                return None
            labels = self._prepending.put(self._change(tensor, step.timed), labels, before, during)
            labels = _below(labels, [self._room] * len(labels))
            if not any(labels):
                return None
        return labels

    def _change(self, tensor: str, timed: TimedCandidate) -> PreparedStep:
        key = (tensor, id(timed))
        if key not in self._prepared:
            self._prepared[key] = prepare(self._problem, self._activity, ComposedStep(None, (tensor,), timed))
        return self._prepared[key]

    def _efficient(self, table: Table) -> Table:
        """Without the states that another beats which asks for one copy less, and is no harder to come to."""
        kept = dict(table)
        for state, labels in table.items():
            for place, (tensor, mask) in enumerate(state):
                fields = list(self._marks.fields(mask))
                if len(fields) > 1 and any(
                    other in kept and beats(kept[other], labels)
                    for other in (
                        (*state[:place], (tensor, self._marks.without(mask, layout)), *state[place + 1 :])
                        for layout in self._burdens(fields)
                    )
                ):
                    del kept[state]
                    break
        return kept

    def _burdens(self, fields: Sequence[tuple[str, int]]) -> list[str]:
        """The layouts of copies that cannot spare the arena, where that is capped, what others would else take of it.

        One may whose place a later reader earns, and one in GPU memory into which QPUs may turn another there that
        nobody else earns.
        """
        if not self._is_arena_capped:
            return [layout for layout, _ in fields]
        unearned = [layout for layout, bits in fields if bits & ON_GPU and not bits & EARNED]
        return [
            layout
            for layout, bits in fields
            if not bits & (EARNED | LENT) and (not bits & ON_GPU or unearned == [layout])
        ]

    # Nodes ------------------------------------------------------------------------------------------------------

    def _read(self, place: int) -> Iterator[_Reading]:
        """The node of that number and every chain that begins with it."""
        node = self._graph.nodes[place]
        chains = self._problem.chains.get(place, ())
        for one, last in [(node, place), *((chain.node, chain.last) for chain in chains)]:
            ahead = self._tables[last + 1].values()
            if not ahead:
                continue
            room = self._room - min(own[0].cost for labels in ahead for own in labels if own)
            offers: dict[tuple[str, ...], list[tuple[Offer, tuple[PreparedStep, ...]]]] = {}
            found = capped_offers(self._problem, one, last, self._marks, self._homes, self._activity, room)
            for offer, ways in found.items():
                offers.setdefault(offer.outputs, []).append((offer, ways))
            yield _Reading(one, last + 1, offers)


def _free(step: ComposedStep, labels: Labels) -> Labels:
    return tuple(tuple(Label(one.cost, one.taken, step, one) for one in own) for own in labels)


def _below(labels: Labels, rooms: Sequence[float]) -> Labels:
    """The labels that cost less than that, by what is active."""
    return tuple(
        own if not own or own[-1].cost < room else tuple(label for label in own if label.cost < room)
        for own, room in zip(labels, rooms, strict=True)
    )


def _cost(label: Label) -> float:
    return label.cost


def _tensors(problem: Problem) -> Iterator[str]:
    yield from problem.graph.inputs
    for node in problem.graph.nodes:
        yield from node.outputs
