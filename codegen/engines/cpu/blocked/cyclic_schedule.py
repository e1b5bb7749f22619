"""A list scheduler for loop bodies in AArch64 assembly on a core that issues in order: loads among operations.

On a Cortex-A53 a multiply-add of four floats takes a cycle and no vector load issues beside it, or four cycles behind
one; a load of 128 bits takes two cycles. What is free beside a multiply-add is a load into a general register. A value
of four floats is therefore taken in halves: loaded into general registers beside operations, then inserted, two halves
of different values in a cycle. A lower half is loaded as a vector in that cycle where the one four before it is of
insertions too. Every value so takes one cycle (cycles and their sources: the model of the core in
microbench/emulation/cores/cortex-a53.toml).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

PERIOD = 4  # cycles from a multiply-add to where no vector load issues
LEADS = (15, 18, 21, 24, 12, 9, 7, 5, 3)  # operations from a value's slot to its use: tried in this order
LOAD_CYCLES = 3  # from a general load to its use
INSERTION_LEAD = 2  # operations from the last insertion to the first use
MOST_APART = 2  # slots between values whose halves are inserted together
DISTANCES = (9, 10, 11, 8, 12, 7, 6, 5, 4, 3, 2, 1)  # operations from a general load to its insertion
TEMPORARIES = ("x9", "x10", "x11", "x12", "x13", "x14", "x17")
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
    of values.
    """

    text: str
    reads: tuple[int, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """Instructions of a loop: what loads before it, an iteration, and the last one, which loads nothing ahead. A
    conditional branch issues beside the last operation of the iteration.
    """

    before: tuple[str, ...]
    body: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True)
class _Slot:
    """The place of a value: before operation `place`, below 0 in the iteration before. `first` and `last` read it."""

    value: int
    number: int
    place: int
    first: int
    last: int

    @property
    def is_ahead(self) -> bool:
        return self.place < 0


@dataclass(frozen=True)
class _Half:
    """A half of a value that is put into its register before an operation of an iteration."""

    slot: _Slot
    half: int


@dataclass(frozen=True)
class _Cycle:
    """One or two halves, of different values, before operation `place`."""

    place: int
    halves: tuple[_Half, ...]


def schedule(
    operations: Sequence[Operation],
    values: Sequence[Value],
    registers: Sequence[int],
    beside: Sequence[str],
    moves: Sequence[str],
    temporaries: Sequence[str] = TEMPORARIES,
) -> Schedule | None:
    """A loop's body, or None where registers or places for loads do not suffice.

    `beside`: instructions for anywhere beside operations, not in the last iteration. `moves`: those that end an
    iteration, in order, behind every load. Of several schedules the one with the fewest cycles, or the first.
    """
    best: tuple[int, Schedule] | None = None
    for loads, lead in product(range(1, PERIOD), LEADS):
        slots = _slots(operations, len(values), loads, lead, len(moves))
        if slots is None:
            continue
        cycles = _cycles(slots, len(operations), loads)
        chosen = _registers(slots, cycles, len(operations), registers)
        if chosen is None or (best is not None and best[0] <= len(cycles)):
            continue
        found = _Writer(operations, values, chosen, temporaries).written(slots, cycles, beside, moves)
        if found is not None and (best is None or found[0] < best[0]):
            best = found
    return best[1] if best else None


def _slots(
    operations: Sequence[Operation], values: int, loads: int, lead: int, moves: int
) -> list[_Slot] | None:
    """Every value in a slot of its own, as late as leaves `lead` operations before the first that reads it: so many
    slots behind every few operations, none where the iteration ends.
    """
    gap, count = PERIOD - loads, len(operations)
    places = range(gap, count - moves + 1, gap)
    slots = loads * len(places)
    if slots < values:
        return None
    uses: dict[int, list[int]] = {}
    for place, operation in enumerate(operations):
        for value in operation.reads:
            uses.setdefault(value, []).append(place)
    for until in range(slots, 0, -1):
        found = _latest(uses, lead, count, places, loads, until)
        if found[-1].number < -slots:
            return None
        if found[0].number - found[-1].number < slots:
            return found[::-1]
    return None


