"""How full a program's loops are: operations issued of the two that each instruction has room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.engines.videocore4.disassembler import branch_target
from codegen.engines.videocore4.flow import DELAY_SLOTS
from codegen.engines.videocore4.isa import NOP, Alu, Branch, Instruction, LoadImmediate


@dataclass(frozen=True)
class Loop:
    """Instructions `start` to `stop` (the last delay slot), gone round by a relative branch.

    `adds` and `muls` count operations of each ALU; `loads` are load immediates, which fill an instruction and count
    as one operation; `idle` are instructions that do nothing at all; `inner`: no other loop lies within.
    """

    start: int
    stop: int
    instructions: int
    adds: int
    muls: int
    loads: int
    idle: int
    inner: bool

    @property
    def used(self) -> int:
        """Operations issued in one round."""
        return self.adds + self.muls + self.loads

    @property
    def slots(self) -> int:
        """Operations that could issue."""
        return 2 * self.instructions

    @property
    def share(self) -> float:
        """`used` of `slots`."""
        return self.used / self.slots

    @property
    def bound(self) -> int:
        """Fewest instructions for these operations and the branch: operations pair as their ALUs allow.

        Copies and byte operations could change ALU; the bound leaves every operation to either.
        """
        return -(-(self.adds + self.muls) // 2) + self.loads + 1


def loops(code: Sequence[Instruction]) -> list[Loop]:
    """Every loop of a program, in the order of its branches."""
    spans = []
    for index, instruction in enumerate(code):
        target = branch_target(index, instruction) if isinstance(instruction, Branch) else None
        if target is not None and 0 <= target <= index:
            spans.append((target, min(index + DELAY_SLOTS, len(code) - 1)))
    return [_loop(code, span, spans) for span in spans]


def _loop(code: Sequence[Instruction], span: tuple[int, int], spans: Sequence[tuple[int, int]]) -> Loop:
    start, stop = span
    body = code[start : stop + 1]
    operations = [i for i in body if isinstance(i, Alu)]
    return Loop(
        start=start,
        stop=stop,
        instructions=len(body),
        adds=sum(i.op_add != 0 for i in operations),
        muls=sum(i.op_mul != 0 for i in operations),
        loads=sum(isinstance(i, LoadImmediate) for i in body),
        idle=sum(i == NOP for i in body),
        inner=not any(other != span and start <= other[0] and other[1] <= stop for other in spans),
    )
