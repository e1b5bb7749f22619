"""What is left to pay from a place on, where a launch may hold only so much: costs with the bytes that a launch takes.

A label of an open launch says what the launch still takes where it goes on from here, beside what is there already.
What costs more than to start the launch anew is not kept, for that takes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from explorer.compose.activity import Activity, Rule
from explorer.compose.held import Caps
from explorer.compose.memory_use import HeldBytes
from explorer.compose.rivals import INFINITE
from explorer.compose.steps import ComposedStep


class Label(NamedTuple):
    """The rest of a composition: its price, what an open launch takes in it, its first step and what is behind that."""

    cost: float
    taken: int
    step: ComposedStep | None = None
    behind: Label | None = None

    def steps(self) -> Iterator[ComposedStep]:
        """All steps from here on."""
        label: Label | None = self
        while label is not None:
            if label.step is not None:
                yield label.step
            label = label.behind


Labels = tuple[tuple[Label, ...], ...]
"""For each state of activity the labels that are worth keeping, the cheapest first."""


class PreparedStep(NamedTuple):
    """A step with all that counts of it. `entered`: for each state of activity before it the one behind it, and what
    that costs; `launched`: the state of its engine's launch, None without one.
    """

    price: float
    rule: Rule
    entered: tuple[tuple[int, float], ...]
    launched: int | None
    workspace_bytes: int
    step: ComposedStep
    anew: ComposedStep


class Prepending:
    """Puts steps before labels, within caps."""

    def __init__(self, activity: Activity, launch_price: float, caps: Caps) -> None:
        self._launch = launch_price
        self._caps = caps
        self._activity = activity

    def fits(self, during: HeldBytes, workspace_bytes: int) -> bool:
        """Whether a step may run while so much is held."""
        return during.gpu <= self._caps.gpu_bytes and during.arena + workspace_bytes <= self._caps.arena_bytes

    def put(self, prepared: PreparedStep, labels: Labels, before: HeldBytes, during: HeldBytes) -> Labels:
        """The labels before a step that fits: `before`, what is held before it, `during`, while it runs."""
        if prepared.launched is not None:
            return self._launched(prepared, labels, before, during)
        found = []
        for behind, entering in prepared.entered:
            ahead = labels[behind]
            cost = prepared.price + entering
            found.append((Label(cost + ahead[0].cost, 0, prepared.step, ahead[0]),) if ahead else ())
        return tuple(found)

    def _launched(
        self, prepared: PreparedStep, labels: Labels, before: HeldBytes, during: HeldBytes
    ) -> Labels:
        room = self._caps.gpu_bytes - during.gpu
        going_on = [label for label in labels[prepared.launched or 0] if label.taken <= room]
        if not going_on:
            return ((),) * len(labels)
        first = going_on[0]
        started = Label(first.cost + prepared.price + self._launch, 0, prepared.step, first)
        written = during.gpu - before.gpu
        on = [
            Label(label.cost + prepared.price, label.taken + written, prepared.step, label)
            for label in going_on
        ]
        on.append(started._replace(step=prepared.anew))
        return tuple(
            self.front(on) if active == prepared.launched else (started,) for active in self._activity.states
        )

    def front(self, labels: Iterable[Label]) -> tuple[Label, ...]:
        """The labels of an open launch that are worth keeping, of those that hold within the cap."""
        if self._caps.gpu_bytes == INFINITE:
            return (min(labels, key=_order),)
        kept: list[Label] = []
        for label in sorted(labels, key=_order):
            if not kept or label.taken < kept[-1].taken:
                kept.append(label)
        return tuple(kept)

    def merged(self, one: Labels, other: Labels) -> Labels:
        """The best of both."""
        found = []
        for active, (a, b) in enumerate(zip(one, other, strict=True)):
            if not (a and b):
                found.append(a or b)
            elif self._activity.is_launch(active):
                found.append(self.front((*a, *b)))
            else:
                found.append(a if a[0].cost <= b[0].cost else b)
        return tuple(found)


def _order(label: Label) -> tuple[float, int]:
    return label.cost, label.taken


def beats(one: Labels, other: Labels) -> bool:
    """Whether for every label of the other there is one that costs and takes no more."""
    return all(
        any(a.cost <= b.cost and a.taken <= b.taken for a in mine)
        for mine, theirs in zip(one, other, strict=True)
        for b in theirs
    )
