"""What a kernel's stores ask of others that run at the same time: rows of the VPM that are still being read.

A QPU gives the mutex back when its last DMA store has begun, and the next one fills rows meanwhile. Which of them is a
matter of one kernel as long as all QPUs run the same: it fills other rows first. Of two kernels this may not hold; one
whose last rows the other fills first can wait for its stores' end before it gives the mutex back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from codegen.engines.videocore4.effects import DMA_ADDRESS, MUTEX, VPM, VPM_SETUP, Effects, effects
from codegen.engines.videocore4.flow import DELAY_SLOTS
from codegen.engines.videocore4.isa import ADD_OPS, MUX_B, NOP, Alu, Branch, Instruction, decode
from codegen.engines.videocore4.validate import validate
from codegen.errors import ScheduleError

ROWS = frozenset(range(64))  # of the VPM
COLUMN_ROWS = 16  # that a vertical vector goes through
_KIND, _WRITES, _STORES = 30, 0, 2  # a set-up's bits from here on say what it is (guide tables 32, 34 and 35)
_HORIZONTAL = 1 << 11
_STORE_WAIT = Alu(op_add=ADD_OPS["or"], raddr_b=DMA_ADDRESS, add_a=MUX_B, add_b=MUX_B)
_BYTES = 8  # of an instruction

Code = tuple[int, ...]


@dataclass(frozen=True)
class Stores:
    """Rows of the VPM: those filled `first`, while stores of others may still be read, and those that stores read
    which may not have ended when the mutex is given back.
    """

    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()


@cache
def stores_of(code: Code) -> Stores:
    """Of a kernel that is right where all QPUs run it: what it fills first, its own last stores do not read.

    Raises ScheduleError where it fills rows, or stores them, without the mutex.
    """
    old = [decode(word) for word in code]
    facts = [effects(instruction) for instruction in old]
    found = [_of_section(old, facts, start, end) for start, end in _sections(facts)]
    return Stores(
        frozenset(row for own in found for row in own.first),
        frozenset(row for own in found for row in own.last),
    )


def beside(one: Code, other: Code) -> tuple[Code, Code]:
    """Both kernels as they can run at the same time: each waits for its stores where the other would fill what they
    read. Raises ScheduleError as `stores_of`.
    """
    own, others = stores_of(one), stores_of(other)
    return (
        waiting(one) if own.last & others.first else one,
        waiting(other) if others.last & own.first else other,
    )


def _sections(facts: Sequence[Effects]) -> list[tuple[int, int]]:
    """Where the mutex is taken, and where it is given back."""
    found: list[tuple[int, int]] = []
    taken: int | None = None
    for index, fact in enumerate(facts):
        if MUTEX in fact.inputs:
            taken = index
        if taken is None and (VPM in fact.outputs or _writes(fact, DMA_ADDRESS)):
            raise ScheduleError("a kernel fills the VPM without the mutex: no other runs beside it")
        if MUTEX in fact.outputs and taken is not None:
            found.append((taken, index))
            taken = None
    return found


def _writes(fact: Effects, address: int) -> bool:
    """In file B, where stores have their set-up and begin; in file A loads do."""
    return any(write.file == 1 and write.address == address for write in fact.writes)


def _waits(fact: Effects) -> bool:
    return fact.ports[1] == DMA_ADDRESS


@dataclass
class _Section:
    """Goes through what is done with the mutex. What a set-up from a register says is not known; where there are
    branches, neither is which stores have ended: but none reads what is filled first, for the kernel is right.

    A store begins when those before it have ended: from then on no other kernel's reads the VPM.
    """

    row: int | None = None  # where the next vector goes
    is_horizontal: bool = True
    store: frozenset[int] | None = None  # that the next store reads
    first: set[int] = field(default_factory=set)  # that may be filled while others' are read
    before: set[int] = field(default_factory=set)  # that are, as no store of its own has begun on any way
    filled: set[int] = field(default_factory=set)
    begun: list[frozenset[int] | None] = field(default_factory=list)  # stores that may not have ended
    has_stored: bool = False
    is_alone: bool = False
    branches: bool = False

    def take(self, fact: Effects) -> None:
        if _waits(fact):
            self.begun.clear()
        if _writes(fact, VPM_SETUP):
            self._set_up(fact.immediate)
        if VPM in fact.outputs:
            is_known, rows = self.row is not None, self._next_rows()
            self.filled |= rows
            if is_known and not self.has_stored:
                self.before |= rows
            if not self.is_alone:
                self.first |= rows
        if _writes(fact, DMA_ADDRESS):
            self.begun.append(self.store)
            self.has_stored = True
            self.is_alone |= not self.branches

    def _set_up(self, word: int | None) -> None:
        if word is None:
            self.row = self.store = None
        elif word >> _KIND == _WRITES:
            self.row, self.is_horizontal = word & 63, bool(word & _HORIZONTAL)
        elif word >> _KIND == _STORES:
            start, count = word >> 7 & 63, word >> 23 & 127
            self.store = frozenset((start + row) % len(ROWS) for row in range(count or len(ROWS)))

    def _next_rows(self) -> frozenset[int]:
        if self.row is None:
            return ROWS
        row = self.row
        self.row = (row + 1) % len(ROWS)
        if self.is_horizontal:
            return frozenset({row})
        return frozenset(range(row - row % COLUMN_ROWS, row - row % COLUMN_ROWS + COLUMN_ROWS))

    @property
    def last(self) -> frozenset[int]:
        others = frozenset(self.filled - self.before)
        if self.branches and self.begun:
            return others
        return frozenset().union(*(others if rows is None else rows for rows in self.begun))


def _of_section(code: Sequence[Instruction], facts: Sequence[Effects], start: int, end: int) -> Stores:
    section = _Section()
    waited = max((index for index in range(start, end) if _waits(facts[index])), default=start)
    for index in range(start, end + 1):
        branch = code[index - 1 - DELAY_SLOTS] if index - 1 - DELAY_SLOTS > start else None
        if isinstance(branch, Branch):
            section.branches = True
            if not 0 <= _distance(branch) <= waited - index:
                waited = start  # a way around the last wait
        section.take(facts[index])
    if waited == start and section.branches:
        section.begun.append(None)
    return Stores(frozenset(section.first), section.last)


def _distance(branch: Branch) -> int:
    """In instructions, from behind the delay slots."""
    return (branch.immediate - (branch.immediate >> 31 << 32)) // _BYTES


# Waiting ----------------------------------------------------------------------------------------------------


@cache
def waiting(code: Code) -> Code:
    """The same kernel, which waits for the end of its stores wherever it gives the mutex back."""
    old = [decode(word) for word in code]
    facts = [effects(instruction) for instruction in old]
    new: list[Instruction] = []
    places: dict[int, int] = {}  # of old instructions that a branch may lead to
    branches: dict[int, int] = {}  # places of relative branches, and the old instructions that they lead to
    index = 0
    while index < len(old):
        places[index] = len(new)
        instruction = old[index]
        if not isinstance(instruction, Branch):
            new += [_STORE_WAIT, instruction] if MUTEX in facts[index].outputs else [instruction]
            index += 1
            continue
        slots = old[index + 1 : index + 1 + DELAY_SLOTS]
        earlier = _before_wait(facts[index + 1 : index + 1 + DELAY_SLOTS])
        if earlier is not None:
            if any(getattr(slot, "set_flags", 0) for slot in slots[:earlier]):
                raise ScheduleError(
                    "a kernel's stores begin behind a branch that flags of theirs would change"
                )
            new += [*slots[:earlier], _STORE_WAIT]
            slots = [*slots[earlier:], *[NOP] * earlier]
        if instruction.relative:
            branches[len(new)] = index + 1 + DELAY_SLOTS + _distance(instruction)
        new += [instruction, *slots]
        index += 1 + DELAY_SLOTS
    places[len(old)] = len(new)
    for place, target in branches.items():
        branch, offset = new[place], _BYTES * (places[target] - (place + 1 + DELAY_SLOTS))
        assert isinstance(branch, Branch)
        new[place] = replace(branch, immediate=offset & 0xFFFFFFFF)
    validate(new)
    return tuple(instruction.encode() for instruction in new)


def _before_wait(slots: Sequence[Effects]) -> int | None:
    """Of delay slots that give the mutex back, how many of them come before the wait, and so before the branch, as
    stores begin there; None where they do not give it back.
    """
    release = next((number for number, fact in enumerate(slots) if MUTEX in fact.outputs), None)
    if release is None:
        return None
    begun = [number for number in range(release) if DMA_ADDRESS in slots[number].outputs]
    return begun[-1] + 1 if begun else 0
