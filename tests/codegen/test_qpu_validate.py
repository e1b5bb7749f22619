"""Every rule of the validator has an instruction sequence that breaks it."""

from __future__ import annotations

import pytest

from codegen.errors import AssemblyError
from codegen.qpu.isa import ADD_OPS, MUX_A, NOP, SIGNALS, Alu, Branch, Instruction
from codegen.qpu.validate import validate

MOVE_TO_A0 = Alu(op_add=ADD_OPS["or"], cond_add=1, waddr_add=0)
READ_A0 = Alu(op_add=ADD_OPS["or"], cond_add=1, waddr_add=32, raddr_a=0, add_a=MUX_A, add_b=MUX_A)
READ_UNIFORM = Alu(op_add=ADD_OPS["or"], cond_add=1, waddr_add=32, raddr_a=32, add_a=MUX_A, add_b=MUX_A)
MOVE_STREAM = Alu(op_add=ADD_OPS["or"], cond_add=1, waddr_add=40)
SFU = Alu(op_add=ADD_OPS["or"], cond_add=1, waddr_add=52)
READ_R4 = Alu(op_add=ADD_OPS["or"], cond_add=1, waddr_add=32, add_a=4, add_b=4)
TMU = Alu(op_add=ADD_OPS["or"], cond_add=1, waddr_add=56)
R0_WRITE = Alu(op_add=ADD_OPS["or"], cond_add=1, waddr_add=32)
ROTATE_R0 = Alu(signal=SIGNALS["small_immediate"], raddr_b=50, op_mul=4, cond_mul=1, waddr_mul=33)

BROKEN: dict[str, list[Instruction]] = {
    "register-file location": [MOVE_TO_A0, READ_A0],
    "within two instructions of a write to the uniforms": [MOVE_STREAM, NOP, READ_UNIFORM],
    "two branches": [Branch(), NOP, Branch()],
    "rotates an accumulator": [R0_WRITE, ROTATE_R0],
    "r4 within two": [SFU, NOP, READ_R4],
    "more than one peripheral": [
        Alu(op_add=21, cond_add=1, waddr_add=56, op_mul=4, cond_mul=1, waddr_mul=60)
    ],
    "more than one": [Alu(signal=10, op_add=21, cond_add=1, waddr_add=48)],
    "conditional write": [Alu(op_add=21, cond_add=2, waddr_add=56)],
    "set_flags without": [Alu(set_flags=1)],
    "writes without an operation": [Alu(waddr_add=3)],
    "small immediate that nothing reads": [Alu(signal=13, raddr_b=1)],
    "port A without an address": [Alu(op_add=21, cond_add=1, add_a=MUX_A, add_b=MUX_A)],
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_rule_is_named(message: str) -> None:
    with pytest.raises(AssemblyError, match=message):
        validate(BROKEN[message])


def test_sound_sequences_pass() -> None:
    validate([MOVE_TO_A0, NOP, READ_A0, MOVE_STREAM, NOP, NOP, READ_UNIFORM, SFU, NOP, NOP, READ_R4, TMU])
    relay = Alu(op_add=ADD_OPS["or"], cond_add=1, waddr_add=33, add_a=MUX_A, add_b=MUX_A)
    validate([READ_UNIFORM, relay])
    validate([Branch(), NOP, NOP, NOP, Branch(), NOP, NOP, NOP])
