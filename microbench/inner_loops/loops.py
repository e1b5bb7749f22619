"""Loops in machine code: a backward branch and what lies between it and its target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from microbench.inner_loops.disassembly import Function, Instruction
from microbench.inner_loops.multiply_accumulates import multiply_accumulates

_CALLS = ("bl", "blx")


@dataclass(frozen=True)
class Loop:
    """A loop's own instructions, from the first to the branch back, and the function around it."""

    function: Function
    body: tuple[Instruction, ...]
    is_innermost: bool = True

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one iteration, lanes counted."""
        return multiply_accumulates(self.body)


def loops_of(function: Function) -> tuple[Loop, ...]:
    """Every loop by address, without the instructions of loops inside it.

    Branches back to one address make one loop.
    """
    spans = _spans(function.instructions)
    found = []
    for span in spans:
        inner = [other for other in spans if _contains(span, other)]
        body = (i for i in function.instructions if _is_in(i, span) and not any(_is_in(i, s) for s in inner))
        found.append(Loop(function, tuple(body), not inner))
    return tuple(found)


def busiest_loop(functions: Iterable[Function]) -> Loop | None:
    """The innermost loop with the most multiply-accumulates in an iteration, the shorter of two equal ones.

    Where all of them were unrolled away, the loop around. None where no loop has any.
    """
    loops = [loop for function in functions for loop in loops_of(function) if loop.macs]
    return max(loops, key=lambda loop: (loop.is_innermost, loop.macs, -len(loop.body)), default=None)


def _spans(instructions: Sequence[Instruction]) -> list[tuple[int, int]]:
    """First and last address of every loop."""
    start = instructions[0].address
    ends: dict[int, int] = {}
    for instruction in instructions:
        target = instruction.target
        if target is None or instruction.mnemonic in _CALLS:
            continue
        if start <= target <= instruction.address:
            ends[target] = max(ends.get(target, 0), instruction.address)
    return sorted(ends.items())


def _contains(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    return outer != inner and outer[0] <= inner[0] and inner[1] <= outer[1]


def _is_in(instruction: Instruction, span: tuple[int, int]) -> bool:
    return span[0] <= instruction.address <= span[1]
