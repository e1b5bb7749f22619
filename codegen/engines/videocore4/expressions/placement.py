"""Gives an expression's steps registers, in the way that makes them shortest.

Elements go several at a time through the steps where registers suffice, so that one's waits for the special functions
are the other's time. Constants stay in registers as far as there are some, and are loaded before each use else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.expressions.emission import LACKING, Element, Emission
from codegen.engines.videocore4.expressions.lowering import Program, lowered
from codegen.engines.videocore4.registers import (
    R0,
    R1,
    R2,
    R3,
    A,
    B,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

_FOR_OPERANDS = (
    8  # registers of each file that `instructions` takes for operands, more where one element has more
)
_IN_A_FILE = 32
_SAMPLE = 4  # elements that the choice of a placement is judged by
_WIDTHS = (4, 2, 1)  # elements that go through the steps together


@dataclass(frozen=True)
class Placement:
    """An expression with its registers: `load` its constants once, then `apply` as often as wanted."""

    program: Program
    width: int
    constants: dict[float | int, Register]
    temporaries: tuple[Register, ...]

    def load(self, k: Assembler) -> None:
        """Fills the registers of the constants."""
        for value, register in self.constants.items():
            k.load(register, value)

    def apply(self, k: Assembler, elements: Sequence[Element]) -> None:
        """Appends the computation of some elements; raises ScheduleError where registers lack."""
        for first in range(0, len(elements), self.width):
            group = elements[first : first + self.width]
            Emission(k, self.program, group, self.constants, self.temporaries).run()


def place(expression: Expression, elements: Sequence[Element], free: Sequence[Register]) -> Placement:
    """The shortest way to compute an expression for these elements with the free registers, accumulators first.

    Raises ScheduleError where they do not suffice.
    """
    program = lowered(expression)
    found: list[tuple[float, Placement]] = []
    for width in _WIDTHS:
        for held in range(len(program.constants), -1, -1):
            placement = _with_constants(program, width, held, free)
            if placement is None:
                continue
            try:
                length = _length(placement, elements)
            except ScheduleError:
                continue
            found.append((length, placement))
            break
    if not found:
        raise ScheduleError(LACKING.format(len(program.steps), len(free)))
    return min(found, key=lambda candidate: candidate[0])[1]


def _with_constants(program: Program, width: int, held: int, free: Sequence[Register]) -> Placement | None:
    """Constants in file registers, of both files in turn."""
    by_file = {file: [r for r in reversed(free) if r.is_general and r.read_ports == file] for file in "ab"}
    constants: dict[float | int, Register] = {}
    for value in program.constants[:held]:
        file = max("ab", key=lambda name: len(by_file[name]))
        if not by_file[file]:
            return None
        constants[value] = by_file[file].pop(0)
    rest = tuple(register for register in free if register not in constants.values())
    return Placement(program, width, constants, rest)


def _length(placement: Placement, elements: Sequence[Element]) -> float:
    """Instructions for all elements, from the schedule of a few of them."""
    scratch = Assembler()
    placement.apply(scratch, elements)
    few = Assembler()
    placement.apply(few, elements[:_SAMPLE])
    share = len(elements) / max(1, len(elements[:_SAMPLE]))
    return len(few.assemble()) * share + len(placement.constants)


@cache
def instructions(expression: Expression) -> float:
    """Instructions that an expression adds for 16 elements, in the middle of many and with registers to spare.

    Raises ScheduleError where registers do not suffice.
    """
    operands = max(1, expression.arity)
    taken = max(_FOR_OPERANDS, operands)
    if taken > _IN_A_FILE:
        raise ScheduleError(f"an expression of {operands} operands needs more registers than there are")
    elements = [
        Element(tuple((A, B)[i % 2](e * operands + i) for i in range(operands)), A(e * operands))
        for e in range(_SAMPLE)
        if (e + 1) * operands <= taken
    ]
    free = [R0, R1, R2, R3, *(file(i) for i in range(taken, _IN_A_FILE) for file in (A, B))]
    placement = place(expression, elements, free)
    k = Assembler()
    placement.apply(k, elements)
    return len(k.assemble()) / len(elements)
