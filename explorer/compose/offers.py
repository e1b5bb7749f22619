"""The ways of a node or chain, by all that its neighbours see of them: of each only the cheapest counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from codegen.bundle.tasks import is_view
from codegen.graph import Node
from codegen.operators.concat import Concat
from codegen.operators.side_by_side import SideBySide
from explorer.compose.activity import Activity, Rule
from explorer.compose.demands import ANYWHERE, Demands
from explorer.compose.problem import Problem
from explorer.compose.timed_candidates import TimedCandidate


class Offer(NamedTuple):
    """What a node asks of its inputs, a mask each, and gives: the layouts of its outputs, in memories that its engine
    can write, or in place of a part in one of `part_layouts`. `free`: nothing is computed, all is as before.
    """

    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[str, ...]
    writes: frozenset[str]
    may_be_part: bool
    free: Literal["", "view", "in place"] = ""


@dataclass(frozen=True)
class PricedWay:
    """A way with its price and its rule of activity; no rule where it is free."""

    timed: TimedCandidate
    price: float
    rule: Rule | None


Offers = dict[Offer, tuple[PricedWay, ...]]


def offers_of(problem: Problem, node: Node, demands: Demands, activity: Activity) -> Offers:
    """All that a node or chain offers."""
    found: dict[Offer, dict[Rule | None, PricedWay]] = {}
    for timed in problem.ways[node.name]:
        for offer in _offers(problem, node, timed, demands):
            rule = None if offer.free else activity.rule(timed)
            price = 0.0 if offer.free else problem.prices.of(timed)
            ways = found.setdefault(offer, {})
            if rule not in ways or price < ways[rule].price:
                ways[rule] = PricedWay(timed, price, rule)
    return {offer: tuple(ways.values()) for offer, ways in found.items()}


def writes_parts(node: Node, timed: TimedCandidate) -> bool:
    """Whether what a way computes may be parts of concatenations in place."""
    can_write = len(node.outputs) == 1 or isinstance(node.op, SideBySide)
    return can_write and timed.engine.part_layouts.issuperset(timed.candidate.choice.output_layouts)


def _offers(problem: Problem, node: Node, timed: TimedCandidate, demands: Demands) -> Iterator[Offer]:
    choice, engine = timed.candidate.choice, timed.engine
    if is_view(timed.candidate.spec, choice):
        mask = demands.need(choice.output_layout)
        yield Offer(((node.inputs[0], mask),), choice.output_layouts, ANYWHERE, False, "view")
        return
    asked: dict[str, int] = {}
    for tensor, layout in zip(node.inputs, choice.input_layouts, strict=True):
        mask = demands.need(layout) | demands.bound(layout, engine.reads)
        asked[tensor] = asked.get(tensor, 0) | mask
    if not any(map(demands.contradicts, asked.values())):
        yield Offer(tuple(asked.items()), choice.output_layouts, engine.writes, writes_parts(node, timed))
    if isinstance(node.op, Concat) and {*choice.input_layouts} == {choice.output_layout}:
        layout = choice.output_layout
        if problem.can_place(node, layout):
            parts = tuple((tensor, demands.placed(layout)) for tensor in node.inputs)
            yield Offer(parts, choice.output_layouts, ANYWHERE, False, "in place")
