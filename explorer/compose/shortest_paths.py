"""Exact shortest paths through layers of states where a second quantity is bounded: label setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from explorer.compose.held import Caps, Held
from explorer.errors import CompositionError

MOST_LABELS = 200_000

Step = TypeVar("Step")


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
    """The best way so far to a state with that much GPU memory taken in vain, and its peaks."""

    cost: float
    idle_bytes: int
    gpu_peak: int = 0
    arena_peak: int = 0
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


Frontier = Mapping[Held, tuple[Label[Step], ...]]
Moves = Callable[[Held], Iterable[Move[Step]]]


def shortest(starts: Iterable[Held], layers: Sequence[Moves[Step]], caps: Caps) -> Frontier[Step]:
    """The labels behind the last layer: for each state those that no other beats in cost and idle bytes.

    Equal labels: the first counts. Raises CompositionError where the states are too many to be looked at.
    """
    reached: list[dict[Held, list[Label[Step]]]] = [{} for _ in range(len(layers) + 1)]
    reached[0] = {held: [Label(0.0, 0)] for held in starts}
    for index, moves in enumerate(layers):
        for held, labels in _frontier(reached[index], caps).items():
            for move in moves(held):
                if move.arena_bytes > caps.arena_bytes or move.gpu_bytes > caps.gpu_bytes:
                    continue
                after = reached[index + 1 + move.skips]
                after.setdefault(move.after, []).extend(_after(labels, move, caps))
        reached[index].clear()
    return _frontier(reached[-1], caps)


def _frontier(found: Mapping[Held, list[Label[Step]]], caps: Caps) -> Frontier[Step]:
    bounded = caps.gpu_bytes != float("inf")
    efficient = {held: tuple(_efficient(labels, bounded)) for held, labels in found.items() if labels}
    if sum(map(len, efficient.values())) > MOST_LABELS:
        raise CompositionError(
            f"the exact composition has more than {MOST_LABELS} ways to compare: the graph is too densely "
            "connected; lower the number of choices per layer"
        )
    return efficient


def _after(labels: Iterable[Label[Step]], move: Move[Step], caps: Caps) -> Iterator[Label[Step]]:
    for label in labels:
        taken = label.idle_bytes if move.carries else 0
        needed = taken + move.gpu_bytes
        if needed > caps.gpu_bytes:
            continue
        idle = taken + move.released_bytes if move.after.launched else 0
        yield Label(
            label.cost + move.cost,
            idle,
            max(label.gpu_peak, needed),
            max(label.arena_peak, move.arena_bytes),
            label,
            move.steps,
        )


def _efficient(labels: list[Label[Step]], bounded: bool) -> Iterator[Label[Step]]:
    """Without a bound on memory the cheapest is enough."""
    least = float("inf")
    for label in sorted(labels, key=lambda one: (one.cost, one.idle_bytes)):
        if label.idle_bytes < least:
            least = label.idle_bytes if bounded else -1.0
            yield label
