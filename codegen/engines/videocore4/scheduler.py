"""List scheduling of straight-line code: pairs add with multiply and keeps every distance rule."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from codegen.engines.videocore4.blocks import asks_tmu, loads_tmu
from codegen.engines.videocore4.isa import CONDITIONS, NOP, Alu, Instruction, LoadImmediate, Semaphore
from codegen.engines.videocore4.operation import Bundle, Immediate, Item, SemaphoreStep, accesses
from codegen.engines.videocore4.packing import pack, require
from codegen.engines.videocore4.syntax import PACK_A_CODES, PACK_MUL_CODES
from codegen.errors import AssemblyError

Edges = list[dict[int, int]]  # successor -> least distance in instructions


def dependences(items: Sequence[Item], unordered: Container[str] = ()) -> Edges:
    """Least distances between items, from program order: read after write, write after read, write after write.

    Accesses to `unordered` resources do not count.
    """
    edges: Edges = [{} for _ in items]
    writer: dict[str, tuple[int, int]] = {}
    readers: dict[str, list[int]] = {}

    def need(before: int, after: int, distance: int) -> None:
        if before != after:
            edges[before][after] = max(edges[before].get(after, 0), distance)

    for index, item in enumerate(items):
        touched = [access for access in accesses(item) if access.resource not in unordered]
        for access in touched:
            if access.resource in writer:
                before, latency = writer[access.resource]
                ordered = access.resource in _ORDERED
                distance = (
                    1
                    if access.write and not ordered
                    else max(latency, access.latency if not access.write else 1)
                )
                need(before, index, distance)
            if access.write:
                for reader in readers.get(access.resource, ()):
                    need(reader, index, 0)
        for access in touched:
            if not access.write:
                readers.setdefault(access.resource, []).append(index)
        for access in touched:
            if access.write:
                writer[access.resource] = (index, access.latency)
                readers[access.resource] = []
    return edges


_ORDERED = frozenset({"uniform", "vpm", "tmu0", "tmu1", "r4"})


def schedule(items: Sequence[Item], awaited: Mapping[int, Sequence[int]] | None = None) -> list[Instruction]:
    """Instructions for a block of items, shortest first found; raises AssemblyError for an item that cannot issue.

    `awaited`, by the index of a TMU load, gives the request it waits for: then the load is put off, as long as
    there is something else to do, until the request had time.
    """
    edges = dependences(items)
    priority = _priorities(items, edges)
    pending = [0] * len(items)
    earliest = [0] * len(items)
    for successors in edges:
        for successor in successors:
            pending[successor] += 1
    ready = {index for index, count in enumerate(pending) if count == 0}
    instructions: list[Instruction] = []
    issued_at: dict[int, int] = {}
    while ready:
        cycle = len(instructions)
        issued: list[int] = []
        # First what need not wait for memory, then, where nothing else can issue, what would.
        for patient in (True, False) if awaited else (False,):
            if issued:
                break
            candidates = sorted(ready, key=lambda i: (-priority[i], i))
            while candidates:
                index = candidates.pop(0)
                if earliest[index] > cycle or not _fits([items[i] for i in issued], items[index]):
                    continue
                if patient and awaited and _waits(awaited.get(index, ()), issued_at, cycle):
                    continue
                issued.append(index)
                issued_at[index] = cycle
                ready.discard(index)
                freed = False
                for successor, distance in edges[index].items():
                    earliest[successor] = max(earliest[successor], cycle + distance)
                    pending[successor] -= 1
                    if pending[successor] == 0:
                        ready.add(successor)
                        freed = True
                if freed:
                    candidates = sorted(ready, key=lambda i: (-priority[i], i))
        instructions.append(_encode([items[i] for i in issued]))
    return instructions


TMU_LATENCY = 9  # instructions from a request to its result, where the line is in the TMU's cache


def _waits(requests: Sequence[int], issued_at: Mapping[int, int], cycle: int) -> bool:
    return any(issued_at[request] + TMU_LATENCY > cycle for request in requests if request in issued_at)


def awaited_requests(items: Sequence[Item], in_flight: tuple[int | None, int | None]) -> dict[int, list[int]]:
    """By TMU load of a block, the request in the same block that it receives, given those under way before."""
    found: dict[int, list[int]] = {}
    for tmu, before in enumerate(in_flight):
        if before is None:
            continue
        requests = [index for index, item in enumerate(items) if asks_tmu(item, tmu)]
        loads = [index for index, item in enumerate(items) if loads_tmu(item, tmu)]
        for number, load in enumerate(loads):
            if 0 <= number - before < len(requests):
                found.setdefault(load, []).append(requests[number - before])
    return found


def in_order(items: Sequence[Item]) -> list[Instruction]:
    """One instruction for each item, nothing moved: for code whose distances are its author's business."""
    return [_encode([item]) for item in items]


def _priorities(items: Sequence[Item], edges: Edges) -> list[int]:
    """Length of the path behind each item; requests to the TMUs and flags, which others wait for, come early."""
    lengths = [0] * len(edges)
    for index in range(len(edges) - 1, -1, -1):
        behind = max((distance + lengths[s] for s, distance in edges[index].items()), default=0)
        lengths[index] = behind + _urgency(items[index])
    return lengths


def _urgency(item: Item) -> int:
    if not isinstance(item, Bundle):
        return 0
    if any(operation.set_flags for operation in item.operations):
        return 1000
    return 500 if any(o.destination.resource in ("tmu0", "tmu1") for o in item.operations) else 0


def _fits(issued: Sequence[Item], item: Item) -> bool:
    if not issued:
        return True
    if any(not isinstance(i, Bundle) for i in (*issued, item)):
        return False
    return pack([i for i in (*issued, item) if isinstance(i, Bundle)]) is not None


def _encode(items: Sequence[Item]) -> Instruction:
    if not items:
        return NOP
    first = items[0]
    if isinstance(first, SemaphoreStep):
        return Semaphore(decrement=int(first.decrement), number=first.number)
    if isinstance(first, Immediate):
        return _load_immediate(first)
    if len(items) == 1 and isinstance(first, Bundle):
        return require(first)
    packed: Alu | None = pack([item for item in items if isinstance(item, Bundle)])
    if packed is None:
        raise AssemblyError(f"items were placed together that do not fit: {items}")
    return packed


def _load_immediate(item: Immediate) -> LoadImmediate:
    address = item.destination.write_address
    if address is None:
        raise AssemblyError(f"load immediate: {item.destination} cannot be written")
    swap = 0 if "a" in item.destination.write_files else 1
    if item.destination.pack in PACK_MUL_CODES:
        raise AssemblyError(f"load immediate: {item.destination}: only a multiplication packs colours")
    return LoadImmediate(
        mode=item.mode,
        pack=PACK_A_CODES.get(item.destination.pack, 0),
        cond_add=CONDITIONS[item.condition],
        set_flags=int(item.set_flags),
        write_swap=swap,
        waddr_add=address,
        immediate=item.value & 0xFFFFFFFF,
    )
