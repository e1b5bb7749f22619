"""What an iteration of a loop consists of: memory accesses, stack accesses among them, branches."""

from __future__ import annotations

import re
from dataclasses import dataclass

from microbench.inner_loops.disassembly import Function, Instruction
from microbench.inner_loops.loops import Loop
from microbench.inner_loops.multiply_accumulates import operand_list

_LOAD = re.compile(r"^(v?ld|v?pop)")
_STORE = re.compile(r"^(v?st|v?push)")
_BASE = re.compile(r"\[(\w+)")
_MOVES = ("add", "sub", "mov", "orr")
_WRITES_NOTHING = re.compile(r"^(v?st|push|vpush|cmp|cmn|tst|teq|pld|prfm|nop|vcmp|fcmp)")


@dataclass(frozen=True)
class LoopCounts:
    """Instructions of one iteration by what they do. `stack_accesses` are loads and stores of the stack: spills."""

    instructions: int
    macs: int
    loads: int
    stores: int
    branches: int
    stack_accesses: int

    @property
    def macs_per_instruction(self) -> float:
        return self.macs / self.instructions


def count_loop(loop: Loop) -> LoopCounts:
    """Counts one iteration as if every instruction of the body ran."""
    loads = [i for i in loop.body if _LOAD.match(i.mnemonic)]
    stores = [i for i in loop.body if _STORE.match(i.mnemonic)]
    return LoopCounts(
        instructions=len(loop.body),
        macs=loop.macs,
        loads=len(loads),
        stores=len(stores),
        branches=sum(i.is_branch for i in loop.body),
        stack_accesses=sum(_is_on_stack(i, loop) for i in (*loads, *stores)),
    )


def _is_on_stack(access: Instruction, loop: Loop) -> bool:
    """Whether its base is the stack pointer, a frame register, or a register last set from one of them."""
    if access.mnemonic.startswith(("pop", "push", "vpop", "vpush")):
        return True
    match = _BASE.search(access.operands)
    base = match[1] if match else operand_list(access)[0].rstrip("!")
    stack = {"sp", *_frame_registers(loop.function)}
    if base in stack:
        return True
    write = _last_write(base, access, loop.function)
    return write is not None and write.mnemonic in _MOVES and operand_list(write)[1] in stack


def _frame_registers(function: Function) -> set[str]:
    """Registers that hold the frame's address throughout the function."""
    setups = (i for i in function.instructions if i.mnemonic in _MOVES)
    return {operand_list(i)[0] for i in setups if operand_list(i)[1] == "sp"} & {"r11", "x29"}


def _last_write(register: str, access: Instruction, function: Function) -> Instruction | None:
    """The nearest instruction before the access, by address, that sets a register."""
    before = (i for i in reversed(function.instructions) if i.address < access.address)
    writes = (i for i in before if not i.is_branch and not _WRITES_NOTHING.match(i.mnemonic))
    return next((i for i in writes if operand_list(i)[0] == register), None)
