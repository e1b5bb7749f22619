"""Modulo scheduling of a loop: distances are kept across its branch too, and every instruction is filled by choice.

Every operation of an iteration gets a time below the `interval` at which iterations begin. Intervals are tried from
the fewest instructions that the ALUs allow (Rau, "Iterative modulo scheduling", 1996, without its backtracking); each
operation is placed where an instruction has room for it, between those before and behind it, this iteration's and its
neighbours'. What is in accumulators goes first: products wait for places there, copies and requests seldom do.

What an iteration ends with may belong to the next one; that is the kernel's choice, so that it needs no code of its own
before or behind the loop than the same operations once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product

from codegen.engines.videocore4.blocks import asks_tmu, loads_tmu
from codegen.engines.videocore4.effects import RELAY, UNIFORM
from codegen.engines.videocore4.flow import DELAY_SLOTS
from codegen.engines.videocore4.operation import Bundle
from codegen.engines.videocore4.packing import pack
from codegen.engines.videocore4.registers import R4, Register
from codegen.engines.videocore4.rules_flow import TMU_DEPTH
from codegen.engines.videocore4.scheduler import TMU_LATENCY, dependences
from codegen.errors import AssemblyError

_ACCUMULATORS = frozenset({"r0", "r1", "r2", "r3", "r5"})
_QUEUES = frozenset({"tmu0", "tmu1"})
_TURNED = _ACCUMULATORS - {"r5"}
_MOST_MORE = 16  # instructions beside the fewest, before giving up


def pipelined(items: Sequence[Bundle], in_flight: tuple[int, int]) -> list[Bundle]:
    """Instructions of the shortest loop found, without its branch, which stands before the last three.

    Of an iteration's operations, each is a bundle of its own, in an order in which they are right; registers are real
    ones. `in_flight`: requests of each TMU under way when an iteration begins; each load receives the oldest. What sets
    flags sets those of the branch. Raises AssemblyError where no loop is found.
    """
    fewest = fewest_instructions(items)
    edges = [*_edges(items), *_tmu_edges(items, 0, in_flight[0]), *_tmu_edges(items, 1, in_flight[1])]
    for interval in range(fewest, fewest + _MOST_MORE):
        for copies_wait, loads_wait in product((True, False), repeat=2):
            placing = _Placing(items, edges, interval, copies_wait, loads_wait)
            if placing.succeeds():
                return placing.instructions()
    raise AssemblyError(
        f"no loop of {fewest} to {fewest + _MOST_MORE - 1} instructions for {len(items)} operations"
    )


def fewest_instructions(items: Sequence[Bundle]) -> int:
    """What the ALUs need, without the branch."""
    units = [operation.unit for item in items for operation in item.operations]
    return max(units.count("add"), units.count("mul"), -(-len(units) // 2), DELAY_SLOTS + 1)


_Edge = tuple[int, int, int, int]  # before, after, least distance, iterations between


def _edges(items: Sequence[Bundle]) -> list[_Edge]:
    count = len(items)
    return [
        (before, after % count, distance, after // count)
        for before, behind in enumerate(dependences([*items, *items], _QUEUES)[:count])
        for after, distance in behind.items()
    ]


def _tmu_edges(items: Sequence[Bundle], tmu: int, in_flight: int) -> Iterator[_Edge]:
    """Requests and loads each in their order, and a load between its request and that for which it makes room."""
    requests = [index for index, item in enumerate(items) if asks_tmu(item, tmu)]
    loads = [index for index, item in enumerate(items) if loads_tmu(item, tmu)]
    if len(requests) != len(loads):
        raise AssemblyError(f"an iteration has {len(requests)} requests of TMU {tmu} and {len(loads)} loads")
    for ordered in (requests, loads):
        for before, after in pairwise(ordered):
            yield before, after, 1, 0
        if len(ordered) > 1:
            yield ordered[-1], ordered[0], 1, 1
    for number, request in enumerate(requests, in_flight):
        later, place = divmod(number, len(loads))
        yield request, loads[place], TMU_LATENCY, later
        earlier, place = divmod(number - TMU_DEPTH, len(loads))
        yield loads[place], request, 1, -earlier


class _Placing:
    """Times of one iteration's operations for one interval; `first` and `last` bound those that are not placed."""

    def __init__(
        self,
        items: Sequence[Bundle],
        edges: Sequence[_Edge],
        interval: int,
        copies_wait: bool,
        loads_wait: bool,
    ) -> None:
        self._items = items
        self._copies_wait = copies_wait
        self._loads_wait = loads_wait
        self._interval = interval
        self._after: list[list[tuple[int, int]]] = [[] for _ in items]  # (other, least distance)
        self._before: list[list[tuple[int, int]]] = [[] for _ in items]
        for before, after, distance, iterations in edges:
            self._after[before].append((after, distance - iterations * interval))
            self._before[after].append((before, distance - iterations * interval))
        self._first = [0] * len(items)
        self._last = [interval - 1] * len(items)
        for index, item in enumerate(items):
            if any(operation.set_flags for operation in item.operations):
                self._last[index] = interval - DELAY_SLOTS - 1
        self._rows: list[list[int]] = [[] for _ in range(interval)]
        self._placed: set[int] = set()
        self._held: list[int | None] = [None] * interval  # by row, the uniform that port A keeps through it
        self._uniform = _uniforms(items)

    def succeeds(self) -> bool:
        """Places everything; False where something finds no room."""
        return all(map(self._tighten, range(len(self._items)))) and all(map(self._place, self._order()))

    def instructions(self) -> list[Bundle]:
        return [_joined([self._items[index] for index in row]) for row in self._rows]

    def _order(self) -> list[int]:
        """First what takes or gives a value in an accumulator: another product waits for the place."""
        numbers = [index for index, item in enumerate(self._items) if item.operations]
        return sorted(numbers, key=lambda index: not self._is_urgent(index))

    def _is_urgent(self, index: int) -> bool:
        return bool(_registers(self._items[index]) & _ACCUMULATORS) and not self._waits(index)

    def _waits(self, index: int) -> bool:
        """Whether it is a copy into an accumulator that is best as late as possible: of a uniform, of which there is
        another as soon as one is wanted, or of what a TMU gives.
        """
        item = self._items[index]
        registers = _registers(item)
        copies = bool(registers & _TURNED) and all(o.unit == "any" for o in item.operations)
        return copies and ("uniform" in registers or (self._loads_wait and "r4" in registers))

    def _load_before(self, index: int) -> int | None:
        """The load from a TMU that an item is the first to read, if it has no place yet."""
        if not any(source == R4 for o in self._items[index].operations for source in o.sources):
            return None
        loads = [i for i, item in enumerate(self._items) if item.signal != "none"]
        load = max((i for i in loads if i < index), default=loads[-1])  # the last of the iteration before
        return None if load in self._placed else load

    def _place(self, index: int) -> bool:
        """The first time of `_choices` at which it fits, with the load that it waits for as late as that may be."""
        for time in self._choices(index):
            if not self._has_room(index, time):
                continue
            saved = list(self._first), list(self._last)
            self._first[index] = self._last[index] = time
            if self._tighten(index):
                self._rows[time].append(index)
                self._placed.add(index)
                load = self._load_before(index)
                if load is None or self._place(load):
                    self._hold(index, time)
                    return True
                self._rows[time].remove(index)
                self._placed.remove(index)
            self._first, self._last = saved
        return False

    def _choices(self, index: int) -> list[int]:
        item = self._items[index]
        times = range(self._first[index], self._last[index] + 1)
        if not item.operations or self._waits(index):
            return list(reversed(times))
        if any(o.unit == "any" for o in item.operations) and (self._copies_wait or self._is_urgent(index)):
            # Where it leaves the multiplier, which other operations need more, if it can.
            return sorted(times, key=self._adds)
        return list(times)

    def _adds(self, time: int) -> bool:
        return any(o.unit != "mul" for index in self._rows[time] for o in self._items[index].operations)

    def _has_room(self, index: int, row: int) -> bool:
        item = self._items[index]
        held, own = self._held[row], self._uniform[index]
        if held is not None and held != own and _reads_port_a(item):
            return False
        if (
            own is not None and own != index
        ):  # the uniform once more: nothing else comes through port A, nor a branch
            start = self._first[own]
            branch = self._interval - DELAY_SLOTS
            if row <= start or start < branch <= row:
                return False
            between = (other for at in range(start + 1, row) for other in self._rows[at])
            if any(_reads_port_a(self._items[other]) and self._uniform[other] != own for other in between):
                return False
        return pack([*(self._items[other] for other in self._rows[row]), item]) is not None

    def _hold(self, index: int, row: int) -> None:
        own = self._uniform[index]
        if own is not None and own != index:
            for at in range(self._first[own] + 1, row):
                self._held[at] = own

    def _tighten(self, start: int) -> bool:
        """Bounds of what an operation's bounds move; False where nothing is left."""
        work = [start]
        while work:
            index = work.pop()
            if self._first[index] > self._last[index]:
                return False
            for other, distance in self._after[index]:
                if self._first[other] < self._first[index] + distance:
                    self._first[other] = self._first[index] + distance
                    work.append(other)
            for other, distance in self._before[index]:
                if self._last[other] > self._last[index] - distance:
                    self._last[other] = self._last[index] - distance
                    work.append(other)
        return True


def _registers(item: Bundle) -> set[str]:
    return {
        r.resource for o in item.operations for r in (o.destination, *o.sources) if isinstance(r, Register)
    }


def _port_a(item: Bundle) -> Iterator[int]:
    """Addresses that an item reads through port A."""
    for operation in item.operations:
        for source in operation.sources:
            if isinstance(source, Register) and source.read_ports == "a" and source.read_address is not None:
                yield source.read_address


def _reads_port_a(item: Bundle) -> bool:
    return any(True for _ in _port_a(item))


def _uniforms(items: Sequence[Bundle]) -> list[int | None]:
    """By item that reads a uniform through port A, or that once more, the item that read it first."""
    found: list[int | None] = []
    latest: int | None = None
    for index, item in enumerate(items):
        addresses = set(_port_a(item))
        if UNIFORM in addresses:
            latest = index
        found.append(latest if addresses & {UNIFORM, RELAY} else None)
    return found


def _joined(row: Sequence[Bundle]) -> Bundle:
    signals = [item.signal for item in row if item.signal != "none"]
    return Bundle(
        tuple(operation for item in row for operation in item.operations), signals[0] if signals else "none"
    )
