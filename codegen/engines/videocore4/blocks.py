"""Basic blocks of a kernel before scheduling, and the ways between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from codegen.engines.videocore4.operation import Bundle, Item
from codegen.engines.videocore4.registers import Register
from codegen.errors import AssemblyError


@dataclass(frozen=True)
class Jump:
    """The branch that ends a block, to a label or to the address in a register; `link` keeps where to return."""

    condition: str
    label: str | None
    register: Register | None
    link: Register | None = None


@dataclass
class Block:
    """Straight code. `verbatim`: one item an instruction, in order."""

    labels: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    jump: Jump | None = None
    end: bool = False
    verbatim: bool = False


def successors(blocks: Sequence[Block]) -> list[list[int]]:
    """By block, those that may follow it; ways through a register are not known."""
    places = {label: number for number, block in enumerate(blocks) for label in block.labels}
    found: list[list[int]] = []
    for number, block in enumerate(blocks):
        ways = []
        if block.jump is not None and block.jump.label is not None:
            if block.jump.label not in places:
                raise AssemblyError(f"label {block.jump.label!r} is not defined")
            ways.append(places[block.jump.label])
        falls = not block.end and (block.jump is None or block.jump.condition != "always")
        if falls and number + 1 < len(blocks):
            ways.append(number + 1)
        found.append(ways)
    return found


def loop_depths(blocks: Sequence[Block]) -> list[int]:
    """By block, how many backward branches go around it."""
    depths = [0] * len(blocks)
    for number, ways in enumerate(successors(blocks)):
        for target in ways:
            for inside in range(target, number + 1):
                depths[inside] += 1
    return depths


def requests_in_flight(blocks: Sequence[Block]) -> list[tuple[int | None, int | None]]:
    """By block, the requests of each TMU under way at its start; None where it depends on the way there."""
    ways = successors(blocks)
    found: list[tuple[int | None, int | None] | None] = [None] * len(blocks)
    work: list[tuple[int, tuple[int | None, int | None]]] = [(0, (0, 0))]
    while work:
        number, counts = work.pop()
        old = found[number]
        new = counts if old is None else _agreed(old, counts)
        if new == old:
            continue
        found[number] = new
        after = (_after(blocks[number].items, 0, new[0]), _after(blocks[number].items, 1, new[1]))
        work += [(way, after) for way in ways[number]]
    return [counts or (None, None) for counts in found]


def _agreed(
    one: tuple[int | None, int | None], other: tuple[int | None, int | None]
) -> tuple[int | None, int | None]:
    return (one[0] if one[0] == other[0] else None, one[1] if one[1] == other[1] else None)


def _after(items: Sequence[Item], tmu: int, count: int | None) -> int | None:
    if count is None:
        return None
    for item in items:
        count += asks_tmu(item, tmu) - loads_tmu(item, tmu)
    return max(count, 0)


def asks_tmu(item: Item, tmu: int) -> bool:
    """Whether an item starts a request."""
    return isinstance(item, Bundle) and any(o.destination.name == f"tmu{tmu}" for o in item.operations)


def loads_tmu(item: Item, tmu: int) -> bool:
    """Whether an item receives a result."""
    return isinstance(item, Bundle) and item.signal == f"load_tmu{tmu}"
