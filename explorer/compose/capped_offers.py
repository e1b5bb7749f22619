"""The ways of a node or chain where memory counts, by all that its neighbours see of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from codegen.bundle.tasks import is_view
from codegen.graph import Node
from codegen.memory_space import GPU, HOST
from codegen.operators.concat import Concat
from explorer.compose.activity import Activity
from explorer.compose.demands import ANYWHERE
from explorer.compose.homes import Homes
from explorer.compose.labels import PreparedStep
from explorer.compose.marks import EARNED, NEED, ON_GPU, ON_HOST, PART, Marks
from explorer.compose.offers import Offer, writes_parts
from explorer.compose.problem import Problem
from explorer.compose.steps import ComposedStep
from explorer.compose.timed_candidates import TimedCandidate

MOST_TOLD = 3  # inputs of one node of which each says in which of several memories it lies

CappedOffers = dict[Offer, tuple[PreparedStep, ...]]


def capped_offers(
    problem: Problem, node: Node, number: int, marks: Marks, homes: Homes, activity: Activity, room: float
) -> CappedOffers:
    """All that a node or chain offers, whose last member has that number, below a price; of each offer the cheapest
    first.
    """
    found: dict[Offer, list[PreparedStep]] = {}
    for timed in problem.ways[node.name]:
        view = is_view(timed.candidate.spec, timed.candidate.choice)
        if not view and not isinstance(node.op, Concat) and problem.prices.of(timed) >= room:
            continue
        for offer in _offers(problem, node, number, timed, marks, homes):
            step = ComposedStep(node, node.outputs, timed, offer.free == "view", offer.free == "in place")
            prepared = prepare(problem, activity, step)
            if not (view and found.get(offer)):
                found.setdefault(offer, []).append(prepared)
    return {
        offer: tuple(sorted(ways, key=lambda way: (way.price, way.workspace_bytes)))
        for offer, ways in found.items()
    }


def prepare(problem: Problem, activity: Activity, step: ComposedStep) -> PreparedStep:
    """A step as it is put before labels."""
    timed = step.timed
    rule = activity.rule(timed)
    return PreparedStep(
        problem.prices.of(timed),
        rule,
        tuple(activity.enter(rule, before) for before in activity.states),
        rule.after if timed.engine.launches else None,
        timed.workspace_bytes,
        step,
        ComposedStep(step.node, step.tensors, timed, starts_launch=True),
    )


def _offers(
    problem: Problem, node: Node, number: int, timed: TimedCandidate, marks: Marks, homes: Homes
) -> Iterator[Offer]:
    choice, engine = timed.candidate.choice, timed.engine
    if is_view(timed.candidate.spec, choice):
        mask = marks.field(choice.input_layouts[0], NEED)
        yield Offer(((node.inputs[0], mask),), choice.output_layouts, ANYWHERE, False, "view")
        return
    pairs = tuple(dict.fromkeys(zip(node.inputs, choice.input_layouts, strict=True)))
    tells = [pair for pair in pairs if len(homes.spaces(pair[1])) > 1]
    for every in product(
        *(_reads(pair, number, engine.reads, homes, len(tells) <= MOST_TOLD) for pair in pairs)
    ):
        asked: dict[str, int] = {}
        for (tensor, layout), bits in zip(pairs, every, strict=True):
            asked[tensor] = asked.get(tensor, 0) | marks.field(layout, bits)
        yield Offer(tuple(asked.items()), choice.output_layouts, engine.writes, writes_parts(node, timed))
    if isinstance(node.op, Concat) and {*choice.input_layouts} == {choice.output_layout}:
        layout = choice.output_layout
        if problem.can_place(node, layout):
            parts = tuple((tensor, marks.field(layout, NEED | PART)) for tensor in node.inputs)
            yield Offer(parts, choice.output_layouts, ANYWHERE, False, "in place")


def _reads(
    pair: tuple[str, str], number: int, reads: frozenset[str], homes: Homes, tells: bool
) -> Iterator[int]:
    """All that a reader may say of a copy."""
    spaces: tuple[int, ...]
    if HOST not in reads:
        spaces = (ON_GPU | EARNED,)
    elif GPU not in reads:
        spaces = (ON_HOST if ON_HOST in homes.spaces(pair[1]) else 0,)
    else:
        spaces = homes.spaces(pair[1])
        if len(spaces) > 1 and not tells:
            spaces = (0,)
    for space, home in product(spaces, homes.homes(*pair, number)):
        yield NEED | space | home
