"""A list scheduler for loop bodies in AArch64 assembly on a core that issues in order: loads among operations.

What a Cortex-A53 does is said in `scheduled_tile`: a register of four floats is loaded in halves, the lower one in a
cycle of its own, and no vector load issues four cycles behind a multiply-add. Loads therefore stand in a rhythm of four
cycles: some of them, then operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PERIOD = 4  # cycles
LEADS = (
    15,
    18,
    21,
    24,
    9,
    12,
    7,
)  # operations from a load to its use: its latency, and what a second cache takes
NOP = "nop"  # two are a cycle: one alone stands beside an operation
INSERTION_LEAD = 2  # operations from the insertion of an upper half to its use
TEMPORARIES = ("x9", "x10", "x11", "x12", "x13", "x14")
HALF_BYTES = 8


@dataclass(frozen=True)
class Value:
    """Four floats in memory, `offset` bytes from where `base` points, and `ahead` bytes more in the next iteration, or
    from where `ahead_base` points.
    """

    base: str
    offset: int
    ahead_base: str
    ahead_offset: int

    def address(self, half: int, ahead: bool) -> str:
        base, offset = (self.ahead_base, self.ahead_offset) if ahead else (self.base, self.offset)
        return f"[{base}, #{offset + half * HALF_BYTES}]"


@dataclass(frozen=True)
class Operation:
    """An instruction that takes a cycle; `{0}`, `{1}` in its text are the numbers of the registers of `reads`, places
    of values. A store lets no general load issue beside it.
    """

    text: str
    reads: tuple[int, ...] = ()
    is_store: bool = False


@dataclass(frozen=True)
class Schedule:
    """Instructions of a loop: what loads before it, an iteration, and the last one, which loads nothing ahead."""

    before: tuple[str, ...]
    body: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True)
class _Placed:
    """The load of a value in a slot, before operation `place`; below 0 in the iteration before."""

    value: int
    slot: int
    place: int
    first: int
    last: int  # the operations that read it first and last


def schedule(
    operations: Sequence[Operation],
    values: Sequence[Value],
    registers: Sequence[int],
    beside: Sequence[str],
    moves: Sequence[str],
) -> Schedule | None:
    """A loop's body, or None where registers or places for loads do not suffice.

    `beside`: instructions for anywhere beside operations, not in the last iteration. `moves`: those that end an
    iteration, in order, behind every load.
    """
    for loads in range(1, PERIOD):
        for lead in LEADS:
            placed = _placed(operations, values, loads, lead)
            chosen = _registers(placed, len(operations), registers) if placed else None
            if placed and chosen:
                return _written(operations, values, placed, chosen, loads, beside, moves)
    return None


def _placed(
    operations: Sequence[Operation], values: Sequence[Value], loads: int, lead: int
) -> list[_Placed] | None:
    """Every load as late as leaves `lead` operations before the first that reads it."""
    gap, count = PERIOD - loads, len(operations)
    slots = loads * (count // gap)
    if slots < len(values):
        return None
    uses: dict[int, list[int]] = {}
    for place, operation in enumerate(operations):
        for value in operation.reads:
            uses.setdefault(value, []).append(place)
    found: list[_Placed] = []
    before = slots  # the slots of this and of later values that are taken
    for value in sorted(uses, key=lambda one: -uses[one][0]):
        slot = min(before - 1, (uses[value][0] - lead) // gap * loads + loads - 1)
        before = slot
        round_, within = divmod(slot, slots)
        found.append(
            _Placed(value, slot, within // loads * gap + round_ * count, uses[value][0], uses[value][-1])
        )
    if found[0].slot - found[-1].slot >= slots or found[-1].slot < -slots:
        return None
    return found[::-1]


def _registers(placed: Sequence[_Placed], count: int, registers: Sequence[int]) -> dict[int, int] | None:
    """A register for each value whose times do not meet, this iteration's and the next's."""
    times: dict[int, list[_Placed]] = {register: [] for register in registers}
    chosen: dict[int, int] = {}
    for one in placed:
        free = [
            register
            for register, others in times.items()
            if all(not _meet(one, other, shift) for other in others for shift in (-count, 0, count))
        ]
        if not free or one.last - one.place >= count:
            return None
        # That which was free for the shortest time: the others stay for longer ones.
        best = max(free, key=lambda register: max((other.last for other in times[register]), default=-count))
        times[best].append(one)
        chosen[one.value] = best
    return chosen


def _meet(one: _Placed, other: _Placed, shift: int) -> bool:
    return one.place <= other.last + shift and other.place + shift <= one.last


def _written(
    operations: Sequence[Operation],
    values: Sequence[Value],
    placed: Sequence[_Placed],
    chosen: dict[int, int],
    loads: int,
    beside: Sequence[str],
    moves: Sequence[str],
) -> Schedule:
    before = [
        f"ldr q{chosen[one.value]}, {values[one.value].address(0, ahead=False)}"
        for one in placed
        if one.place < 0
    ]
    texts = [operation.text.format(*(chosen[value] for value in operation.reads)) for operation in operations]
    now = [one for one in placed if one.place >= 0]
    bodies = [
        _body(operations, texts, values, loaded, chosen, PERIOD - loads, extra)
        for loaded, extra in ((placed, (beside, moves)), (now, ((), ())))
    ]
    return Schedule(tuple(before), bodies[0], bodies[1])


def _body(
    operations: Sequence[Operation],
    texts: Sequence[str],
    values: Sequence[Value],
    placed: Sequence[_Placed],
    chosen: dict[int, int],
    gap: int,
    extra: tuple[Sequence[str], Sequence[str]],
) -> tuple[str, ...]:
    """Operations with the loads of this iteration and of the next; upper halves are loaded beside operations before,
    and inserted beside a later lower half, or when they must be.
    """
    count = len(texts)
    at: dict[int, list[_Placed]] = {}
    for one in placed:
        at.setdefault(one.place % count, []).append(one)
    halves = [(one, place) for place in sorted(at) for one in at[place]]
    temporaries = {one.value: TEMPORARIES[i % len(TEMPORARIES)] for i, (one, _) in enumerate(halves)}
    companions: dict[int, str] = {}
    alone: dict[int, list[str]] = {}
    for one, place in halves:
        text = f"ldr {temporaries[one.value]}, {values[one.value].address(1, ahead=one.place < 0)}"
        free = [
            j for j in range(max(0, place - gap), place) if j not in companions and not operations[j].is_store
        ]
        if free:
            companions[free[0]] = text
        else:
            alone.setdefault(place, []).append(text)
    last_load = max(at, default=0)
    starts = {place - gap for place in at if place >= gap and place - gap not in at}  # of a rhythm
    rest = _beside(operations, companions, extra[0], range(last_load))
    tail = _beside(operations, companions, extra[1], range(last_load, count), in_order=True)
    lines: list[str] = []
    pending: list[tuple[int, str]] = []  # insertions, and before which operation
    for place in range(count):
        lines += alone.get(place, [])
        if place in starts:  # no multiply-add four cycles before a load
            lines += [text for _, text in pending] or [NOP, NOP]
            lines += [NOP, NOP] * (PERIOD - gap - 1)
            pending = []
        lines += [text for until, text in pending if until <= place]
        pending = [one for one in pending if one[0] > place]
        inserted = []
        for one in at.get(place, []):
            lines.append(f"ldr d{chosen[one.value]}, {values[one.value].address(0, ahead=one.place < 0)}")
            if pending:
                lines.append(pending.pop(0)[1])
            until = one.first + (count if one.place < 0 else 0) - INSERTION_LEAD
            text = f"ins v{chosen[one.value]}.d[1], {temporaries[one.value]}"
            inserted.append((max(until, place + gap), text))
        pending += inserted
        lines.append(texts[place])
        if place in companions:
            lines.append(companions[place])
    return (*lines, *(text for _, text in pending), *rest, *tail)


def _beside(
    operations: Sequence[Operation],
    companions: dict[int, str],
    texts: Sequence[str],
    places: range,
    in_order: bool = False,
) -> list[str]:
    """Puts instructions beside operations that have room; what is left over."""
    free = [place for place in places if place not in companions and not operations[place].is_store]
    if in_order:
        free = free[-len(texts) :] if texts else []
    companions.update(zip(free, texts, strict=False))
    return list(texts[len(free) :])
