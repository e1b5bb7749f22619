"""Scheduling keeps the meaning of straight-line code, and the distances of the hardware."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.isa import NOP, Alu, Branch, decode
from codegen.engines.videocore4.operation import Bundle, Operation
from codegen.engines.videocore4.packing import pack
from codegen.engines.videocore4.registers import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    SFU_EXP2,
    TMU_NOSWAP,
    TMU_S,
    UNIFORM,
    A,
    B,
)
from codegen.engines.videocore4.scheduler import schedule
from codegen.engines.videocore4.validate import reads_after_write
from codegen.errors import AssemblyError
from tests.codegen.qpu_machine import MASK, REGISTERS, Machine, run_sequentially

sources = st.one_of(st.sampled_from([*REGISTERS, UNIFORM]), st.integers(-16, 15))


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    target = draw(st.sampled_from(REGISTERS))
    name = draw(st.sampled_from(["add", "sub", "xor", "mul24", "mov"]))
    if name == "mov":
        return move(target, draw(sources))
    first = draw(st.sampled_from([R0, R1, R2, R3]))  # an accumulator never competes for a port
    return operation(name, target, first, draw(sources))


@settings(max_examples=300, deadline=None)
@given(st.lists(operations(), min_size=1, max_size=25))
def test_scheduled_code_computes_what_straight_code_computes(program: list[Operation]) -> None:
    uniforms = [1000 + i for i in range(sum(UNIFORM in o.sources for o in program))]
    expected = run_sequentially(program, uniforms)
    machine = Machine(uniforms)
    for instruction in schedule([Bundle((o,)) for o in program]):
        assert isinstance(instruction, Alu)
        machine.step(instruction)
    machine.state |= machine.arriving
    assert machine.state == expected


def test_independent_operations_are_paired() -> None:
    items = [Bundle((operation("fadd", R0, R1, R2),)), Bundle((operation("fmul", R3, R1, R2),))]
    assert len(schedule(items)) == 1


def test_file_register_is_not_read_by_the_next_instruction() -> None:
    items = [Bundle((move(A(0), R0),)), Bundle((operation("add", R1, A(0), R2),))]
    assert len(schedule(items)) == 3


def test_loop_branch_has_its_delay_slots_filled() -> None:
    k = Assembler()
    k.label("loop")
    k.op("sub", A(0), A(0), 1, set_flags=True)
    for register in (R0, R1, R2, R3):
        k.op("fadd", register, register, register)
    k.branch("loop", "any_zc")
    code = [decode(word) for word in k.assemble()]
    assert len(code) == 6
    assert [type(i).__name__ for i in code] == ["Alu", "Alu", "Branch", "Alu", "Alu", "Alu"]
    assert isinstance(code[2], Branch)
    assert code[2].immediate == -48 & MASK  # from the fourth instruction after the branch back to the first


def test_taken_branch_does_not_run_into_a_fresh_register() -> None:
    k = Assembler()
    k.label("loop")
    k.op("add", R0, A(1), R1)  # first of the loop
    k.op("add", R2, R0, R1)
    k.op("add", R3, R2, R1)
    k.mov(A(1), R3)  # would fill the last delay slot
    k.branch("loop", "any_zc")
    code = [decode(word) for word in k.assemble()]
    branch = next(i for i, x in enumerate(code) if isinstance(x, Branch))
    assert not reads_after_write(code[branch + 3], code[0])
    assert len(code) == 6  # one NOP more than the four operations and the branch


def test_special_function_results_keep_their_distance_across_blocks() -> None:
    k = Assembler()
    k.mov(SFU_EXP2, R0)
    k.label("next")
    k.mov(R1, R4)
    code = [decode(word) for word in k.assemble()]
    assert len(code) == 4  # two NOPs between


def test_r5_rotations_wait_for_r5() -> None:
    k = Assembler()
    k.mov(R5_ALL, R0)
    k.rotate(R1, R2, R5)
    code = [decode(word) for word in k.assemble()]
    assert len(code) == 3 and isinstance(code[2], Alu) and code[2].raddr_b == 48


def test_noswap_is_kept_ahead_of_requests() -> None:
    k = Assembler()
    k.mov(TMU_NOSWAP, 1)
    k.mov(TMU_S[1], R0)
    assert len(k.assemble()) == 4


def test_a_link_goes_to_its_register() -> None:
    k = Assembler()
    k.label("start")
    k.branch("start", link=B(3))
    branch = next(i for i in map(decode, k.assemble()) if isinstance(i, Branch))
    assert (branch.waddr_add, branch.write_swap) == (3, 1)


def test_packed_and_unpacked_parts_are_encoded() -> None:
    k = Assembler()
    k.fadd(R0, A(1).unpacked("16a"), R1)
    k.fmul(R0.packed("color_b"), R4.unpacked("8a"), R1)
    k.add(A(2).packed("16b_sat"), R0, R1)
    first, second, third = (i for i in map(decode, k.assemble()) if i != NOP)
    assert isinstance(first, Alu) and (first.pm, first.unpack, first.raddr_a) == (0, 1, 1)
    assert isinstance(second, Alu) and (second.pm, second.unpack, second.pack) == (1, 4, 5)
    assert isinstance(third, Alu) and (third.pm, third.pack, third.waddr_add, third.write_swap) == (
        0,
        10,
        2,
        0,
    )


def test_unpacking_does_not_reach_another_operand_of_the_port() -> None:
    plain, part = operation("add", R0, A(1), R1), operation("fmul", R2, A(1).unpacked("16a"), R1)
    assert pack([Bundle((plain,)), Bundle((part,))]) is None
    assert pack([Bundle((operation("fadd", R0, A(1).unpacked("16a"), R1),)), Bundle((part,))]) is not None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda k: k.load(R0, 1 << 32), "does not fit 32 bits"),
        (lambda k: k.load(R0, 1e39), "beyond float32"),
        (lambda k: k.acquire(16), "does not fit 4 bits"),
        (lambda k: k.load_tmu(2), "unknown signal 'load_tmu2'"),
        (lambda k: k.rotate(R0, R1, 16), "must be 1 to 15"),
        (lambda k: k.load_lanes(R0, [4] * 16), "16 values from 0 to 3"),
        (lambda k: A(32), "does not exist"),
        (lambda k: A(1).unpacked("8"), "unpack mode '8'"),
        (lambda k: B(1).unpacked("8a"), "cannot be unpacked"),
        (lambda k: R0.packed("16a"), "only registers of file A"),
        (lambda k: k.branch("nowhere"), "label 'nowhere' is not defined"),
        (lambda k: k.branch("x", "sometimes"), "unknown branch condition"),
        (lambda k: k.op("fdiv", R0, R1, R2), "unknown operation 'fdiv'"),
        (lambda k: k.mov(R4, R0), "cannot be written"),
    ],
)
def test_what_is_out_of_range_is_refused(build: Callable[[Assembler], object], message: str) -> None:
    k = Assembler()
    with pytest.raises(AssemblyError, match=message):
        build(k)
        k.assemble()