def _latest(
    uses: dict[int, list[int]], lead: int, count: int, places: Sequence[int], loads: int, until: int
) -> list[_Slot]:
    """Every value as late as it goes in a slot below `until`, the last one first."""
    slots, gap = loads * len(places), places[0]
    found: list[_Slot] = []
    before = until  # the slots of this and of later values that are taken
    for value in sorted(uses, key=lambda one: -uses[one][0]):
        latest = uses[value][0] - lead
        behind = 0 if latest >= gap else 1
        inside = min((latest + behind * count) // gap, len(places))
        before = min(before - 1, inside * loads - 1 - behind * slots)
        round_, within = divmod(before, slots)
        place = places[within // loads] + round_ * count
        found.append(_Slot(value, before, place, uses[value][0], uses[value][-1]))
    return found


def _cycles(slots: Sequence[_Slot], count: int, loads: int) -> list[_Cycle]:
    """Halves that are inserted together: the lower of a value with the upper of the one before; in the first cycle of
    a row of values two lower ones, in the last two upper ones. A value alone takes two cycles.
    """
    rows: list[list[_Slot]] = []
    for slot in slots:
        before = rows[-1][-1] if rows else None
        if (
            before is not None
            and before.is_ahead == slot.is_ahead
            and slot.number - before.number <= MOST_APART * loads
            and slot.place + INSERTION_LEAD <= before.first
        ):
            rows[-1].append(slot)
        else:
            rows.append([slot])
    return [cycle for row in rows for cycle in _row(row, count)]


def _row(row: Sequence[_Slot], count: int) -> Iterator[_Cycle]:
    lower, upper = [_Half(slot, 0) for slot in row], [_Half(slot, 1) for slot in row]
    places = [slot.place % count for slot in row]
    if len(row) == 1:
        yield _Cycle(places[0], (lower[0],))
        yield _Cycle(places[0], (upper[0],))
        return
    yield _Cycle(places[0], (lower[0], lower[1]))
    for i in range(1, len(row) - 1):
        yield _Cycle(places[i], (lower[i + 1], upper[i - 1]))
    yield _Cycle(places[-1], (upper[-2], upper[-1]))


def _registers(
    slots: Sequence[_Slot], cycles: Sequence[_Cycle], count: int, registers: Sequence[int]
) -> dict[int, int] | None:
    """A register for each value whose times do not meet, this iteration's and the next's."""
    begins = {half.slot.value: cycle.place for cycle in reversed(cycles) for half in cycle.halves}
    times: dict[int, list[tuple[int, int]]] = {register: [] for register in registers}
    chosen: dict[int, int] = {}
    for slot in slots:
        begin = begins[slot.value] - (count if slot.is_ahead else 0)
        free = [
            register
            for register, others in times.items()
            if all(
                begin > last + shift or first + shift > slot.last
                for first, last in others
                for shift in (-count, 0, count)
            )
        ]
        if not free or slot.last - begin >= count:
            return None
        # That which was free for the shortest time: the others stay for longer ones.
        best = max(free, key=lambda register: max((last for _, last in times[register]), default=-count))
        times[best].append((begin, slot.last))
        chosen[slot.value] = best
    return chosen


@dataclass(frozen=True)
class _Writer:
    operations: Sequence[Operation]
    values: Sequence[Value]
    registers: dict[int, int]
    temporaries: Sequence[str]

    def written(
        self, slots: Sequence[_Slot], cycles: Sequence[_Cycle], beside: Sequence[str], moves: Sequence[str]
    ) -> tuple[int, Schedule] | None:
        """With the cycles that an iteration takes beyond its operations, as far as loads are not late."""
        before = tuple(
            f"ldr q{self.registers[slot.value]}, {self.values[slot.value].address(0, ahead=False)}"
            for slot in slots
            if slot.is_ahead
        )
        now = [cycle for cycle in cycles if not cycle.halves[0].slot.is_ahead]
        body, last = self._body(cycles, beside, moves), self._body(now, (), ())
        if body is None or last is None:
            return None
        return len(cycles) + body[0], Schedule(before, body[1], last[1])

    def _body(
        self, cycles: Sequence[_Cycle], beside: Sequence[str], moves: Sequence[str]
    ) -> tuple[int, tuple[str, ...]] | None:
        """Operations with the insertions before them, and beside them general loads, further instructions and moves;
        and the cycles lost where general loads are alone, or soon wanted.
        """
        count = len(self.operations)
        at: dict[int, list[_Cycle]] = {}
        for cycle in cycles:
            at.setdefault(cycle.place, []).append(cycle)
        is_vector_load = _vector_loads(at, count)
        general = [
            (place, half)
            for place in sorted(at)
            for cycle in at[place]
            for i, half in enumerate(cycle.halves)
            if i or not is_vector_load[cycle]
        ]
        companions: dict[int, str] = {}
        alone: dict[int, list[str]] = {}
        loaded = self._general_loads(general, companions, alone)
        if loaded is None:
            return None
        last_load = max([*companions, *(place - 1 for place in (*alone, *at))], default=-1)
        free = [place for place in range(count - 1) if place not in companions]
        late = [place for place in free if place > last_load]
        late = late[max(0, len(late) - len(moves)) :]
        companions.update(zip(late, moves, strict=False))
        early = free[: len(free) - len(late)]
        companions.update(zip(early, beside, strict=False))
        lines = list(beside[len(early) :])
        for place, operation in enumerate(self.operations):
            for cycle in at.get(place, []):
                lines += self._cycle_lines(cycle, is_vector_load[cycle], loaded)
            lines += alone.get(place, [])  # behind insertions: their temporaries are free again
            lines.append(operation.text.format(*(self.registers[value] for value in operation.reads)))
            if place in companions:
                lines.append(companions[place])
        lost = sum(map(len, alone.values())) + sum(wait for _, wait in loaded.values())
        return lost, (*lines, *moves[len(late) :])

    def _general_loads(
        self,
        general: Sequence[tuple[int, _Half]],
        companions: dict[int, str],
        alone: dict[int, list[str]],
    ) -> dict[_Half, tuple[str, int]] | None:
        """The temporary of each half that is inserted, and cycles that its insertion waits; its load is put beside an
        operation before, or where there is none for it before one.
        """
        busy: dict[str, list[tuple[int, int]]] = {name: [] for name in self.temporaries}
        found: dict[_Half, tuple[str, int]] = {}
        for place, half in general:
            choices = [
                (beside, name)
                for distance in (*DISTANCES, LOAD_CYCLES)
                if (beside := place - distance) >= 0
                for name, times in busy.items()
                if all(place <= begin or end <= beside for begin, end in times)
            ]
            if not choices:
                return None
            beside, name = next((one for one in choices if one[0] not in companions), choices[-1])
            address = self.values[half.slot.value].address(half.half, half.slot.is_ahead)
            if beside not in companions:
                companions[beside] = f"ldr {name}, {address}"
            else:
                alone.setdefault(beside, []).append(f"ldr {name}, {address}")
            busy[name].append((beside, place))
            found[half] = name, max(0, LOAD_CYCLES - (place - beside))
        return found

    def _cycle_lines(
        self, cycle: _Cycle, is_vector_load: bool, loaded: dict[_Half, tuple[str, int]]
    ) -> list[str]:
        lines = []
        for i, half in enumerate(cycle.halves):
            register = self.registers[half.slot.value]
            if is_vector_load and not i:
                address = self.values[half.slot.value].address(half.half, half.slot.is_ahead)
                lines.append(f"ldr d{register}, {address}")
            else:
                lines.append(f"ins v{register}.d[{half.half}], {loaded[half][0]}")
        return lines


def _vector_loads(at: dict[int, list[_Cycle]], count: int) -> dict[_Cycle, bool]:
    """Whether the first half of a cycle may be loaded as a vector: a lower one, and four cycles before is no operation.

    Such a load leaves zeros in the upper half, which is inserted later.
    """
    found: dict[_Cycle, bool] = {}
    timeline: list[bool] = []  # whether a cycle is of insertions
    for place in range(count):
        for cycle in at.get(place, []):
            time = len(timeline)
            first = cycle.halves[0]
            found[cycle] = first.half == 0 and time >= PERIOD and timeline[time - PERIOD]
            timeline.append(True)
        timeline.append(False)
    return found
