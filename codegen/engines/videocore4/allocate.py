"""Places virtual registers in the two register files and r0 to r3, so that every instruction can be encoded.

Graph colouring by priority: what is used most often in the shortest life goes first; what finds no place drives out
what is in its way and is used less. Then places are changed one by one where that makes the schedule shorter. No
value is spilled to memory: where the registers do not suffice, RegisterError names what is live.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from codegen.engines.videocore4.blocks import Block, loop_depths, requests_in_flight
from codegen.engines.videocore4.isa import Instruction
from codegen.engines.videocore4.liveness import LOOP_WEIGHT, Liveness, analyse, reads, results
from codegen.engines.videocore4.operation import Bundle, Immediate, Item, Operation
from codegen.engines.videocore4.packing import pack
from codegen.engines.videocore4.registers import R0, R1, R2, R3, A, B, Register
from codegen.engines.videocore4.scheduler import awaited_requests, in_order, schedule
from codegen.errors import RegisterError

DEFAULT_EFFORT = 300  # changes of place that are tried
_EVICTIONS = 100  # of one virtual register, before giving up

PLACES: dict[str, tuple[Register, ...]] = {
    "r": (R0, R1, R2, R3),
    "a": tuple(A(i) for i in range(32)),
    "b": tuple(B(i) for i in range(32)),
}
_FILE_OF = {register.resource: file for file, registers in PLACES.items() for register in registers}
# A register of each file that is not the one of any other operand, and one that takes no port.
_SOME = {
    "r": R0,
    "a": replace(A(0), name="a?", read_address=62),
    "b": replace(B(0), name="b?", read_address=62),
}
_ANYWHERE = Register("?", "?", mux=0, write_address=32, write_files="ab")

Assignment = dict[str, Register]


def allocate(
    blocks: Sequence[Block], reserved: Sequence[Register] = (), effort: int = DEFAULT_EFFORT
) -> list[Block]:
    """The blocks with real registers for the virtual ones; raises RegisterError where there are not enough."""
    problem = _Problem.of(blocks, reserved)
    assignment = _colour(problem)
    assignment = _improve(problem, assignment, effort)
    return [_placed(block, assignment) for block in blocks]


def scheduled(blocks: Sequence[Block], patient: bool = False) -> list[list[Instruction]]:
    """Instructions of each block; `patient` puts TMU loads off until their requests had time."""
    in_flight = requests_in_flight(blocks) if patient else [(None, None)] * len(blocks)
    return [
        in_order(block.items)
        if block.verbatim
        else schedule(block.items, awaited_requests(block.items, counts))
        for block, counts in zip(blocks, in_flight, strict=True)
    ]


@dataclass
class _Problem:
    blocks: Sequence[Block]
    live: Liveness
    allowed: dict[str, str]  # files by virtual register
    reserved: frozenset[str]
    bundles: dict[str, list[Bundle]] = field(default_factory=dict)  # that touch a virtual register
    homes: dict[str, set[int]] = field(default_factory=dict)  # blocks that touch it
    lives: dict[str, int] = field(default_factory=dict)  # items over which it is live

    @staticmethod
    def of(blocks: Sequence[Block], reserved: Sequence[Register]) -> _Problem:
        problem = _Problem(blocks, analyse(blocks), {}, frozenset(r.resource for r in reserved))
        for number, block in enumerate(blocks):
            for item, live in zip(block.items, problem.live.after[number], strict=True):
                for name in live:
                    problem.lives[name] = problem.lives.get(name, 0) + 1
                for register in (*reads(item), *(register for register, _ in results(item))):
                    if register.virtual:
                        problem._touch(register, item, number)
            problem._restrict(block)
        return problem

    def _touch(self, register: Register, item: Item, block: int) -> None:
        name = register.resource
        self.allowed[name] = "".join(f for f in self.allowed.get(name, "rab") if f in register.files)
        self.homes.setdefault(name, set()).add(block)
        if isinstance(item, Bundle):
            touching = self.bundles.setdefault(name, [])
            if not touching or touching[-1] is not item:
                touching.append(item)

    def _restrict(self, block: Block) -> None:
        """What is rotated, or read by the next instruction of verbatim code, needs an accumulator."""
        for index, item in enumerate(block.items):
            for operation in item.operations if isinstance(item, Bundle) else ():
                for source in operation.sources:
                    if operation.rotate and isinstance(source, Register) and source.virtual:
                        self._only_accumulators(source.resource)
            if block.verbatim and index:
                fresh = {register.resource for register, _ in results(block.items[index - 1])}
                for register in reads(item):
                    if register.virtual and register.resource in fresh:
                        self._only_accumulators(register.resource)

    def _only_accumulators(self, name: str) -> None:
        self.allowed[name] = "r" if "r" in self.allowed[name] else ""

    def density(self, name: str) -> float:
        """Uses for each instruction that it is live."""
        return self.live.weight.get(name, 0.0) / (1 + self.lives.get(name, 0))

    def free(self, name: str, place: Register, assignment: Mapping[str, Register]) -> list[str] | None:
        """Virtual registers in the way of a place, None where a real one is."""
        if place.resource in self.reserved:
            return None
        in_the_way = []
        for other in self.live.conflicts.get(name, ()):
            if other == place.resource:
                return None
            if other in assignment and assignment[other].resource == place.resource:
                in_the_way.append(other)
        return in_the_way

    def encodes(self, name: str, assignment: Mapping[str, Register]) -> list[str]:
        """Virtual registers of the instructions that cannot be encoded; those without a place count as anywhere."""
        stuck: list[str] = []
        for bundle in self.bundles.get(name, ()):
            if pack([_placed_bundle(bundle, assignment)]) is None:
                stuck += [r.resource for r in _virtual(bundle)]
        return stuck


def _virtual(item: Item) -> Iterator[Register]:
    for register in (*reads(item), *(register for register, _ in results(item))):
        if register.virtual:
            yield register


# Colouring --------------------------------------------------------------------------------------------------


def _colour(problem: _Problem) -> Assignment:
    order = sorted(problem.allowed, key=lambda n: (len(problem.allowed[n]), -problem.density(n), n))
    assignment: Assignment = {}
    queue = list(order)
    evictions = _Evictions()
    while queue:
        name = queue.pop(0)
        place = _place_for(problem, name, assignment)
        if place is None:
            place, driven_out = _force(problem, name, assignment, evictions)
            for other in driven_out:
                del assignment[other]
            queue = [*driven_out, *queue]
        assignment[name] = place
    return assignment


@dataclass
class _Evictions:
    """How often a value was driven out, or took a file by force: each time makes the next dearer."""

    suffered: dict[str, int] = field(default_factory=dict)
    done: dict[tuple[str, str], int] = field(default_factory=dict)


def _place_for(problem: _Problem, name: str, assignment: Assignment) -> Register | None:
    """The best free place: an accumulator for what is used densely, else the file less used beside it."""
    for file in _preferred(problem, name, assignment):
        for place in PLACES[file]:
            if problem.free(name, place, assignment) == []:
                if problem.encodes(name, {**assignment, name: place}):
                    break  # the file is as bad with every other register of it
                return place
    return None


def _preferred(problem: _Problem, name: str, assignment: Mapping[str, Register]) -> str:
    used = {"a": 0.0, "b": 0.0}
    for other, place in assignment.items():
        file = _FILE_OF[place.resource]
        if file in used and problem.homes[other] & problem.homes[name]:
            used[file] += problem.live.weight.get(other, 0.0)
    files = "ab" if used["a"] <= used["b"] else "ba"
    short = problem.density(name) >= 0.5 or problem.allowed[name] == "r"
    return "".join(file for file in (f"r{files}" if short else f"{files}r") if file in problem.allowed[name])


def _force(
    problem: _Problem, name: str, assignment: Assignment, evictions: _Evictions
) -> tuple[Register, list[str]]:
    """The place where least is in the way, and what that is."""
    choices: list[tuple[float, str, Register, list[str]]] = []
    for file in problem.allowed[name]:
        in_the_way = [(place, problem.free(name, place, assignment)) for place in PLACES[file]]
        usable = [(place, others) for place, others in in_the_way if others is not None]
        if not usable:
            continue
        stuck = problem.encodes(name, {**assignment, name: _SOME[file]})
        apart = {other for other in stuck if other in assignment and other != name}
        rest = {other: place for other, place in assignment.items() if other not in apart}
        if stuck and problem.encodes(name, {**rest, name: _SOME[file]}):
            continue  # no choice of other places makes the instruction possible
        for place, others in usable:
            leave = sorted({*others, *apart})
            cost = sum(problem.density(other) + evictions.suffered.get(other, 0) for other in leave)
            choices.append((cost + evictions.done.get((name, file), 0), place.name, place, leave))
    evictions.suffered[name] = evictions.suffered.get(name, 0) + 1
    if not choices or evictions.suffered[name] > _EVICTIONS:
        raise _no_place(problem, name)
    _, _, place, leave = min(choices, key=lambda choice: choice[:2])
    file = _FILE_OF[place.resource]
    evictions.done[name, file] = evictions.done.get((name, file), 0) + 1
    for other in leave:
        evictions.suffered[other] = evictions.suffered.get(other, 0) + 1
    return place, leave


def _no_place(problem: _Problem, name: str) -> RegisterError:
    number, index = max(
        (
            (number, index)
            for number, rows in enumerate(problem.live.after)
            for index, row in enumerate(rows)
            if name in row or any(r.resource == name for r in _virtual(problem.blocks[number].items[index]))
        ),
        key=lambda at: len(problem.live.after[at[0]][at[1]]),
    )
    row = problem.live.after[number][index]
    values = ", ".join(sorted(n.removeprefix("%") for n in row))
    labels = problem.blocks[number].labels
    where = f"item {index} behind label {labels[0]!r}" if labels else f"item {index} of block {number}"
    return RegisterError(
        f"no register for {name.removeprefix('%')} (files {problem.allowed[name] or 'none'}): at {where}, "
        f"{problem.blocks[number].items[index]}, {len(row)} values are live: {values}; "
        "keep fewer at a time, or let its operands meet through r0 to r3"
    )


# Improvement ------------------------------------------------------------------------------------------------


def _improve(problem: _Problem, assignment: Assignment, effort: int) -> Assignment:
    """Moves single registers, and keeps what makes no block longer, counted by how often loops run it."""
    lengths = _Lengths(problem)
    best = lengths.total(assignment, range(len(problem.blocks)))
    rng = random.Random(0)
    names = sorted(problem.allowed)
    weights = [problem.live.weight.get(name, 0.0) + 1e-9 for name in names]
    for name in rng.choices(names, weights, k=effort) if names else ():
        changed = _changed(problem, assignment, name, rng)
        if changed is None:
            continue
        total = lengths.total(changed, range(len(problem.blocks)))
        if total <= best:
            best, assignment = total, changed
    return assignment


def _changed(problem: _Problem, assignment: Assignment, name: str, rng: random.Random) -> Assignment | None:
    file = rng.choice(problem.allowed[name])
    place = rng.choice(PLACES[file])
    others = problem.free(name, place, assignment)
    if others is None or place == assignment[name] or len(others) > 1:
        return None
    changed = {**assignment, name: place}
    if others:  # the two change places
        other, old = others[0], assignment[name]
        changed[other] = old
        if _FILE_OF[old.resource] not in problem.allowed[other] or problem.free(other, old, changed) != []:
            return None
        if problem.encodes(other, changed):
            return None
    return None if problem.encodes(name, changed) else changed


class _Lengths:
    """Schedule lengths of blocks, remembered by the places of the registers that a block touches."""

    def __init__(self, problem: _Problem) -> None:
        self._problem = problem
        self._names = [
            sorted(name for name, homes in problem.homes.items() if number in homes)
            for number in range(len(problem.blocks))
        ]
        self._weights = [float(LOOP_WEIGHT**depth) for depth in loop_depths(problem.blocks)]
        self._in_flight = requests_in_flight(problem.blocks)
        self._known: dict[tuple[int, tuple[str, ...]], int] = {}

    def total(self, assignment: Assignment, numbers: Sequence[int]) -> float:
        return sum(self._weights[number] * self._length(number, assignment) for number in numbers)

    def _length(self, number: int, assignment: Assignment) -> int:
        block = self._problem.blocks[number]
        if block.verbatim:
            return len(block.items)
        key = (number, tuple(assignment[name].resource for name in self._names[number]))
        if key not in self._known:
            items = _placed(block, assignment).items
            self._known[key] = len(schedule(items, awaited_requests(items, self._in_flight[number])))
        return self._known[key]


# Replacement ------------------------------------------------------------------------------------------------


def _placed(block: Block, assignment: Mapping[str, Register]) -> Block:
    return replace(block, items=[_placed_item(item, assignment) for item in block.items])


def _placed_item(item: Item, assignment: Mapping[str, Register]) -> Item:
    if isinstance(item, Bundle):
        return _placed_bundle(item, assignment)
    if isinstance(item, Immediate):
        return replace(item, destination=_placed_register(item.destination, assignment))
    return item


def _placed_bundle(bundle: Bundle, assignment: Mapping[str, Register]) -> Bundle:
    return Bundle(tuple(_placed_operation(o, assignment) for o in bundle.operations), bundle.signal)


def _placed_operation(operation: Operation, assignment: Mapping[str, Register]) -> Operation:
    sources = tuple(
        _placed_register(source, assignment) if isinstance(source, Register) else source
        for source in operation.sources
    )
    return replace(
        operation, destination=_placed_register(operation.destination, assignment), sources=sources
    )


def _placed_register(register: Register, assignment: Mapping[str, Register]) -> Register:
    if not register.virtual:
        return register
    place = assignment.get(register.resource, _ANYWHERE)
    return (
        replace(place, unpack=register.unpack, pack=register.pack)
        if register.unpack or register.pack
        else place
    )
