"""Which registers hold a value that is still wanted, at every item of a kernel (backward data flow)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from codegen.engines.videocore4.blocks import Block, loop_depths, successors
from codegen.engines.videocore4.operation import Bundle, Immediate, Item
from codegen.engines.videocore4.registers import Register
from codegen.errors import AssemblyError

LOOP_WEIGHT = 8  # how much more an instruction counts in a loop
Names = frozenset[str]


@dataclass
class Liveness:
    """`conflicts`: by register, those that hold a value at the same time; `weight`: how often it is used."""

    conflicts: dict[str, set[str]] = field(default_factory=dict)
    weight: dict[str, float] = field(default_factory=dict)
    after: list[list[Names]] = field(default_factory=list)  # by block and item, live behind it


def reads(item: Item) -> Iterator[Register]:
    """Operands of an item that are virtual or general registers, or r0 to r3."""
    if isinstance(item, Bundle):
        for operation in item.operations:
            for source in operation.sources:
                if isinstance(source, Register) and _is_kept(source):
                    yield source


def results(item: Item) -> Iterator[tuple[Register, bool]]:
    """What an item writes of the same, and whether all of it: not under a condition, nor a part of the word."""
    if isinstance(item, Immediate) and _is_kept(item.destination):
        yield item.destination, item.condition == "always" and not item.destination.pack
    if isinstance(item, Bundle):
        for operation in item.operations:
            if _is_kept(operation.destination):
                whole = operation.condition == "always" and not operation.destination.pack
                yield operation.destination, whole


def _is_kept(register: Register) -> bool:
    accumulator = register.mux is not None and register.mux < 4  # r4 and r5 are no general registers
    return register.virtual or register.is_general or accumulator


def analyse(blocks: Sequence[Block]) -> Liveness:
    """Liveness of a kernel; raises AssemblyError where a virtual register is read that nothing wrote."""
    ways = successors(blocks)
    _require_written(blocks, ways)
    maybe = _maybe_written(blocks, ways)
    live_in: list[Names] = [frozenset()] * len(blocks)
    changed = True
    while changed:
        changed = False
        for number in reversed(range(len(blocks))):
            live = _through(blocks[number], _live_out(number, ways, live_in), maybe[number], None)
            changed = changed or live != live_in[number]
            live_in[number] = live
    found = Liveness()
    depths = loop_depths(blocks)
    for number, block in enumerate(blocks):
        rows: list[Names] = []
        _through(block, _live_out(number, ways, live_in), maybe[number], rows)
        found.after.append(rows[::-1])
        for item, live in zip(block.items, found.after[-1], strict=True):
            _note(item, live, float(LOOP_WEIGHT ** depths[number]), found)
    return found


def _live_out(number: int, ways: Sequence[Sequence[int]], live_in: Sequence[Names]) -> Names:
    return frozenset().union(*(live_in[way] for way in ways[number]))


def _through(block: Block, live: Names, maybe: Names, rows: list[Names] | None) -> Names:
    """What is live before a block, from what is behind it; `rows` gets what is live behind each item, last first."""
    now = set(live)
    if block.jump is not None and block.jump.register is not None:
        now.add(block.jump.register.resource)
    written_before = _written_before(block, maybe)
    for index in range(len(block.items) - 1, -1, -1):
        item = block.items[index]
        if rows is not None:
            rows.append(frozenset(now))
        for register, whole in results(item):
            if whole or register.resource not in written_before[index]:
                now.discard(register.resource)
            else:
                now.add(register.resource)
        now |= {register.resource for register in reads(item)}
    return frozenset(now)


def _written_before(block: Block, maybe: Names) -> list[Names]:
    """By item, what may have been written before it: a write to a part keeps the rest only of these."""
    found: list[Names] = []
    written = set(maybe)
    for item in block.items:
        found.append(frozenset(written))
        written |= {register.resource for register, _ in results(item)}
    return found


def _maybe_written(blocks: Sequence[Block], ways: Sequence[Sequence[int]]) -> list[Names]:
    at_start: list[set[str]] = [set() for _ in blocks]
    work = list(range(len(blocks)))
    while work:
        number = work.pop(0)
        written = at_start[number] | {r.resource for item in blocks[number].items for r, _ in results(item)}
        for way in ways[number]:
            if not written <= at_start[way]:
                at_start[way] |= written
                work.append(way)
    return [frozenset(names) for names in at_start]


def _require_written(blocks: Sequence[Block], ways: Sequence[Sequence[int]]) -> None:
    """Every way to a read of a virtual register passes a write to it."""
    at_start: list[set[str] | None] = [None] * len(blocks)
    at_start[0] = set()
    work = [0]
    while work:
        number = work.pop(0)
        written = set(at_start[number] or ())
        for item in blocks[number].items:
            for register in reads(item):
                if register.virtual and register.resource not in written:
                    raise AssemblyError(
                        f"virtual register {register.name[1:]} is read before it is written, by {item}"
                    )
            written |= {register.resource for register, _ in results(item)}
        for way in ways[number]:
            old = at_start[way]
            new = written if old is None else old & written
            if old is None or new != old:
                at_start[way] = set(new)
                work.append(way)


def _note(item: Item, live: Names, weight: float, found: Liveness) -> None:
    written = [register.resource for register, _ in results(item)]
    for register in reads(item):
        found.weight[register.resource] = found.weight.get(register.resource, 0.0) + weight
    for name in written:
        found.weight[name] = found.weight.get(name, 0.0) + weight
    for name in written:
        others = (live | set(written)) - {name}
        found.conflicts.setdefault(name, set()).update(others)
        for other in others:
            found.conflicts.setdefault(other, set()).add(name)
