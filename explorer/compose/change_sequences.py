"""Every way to have a tensor in all layouts that are asked for, with the copies that are there at every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from codegen.memory_space import GPU, HOST
from explorer.compose.activity import Activity
from explorer.compose.homes import Homes
from explorer.compose.marks import EARNED, NEED, ON_GPU, ON_HOST, PART, VIEWS, Marks
from explorer.compose.problem import Problem
from explorer.compose.timed_candidates import TimedCandidate


class ChangeStep(NamedTuple):
    """One change, and the copies of the tensor before it and while it runs, as masks."""

    timed: TimedCandidate
    before: int
    during: int


class Changes(NamedTuple):
    """Changes in the order they run, and the copy that the tensor's producer writes for them, as a mask."""

    source: int
    steps: tuple[ChangeStep, ...]


class _Made(NamedTuple):
    """Copies made so far, with what is known of each; the changes with the place of the copy that each reads."""

    layouts: tuple[str, ...]
    bits: tuple[int, ...]
    changes: tuple[tuple[TimedCandidate, int], ...] = ()


class ChangeSequences:
    """Changes of layout of one problem's tensors, of those alike in all that counts only the cheapest."""

    def __init__(self, problem: Problem, marks: Marks, homes: Homes, activity: Activity) -> None:
        self._problem = problem
        self._marks = marks
        self._homes = homes
        self._activity = activity
        self._found: dict[tuple[object, ...], tuple[Changes, ...]] = {}

    def of(self, tensor: str, source: str, mask: int) -> tuple[Changes, ...]:
        """From a copy in one layout to all of a mask; none where the layouts cannot be made."""
        wanted = self._problem.wanted_layouts(tensor)
        most = self._problem.most_changes(tensor)
        homes = self._homes.homes(tensor, source, -1)
        key = (self._problem.graph.types[tensor], wanted, most, homes, source, mask)
        if key not in self._found:
            self._found[key] = tuple(self._cheapest(self._search(tensor, source, mask, wanted, most)))
        return self._found[key]

    def _search(
        self, tensor: str, source: str, mask: int, wanted: Sequence[str], most: int
    ) -> Iterator[Changes]:
        if self._marks.contradicts(mask):
            return
        needed = {layout for layout, _ in self._marks.fields(mask)} - {source}
        if any(self._marks.bits(mask, layout) & (PART | sum(VIEWS)) for layout in needed):
            return  # a copy that is made lies in a buffer of its own
        asked = self._marks.bits(mask, source)
        homes = (0,) if asked & NEED else self._homes.homes(tensor, source, -1)
        waiting = [_Made((source,), (asked | NEED | home,)) for home in homes]
        while waiting:
            made = waiting.pop()
            if needed <= {*made.layouts}:
                yield from self._finished(made, mask)
            if len(made.changes) < most:
                waiting += self._further(tensor, made, mask, wanted)

    def _further(self, tensor: str, made: _Made, mask: int, wanted: Sequence[str]) -> Iterator[_Made]:
        """With one more copy, made from any."""
        for target in wanted:
            if target in made.layouts:
                continue
            for place, source in enumerate(made.layouts):
                for timed in self._problem.relayouts(tensor, source, target):
                    bits = [*made.bits, self._marks.bits(mask, target) | NEED]
                    if HOST not in timed.engine.reads:
                        bits[place] |= ON_GPU | EARNED
                    elif GPU not in timed.engine.reads:
                        bits[place] |= ON_HOST
                    changes = (*made.changes, (timed, place))
                    yield _Made((*made.layouts, target), tuple(bits), changes)

    def _finished(self, made: _Made, mask: int) -> Iterator[Changes]:
        """With every copy where its writer can write it; none where something is made for nobody."""
        last = [-1] * len(made.layouts)
        for index, (_, place) in enumerate(made.changes):
            last[place] = index
        bits = list(made.bits)
        for place, layout in enumerate(made.layouts):
            asked = bool(self._marks.bits(mask, layout) & NEED)
            if place and not asked and last[place] < 0:
                return
            last[place] = len(made.changes) if asked else last[place]
            if place:
                settled = self.settled(layout, bits[place], made.changes[place - 1][0].engine.writes)
                if settled is None:
                    return
                bits[place] = settled
        if any(known & ON_HOST and known & ON_GPU for known in bits):
            return
        is_told = bits[0] & (ON_HOST | ON_GPU)
        for space in (0,) if is_told else self._homes.spaces(made.layouts[0]):
            bits[0] = made.bits[0] | space
            yield self._sequence(made, bits, last)

    def settled(self, layout: str, bits: int, writes: frozenset[str]) -> int | None:
        """What is known of a copy once its writer is known; None where that cannot write it."""
        if bits & ON_HOST:
            return bits if HOST in writes else None
        if bits & ON_GPU:
            is_earned = bool(bits & EARNED) or HOST not in writes
            return bits if GPU in writes and is_earned else None
        spaces = self._homes.spaces(layout)
        if HOST in writes:
            return bits | (ON_HOST if ON_HOST in spaces else 0) if spaces != (ON_GPU,) else None
        return bits | ON_GPU

    def _sequence(self, made: _Made, bits: Sequence[int], last: Sequence[int]) -> Changes:
        fields = [self._marks.field(layout, known) for layout, known in zip(made.layouts, bits, strict=True)]
        steps = []
        for index, (timed, _) in enumerate(made.changes):
            before = sum(fields[place] for place in range(index + 1) if last[place] >= index)
            steps.append(ChangeStep(timed, before, before | fields[index + 1]))
        return Changes(fields[0], tuple(steps))

    def _cheapest(self, found: Iterator[Changes]) -> Iterator[Changes]:
        alike: dict[tuple[object, ...], Changes] = {}
        for sequence in found:
            key = (
                sequence.source,
                tuple(
                    (step.before, step.during, self._activity.rule(step.timed), step.timed.workspace_bytes)
                    for step in sequence.steps
                ),
            )
            if key not in alike or self._price(sequence) < self._price(alike[key]):
                alike[key] = sequence
        yield from alike.values()

    def _price(self, sequence: Changes) -> float:
        return sum(self._problem.prices.of(step.timed) for step in sequence.steps)
