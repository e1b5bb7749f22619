"""Shortest paths through layers of states where a second quantity is bounded: label setting in beams.

A beam, the widest that is asked for last, looks at the most promising labels of every layer alone. What it leaves out
would cost at least as much as its bound says: the least of these bounds is a bound on every path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from explorer.compose.effort import MOVE_UNITS, Effort
from explorer.compose.held import Caps, Held

Step = TypeVar("Step")
INFINITE = float("inf")
ROUNDING = 1e-12  # of a cost, by which equal sums may differ


class Move(NamedTuple, Generic[Step]):
    """One way on from a state. Bytes of GPU memory are those of buffers that are still needed; `released_bytes` are
    needed no longer, but stay taken until the launch ends. `carries`: the launch goes on, with what it has taken.
    """

    after: Held
    cost: float
    steps: tuple[Step, ...] = ()
    gpu_bytes: int = 0
    arena_bytes: int = 0
    released_bytes: int = 0
    carries: bool = True
    skips: int = 0  # layers behind this one that are done as well


class Label(NamedTuple, Generic[Step]):
    """The best way so far to a state with that much GPU memory taken in vain."""

    cost: float
    idle_bytes: int
    before: Label[Step] | None = None
    steps: tuple[Step, ...] = ()

    def path(self) -> tuple[Step, ...]:
        """All steps from the start."""
        parts: list[tuple[Step, ...]] = []
        label: Label[Step] | None = self
        while label is not None:
            parts.append(label.steps)
            label = label.before
        return tuple(step for steps in reversed(parts) for step in steps)


Reached = dict[Held, list[Label[Step]]]
Rest = Callable[["Waypoint", Held], float]
"""What is left to pay at least from a place on, in a state."""


class Waypoint(NamedTuple):
    """Before the node of that number, or right behind it, where layouts of its outputs are still to be changed."""

    node: int
    is_behind: bool = False


class Layer(NamedTuple, Generic[Step]):
    """The moves of a layer; where it begins, if that is a place."""

    moves: Callable[[Held], Iterable[Move[Step]]]
    place: Waypoint | None = None


@dataclass(frozen=True)
class Search(Generic[Step]):
    """Paths from one of the starts through all layers to a state that is an end."""

    starts: Sequence[Held]
    layers: Sequence[Layer[Step]]
    is_end: Callable[[Held], bool]
    rest: Rest
    caps: Caps

    def beam(
        self, width: int, most: float, effort: Effort, is_over: Callable[[], bool], thrifty: bool = False
    ) -> Beam[Step]:
        """The best path that costs less than `most`, with at most so many labels at every place, the most promising by
        their cost or, `thrifty`, by the memory that they hold; equal ones in order. Ends without one when it `is_over`.
        """
        bound = INFINITE
        reached: list[Reached[Step]] = [{} for _ in range(len(self.layers) + 1)]
        reached[0] = {held: [Label(0.0, 0)] for held in self.starts}
        for index, layer in enumerate(self.layers):
            labels = list(self._promising(layer.place, reached[index], most))
            reached[index] = {}
            if layer.place is not None and len(labels) > width:
                labels.sort(key=_bytes if thrifty else _cost)
                bound = min(bound, *(found[0] for found in labels[width:]))
                del labels[width:]
            if layer.place is not None and is_over():
                return Beam(None, min([bound, *self._open(labels, reached[index + 1 :], most)]))
            for held, own in _by_state(labels).items():
                for move in layer.moves(held):
                    effort.spend(MOVE_UNITS)
                    if move.arena_bytes <= self.caps.arena_bytes and move.gpu_bytes <= self.caps.gpu_bytes:
                        after = reached[index + 1 + move.skips].setdefault(move.after, [])
                        after.extend(_after(own, move, self.caps))
        ends = (label for held, own in reached[-1].items() if self.is_end(held) for label in own)
        best = min((end for end in ends if end.cost < most), key=lambda label: label.cost, default=None)
        return Beam(best, bound if best is None else min(bound, best.cost))

    def _promising(
        self, place: Waypoint | None, found: Mapping[Held, list[Label[Step]]], most: float
    ) -> Iterator[tuple[float, Held, Label[Step]]]:
        bounded = self.caps.gpu_bytes != INFINITE
        for held, labels in found.items():
            rest = 0.0 if place is None else self.rest(place, held)
            for label in _efficient(labels, bounded):
                if label.cost + rest < most:
                    yield label.cost + rest, held, label

    def _open(
        self,
        labels: Iterable[tuple[float, Held, Label[Step]]],
        later: Sequence[Mapping[Held, list[Label[Step]]]],
        most: float,
    ) -> Iterator[float]:
        """The bounds of all labels that were not gone on from."""
        yield from (found[0] for found in labels)
        for layer, found in zip(self.layers[-len(later) + 1 :], later, strict=False):
            yield from (least for least, _, _ in self._promising(layer.place, found, most))


class Beam(NamedTuple, Generic[Step]):
    """The best path of a beam, if any, and what no other path below the asked cost falls below."""

    best: Label[Step] | None
    bound: float


def _cost(found: tuple[float, Held, Label[Step]]) -> float:
    return found[0]


def _bytes(found: tuple[float, Held, Label[Step]]) -> tuple[int, float]:
    least, held, label = found
    return held.bytes_in("gpu", "promised", "arena") + label.idle_bytes, least


def _by_state(labels: Iterable[tuple[float, Held, Label[Step]]]) -> dict[Held, list[Label[Step]]]:
    found: dict[Held, list[Label[Step]]] = {}
    for _, held, label in labels:
        found.setdefault(held, []).append(label)
    return found


def _after(labels: Iterable[Label[Step]], move: Move[Step], caps: Caps) -> Iterator[Label[Step]]:
    for label in labels:
        taken = label.idle_bytes if move.carries else 0
        if taken + move.gpu_bytes <= caps.gpu_bytes:
            idle = taken + move.released_bytes if move.after.launched else 0
            yield Label(label.cost + move.cost, idle, label, move.steps)


def _efficient(labels: list[Label[Step]], bounded: bool) -> Iterator[Label[Step]]:
    """Those that no other beats in cost and idle bytes. Without a bound on memory the cheapest is enough."""
    least = INFINITE
    for label in sorted(labels, key=lambda one: (one.cost, one.idle_bytes)):
        if label.idle_bytes < least:
            least = label.idle_bytes if bounded else -1.0
            yield label
