"""The nodes and chains of a problem at their places, with all that they offer.

Nodes alike offer alike: what one of them offers is prepared once, and the others differ in the names of tensors alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from codegen.graph import Node
from codegen.operators.concat import Concat
from explorer.compose.activity import Activity
from explorer.compose.demands import Demands
from explorer.compose.offers import Offer, PricedWay, offers_of
from explorer.compose.problem import Problem

Choices = tuple[tuple[int, int, float, PricedWay], ...]
"""The states of activity before a step and behind it, what it costs, and the way that is best between the two."""


class PreparedOffer(NamedTuple):
    """An offer with a number, one for all that write alike, and its choices with the least price of them."""

    offer: Offer
    number: int
    least: float
    choices: Choices


class Reading(NamedTuple):
    """A node or chain at its place: where the graph goes on behind it, and who reads each of its inputs."""

    node: Node
    after: int
    choices: tuple[PreparedOffer, ...]
    readers: Mapping[str, tuple[int, ...]]


class Readings:
    """Of one problem: `at[n]` are the readings of node number n and of the chains that begin with it."""

    def __init__(self, problem: Problem, demands: Demands, activity: Activity) -> None:
        self._problem = problem
        self._demands = demands
        self._activity = activity
        self._prepared: dict[tuple[object, ...], tuple[tuple[str, ...], tuple[PreparedOffer, ...]]] = {}
        self.at = [self._of(index) for index in range(len(problem.graph.nodes))]

    def _of(self, index: int) -> list[Reading]:
        chains = self._problem.chains.get(index, ())
        spans = [(self._problem.graph.nodes[index], index), *((chain.node, chain.last) for chain in chains)]
        return [self._reading(node, index, last) for node, last in spans]

    def _reading(self, node: Node, first: int, last: int) -> Reading:
        members = self._problem.graph.nodes[first : last + 1]
        readers = {
            tensor: tuple(first + i for i, member in enumerate(members) if tensor in member.inputs)
            for tensor in dict.fromkeys(node.inputs)
        }
        return Reading(node, last + 1, self._offers(node), readers)

    def _offers(self, node: Node) -> tuple[PreparedOffer, ...]:
        if isinstance(node.op, Concat):  # of which some may be in place
            return self._prepare(node)
        inputs = tuple(dict.fromkeys(node.inputs))
        key = (id(self._problem.ways[node.name]), *map(inputs.index, node.inputs))
        if key not in self._prepared:
            self._prepared[key] = (inputs, self._prepare(node))
        names, prepared = self._prepared[key]
        return prepared if names == inputs else _renamed(prepared, dict(zip(names, inputs, strict=True)))

    def _prepare(self, node: Node) -> tuple[PreparedOffer, ...]:
        numbers: dict[tuple[object, ...], int] = {}
        return tuple(
            PreparedOffer(
                offer,
                numbers.setdefault((offer.outputs, offer.writes, offer.may_be_part), len(numbers)),
                min(way.price for way in ways),
                self._choices(ways),
            )
            for offer, ways in offers_of(self._problem, node, self._demands, self._activity).items()
        )

    def _choices(self, ways: Sequence[PricedWay]) -> Choices:
        best: dict[tuple[int, int], tuple[int, int, float, PricedWay]] = {}
        for active in self._activity.states:
            for way in ways:
                behind, entering = (
                    (active, 0.0) if way.rule is None else self._activity.enter(way.rule, active)
                )
                found = (active, behind, way.price + entering, way)
                if best.setdefault((active, behind), found)[2] > found[2]:
                    best[active, behind] = found
        return tuple(best.values())


def _renamed(prepared: Sequence[PreparedOffer], names: Mapping[str, str]) -> tuple[PreparedOffer, ...]:
    return tuple(
        PreparedOffer(
            offer._replace(inputs=tuple((names[tensor], mask) for tensor, mask in offer.inputs)),
            number,
            least,
            choices,
        )
        for offer, number, least, choices in prepared
    )
