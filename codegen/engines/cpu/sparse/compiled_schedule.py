"""Instructions of AArch64 that multiply what is not zero of a pattern, in an order for a core that issues in order.

Sums of some outputs for four pixels are in registers; an operand is loaded once for all outputs that read it, four
weights at a time. On a Cortex-A53 no vector load issues beside a multiply-add, nor four cycles behind one
(`blocked/cyclic_schedule.py`), so a vector comes in halves: the upper one into a general register beside a
multiply-add, then inserted; the lower one as a vector beside an insertion of another. The schedule is made cycle by
cycle: where a vector may be loaded it is, if a register is free and it is not too early, so that every fourth cycle
stays free for another; else there is a multiply-add as soon as what it reads is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

TEMPORARIES = ("x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17")
CONFLICT_CYCLES = 4  # from a multiply-add to where no vector load issues
LOAD_CYCLES = 3  # to the use of what is loaded
INSERT_CYCLES = 2  # to the use of what is inserted
FORWARD_CYCLES = 4  # from a multiply-add to the next of the same sum
DUE = 2  # multiply-adds before its first use: then a vector comes before other multiply-adds
EARLY = 16  # multiply-adds before its first use, from which on a vector is loaded
WINDOW = 4  # multiply-adds among which one that can issue is sought
_NEVER = 1 << 60


@dataclass(frozen=True)
class Vector:
    """Four floats in memory: addresses of their halves."""

    lower: str
    upper: str


@dataclass(frozen=True)
class Product:
    """A multiply-add: the sum's register, the number of the operand's vector and of the weights', and their lane."""

    total: int
    operand: int
    weights: int
    lane: int


@dataclass
class _Value:
    """Of a vector: multiply-adds that still read it, its registers, and from which cycle on they may be read."""

    first_use: int = _NEVER
    left: int = 0
    register: int = -1
    upper: str = ""
    upper_at: int = _NEVER
    lower_at: int = _NEVER
    ready: int = _NEVER


def scheduled(products: Sequence[Product], vectors: Sequence[Vector], registers: Sequence[int]) -> list[str]:
    """Instructions; vectors are numbered in the order of their first use, and kept in the given registers."""
    return _Scheduler(products, vectors, registers).lines


class _Scheduler:
    def __init__(
        self, products: Sequence[Product], vectors: Sequence[Vector], registers: Sequence[int]
    ) -> None:
        self.products, self.vectors = products, vectors
        self.values = [_Value() for _ in vectors]
        for place, product in enumerate(products):
            for value in (self.values[product.operand], self.values[product.weights]):
                value.first_use = min(value.first_use, place)
                value.left += 1
        self.free, self.temporaries = deque(registers), deque(TEMPORARIES)
        self.left = deque(range(len(products)))
        self.total_ready: dict[int, int] = {}
        self.multiplied: set[int] = set()
        self.loaded = self.begun = self.whole = (
            0  # vectors whose upper halves, lower halves, both are on their way
        )
        self.lines: list[str] = []
        self.now = 0
        while self.left:
            if not (self._is_due() and self._move()) and not self._multiply() and not self._move():
                self._load()
            self.now += 1

    def _until(self, value: int) -> int:
        """Multiply-adds until the first that reads a vector."""
        return self.values[value].first_use - self.left[0]

    def _is_due(self) -> bool:
        count = len(self.values)
        if self.whole < count and self._until(self.whole) < DUE:
            return True
        return self._may_begin() and self._until(self.begun) < EARLY

    def _may_begin(self) -> bool:
        conflicts = self.now - CONFLICT_CYCLES in self.multiplied
        return not conflicts and self.begun < len(self.values) and bool(self.free)

    def _multiply(self) -> bool:
        for place in range(min(WINDOW, len(self.left))):
            product = self.products[self.left[place]]
            read = self.values[product.operand], self.values[product.weights]
            if max(*(value.ready for value in read), self.total_ready.get(product.total, 0)) <= self.now:
                break
        else:
            return False
        del self.left[place]
        total, (operand, weights) = product.total, (value.register for value in read)
        self.lines.append(f"fmla v{total}.4s, v{operand}.4s, v{weights}.s[{product.lane}]")
        self.total_ready[total] = self.now + FORWARD_CYCLES
        self.multiplied.add(self.now)
        for value in read:
            value.left -= 1
            if not value.left:
                self.free.append(value.register)
        self._load()
        return True

    def _load(self) -> None:
        """The upper half of a vector, into a general register."""
        if self.loaded < len(self.values) and self.temporaries:
            value = self.values[self.loaded]
            value.upper, value.upper_at = self.temporaries.popleft(), self.now + LOAD_CYCLES
            self.lines.append(f"ldr {value.upper}, {self.vectors[self.loaded].upper}")
            self.loaded += 1

    def _move(self) -> bool:
        """The lower half of a vector into its register, and the upper one of a vector before it."""
        earlier, before = self.whole, len(self.lines)
        if self._may_begin():
            value = self.values[self.begun]
            value.register, value.lower_at = self.free.popleft(), self.now + LOAD_CYCLES
            self.lines.append(f"ldr d{value.register}, {self.vectors[self.begun].lower}")
            self.begun += 1
        if earlier < self.begun:
            value = self.values[earlier]
            if value.lower_at - LOAD_CYCLES < self.now and value.upper_at <= self.now:
                value.ready = max(self.now + INSERT_CYCLES, value.lower_at)
                self.temporaries.append(value.upper)
                self.lines.append(f"ins v{value.register}.d[1], {value.upper}")
                self.whole += 1
        return len(self.lines) > before
