"""Virtual registers: places are sound, loops keep their values, and what does not fit is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.disassembler import instruction_text
from codegen.engines.videocore4.isa import Alu, LoadImmediate, decode
from codegen.engines.videocore4.mnemonics import move, operation
from codegen.engines.videocore4.operation import Operation
from codegen.engines.videocore4.registers import (
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    SFU_RECIP,
    TMU0_S,
    UNIFORM,
    A,
    B,
    Register,
    virtual,
)
from codegen.engines.videocore4.slots import loops
from codegen.errors import AssemblyError, RegisterError
from tests.codegen.qpu_machine import MASK, Machine, compute
from tests.codegen.qpu_products import CHANNELS, OUTPUT_BYTES, by_hand, with_virtual_registers
from tests.microbench.qpu_programs import run

VALUES = [virtual(f"v{i}") for i in range(8)]
OUTPUTS = [A(24 + i) if i % 2 else B(24 + i) for i in range(8)]


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    values = st.sampled_from(VALUES)
    sources = st.one_of(values, st.integers(-16, 15), st.just(UNIFORM))
    name = draw(st.sampled_from(["add", "sub", "xor", "mul24", "mov"]))
    if name == "mov":
        return move(draw(values), draw(sources))
    return operation(name, draw(values), draw(values), draw(sources))


def expected(program: Sequence[Operation], uniforms: Sequence[int]) -> list[int]:
    state = {value.name: number for number, value in enumerate(VALUES)}
    stream = iter(uniforms)
    for o in program:
        read = next(stream) if UNIFORM in o.sources else 0
        x, y = (
            [
                s & MASK if isinstance(s, int) else read if s == UNIFORM else state[s.name]  # type: ignore[union-attr]
                for s in o.sources
            ]
            * 2
        )[:2]
        state[o.destination.name] = compute(o.name, x, y)
    return [state[value.name] for value in VALUES]


@settings(max_examples=60, deadline=None)
@given(st.lists(operations(), max_size=25))
def test_placed_code_computes_what_straight_code_computes(program: list[Operation]) -> None:
    uniforms = [1000 + i for i in range(sum(UNIFORM in o.sources for o in program))]
    k = Assembler(effort=20)
    values = {value.name: k.register(value.name[1:]) for value in VALUES}
    for number, value in enumerate(VALUES):
        k.mov(values[value.name], number)
    for o in program:
        k.together(o)
    for value, output in zip(VALUES, OUTPUTS, strict=True):
        k.mov(output, values[value.name])
    machine = Machine(uniforms)
    for word in k.assemble():
        instruction = decode(word)
        assert isinstance(instruction, Alu)
        machine.step(instruction)
    machine.state |= machine.arriving
    assert [machine.state[output.name] for output in OUTPUTS] == expected(program, uniforms)


def simulate(program: tuple[int, ...], rounds: int) -> tuple[list[float], int]:
    rng = np.random.default_rng(1)
    lines = rng.integers(-8, 8, (2 * rounds + 2, 16)).astype(np.float32)
    weights = rng.integers(-8, 8, (rounds, CHANNELS)).astype(np.float32)
    uniforms = [rounds, -1, *(int(word) for word in weights.view(np.uint32).ravel())]
    done = run(
        [decode(word) for word in program], uniforms=uniforms, data=lines.view(np.uint32).ravel(), end=False
    )
    found = done.data[OUTPUT_BYTES // 4 :][: 2 * CHANNELS * 16].view(np.float32).reshape(2, CHANNELS, 16)
    pairs = lines[: 2 * rounds].reshape(rounds, 2, 16)
    assert np.array_equal(found, np.einsum("rpl,rj->pjl", pairs, weights))
    return [float(x) for x in found.ravel()], done.execution.cycles


def test_a_kernel_with_virtual_registers_comes_near_the_one_by_hand() -> None:
    placed, hand = with_virtual_registers(), by_hand()
    same, cycles = simulate(placed, 60)
    assert (same, True) == (simulate(hand, 60)[0], True)
    (inner,) = loops([decode(word) for word in hand])
    assert inner.instructions == inner.bound == 35
    (other,) = loops([decode(word) for word in placed])
    assert other.instructions <= 1.1 * inner.instructions
    assert cycles <= 1.1 * simulate(hand, 60)[1]


def test_the_same_program_is_placed_in_the_same_way() -> None:
    assert with_virtual_registers() == with_virtual_registers()


def many(count: int) -> Assembler:
    k = Assembler(effort=0)
    values = [k.register(f"v{i}") for i in range(count)]
    for value in values:
        k.mov(value, UNIFORM)
    for value in values:
        k.add(R0, R0, value)
    return k


def test_every_register_can_be_used() -> None:
    words = many(67).assemble()  # r0 holds the sum
    assert len(words) >= 67


def test_running_out_of_registers_names_what_is_live() -> None:
    with pytest.raises(
        RegisterError, match=r"no register for v\d+ .* values are live: .*v0, v1, v10.*; keep fewer"
    ):
        many(68).assemble()


def test_reserved_registers_are_left_alone() -> None:
    k = Assembler(reserved=[*(A(i) for i in range(32)), *(B(i) for i in range(1, 32)), R0, R1, R2, R3])
    only = k.register("only")
    k.mov(only, 1)
    k.mov(NULL, only)
    (word, *_) = k.assemble()
    instruction = decode(word)
    assert isinstance(instruction, Alu)
    assert (instruction.waddr_add, instruction.write_swap) == (0, 1)


def rejects(build: Callable[[Assembler, Register], None], message: str) -> None:
    k = Assembler()
    value = k.register("value")
    with pytest.raises(AssemblyError, match=message):
        build(k, value)
        k.assemble()


def test_what_cannot_be_placed_is_named() -> None:
    def unwritten(k: Assembler, value: Register) -> None:
        k.label("loop")
        k.mov(R0, value)
        k.mov(value, 1)
        k.branch("loop", "any_zc")

    rejects(unwritten, "virtual register value is read before it is written")
    rejects(lambda k, value: k.branch("on", link=value), "name a register itself")
    rejects(lambda k, value: k.branch_register(value), "name an even register")
    rejects(lambda k, value: k.rotate(R1, R4, 3), "only r0 to r3 rotate")
    rejects(lambda k, value: k.register("value"), "exists already")  # type: ignore[arg-type]
    rejects(lambda k, value: k.register("x", "abc"), "not some of a, b and r")  # type: ignore[arg-type]

    def unreachable(k: Assembler, value: Register) -> None:
        other = k.register("other", "a")
        file_a = k.register("file_a", "a")
        k.mov(other, 1)
        k.mov(file_a, 2)
        k.add(R0, other, file_a)

    rejects(unreachable, r"no register for (other|file_a) \(files a\)")


def test_rotated_and_unpacked_values_find_their_files() -> None:
    k = Assembler()
    rotated, halves = k.register("rotated"), k.register("halves")
    k.mov(rotated, UNIFORM)
    k.mov(halves, UNIFORM)
    k.rotate(R1, rotated, R5)
    k.fadd(R0, halves.unpacked("16a"), R1)
    k.mov(halves.packed("16b"), R0)
    k.mov(R2, halves)
    code = [decode(word) for word in k.assemble()]
    rotation = next(i for i in code if isinstance(i, Alu) and i.signal == 13)
    assert rotation.mul_a < 4 and rotation.raddr_b == 48
    assert any(isinstance(i, Alu) and i.unpack == 1 and not i.pm for i in code)
    assert any(isinstance(i, Alu) and i.pack == 2 and not i.write_swap for i in code)


def test_a_value_written_under_both_conditions_is_whole() -> None:
    k = Assembler()
    value, other = k.register("value"), k.register("other")
    k.mov(other, 3)
    k.sub(NULL, UNIFORM, 1, set_flags=True)
    k.mov(value, 1, condition="zs")
    k.mov(value, 2, condition="zc")
    k.add(R0, value, other)
    assert len(k.assemble()) >= 4


def test_sfu_results_and_requests_keep_their_distance() -> None:
    k = Assembler()
    x, y = k.register("x"), k.register("y")
    k.mov(TMU0_S, UNIFORM)
    k.mov(x, UNIFORM)
    k.mov(SFU_RECIP, x)
    k.mov(y, R4)
    k.load_tmu(0)
    k.fmul(R0, y, R4)
    code = [decode(word) for word in k.assemble()]
    places = [i for i, c in enumerate(code) if isinstance(c, Alu) and 52 in (c.waddr_add, c.waddr_mul)]
    reads = [i for i, c in enumerate(code) if isinstance(c, Alu) and 4 in (c.add_a, c.mul_a)]
    assert reads[0] == places[0] + 3


def test_a_load_waits_behind_other_work() -> None:
    k = Assembler()
    address, total = k.register("address"), k.register("total")
    k.mov(address, UNIFORM)
    k.mov(total, 0)
    k.mov(TMU0_S, address)
    k.load_tmu(0)
    k.mov(R0, R4)
    for _ in range(9):
        k.add(total, total, UNIFORM)
    k.mov(R1, total)
    code = [decode(word) for word in k.assemble()]
    load = next(i for i, c in enumerate(code) if isinstance(c, Alu) and c.signal == 10)
    request = next(i for i, c in enumerate(code) if isinstance(c, Alu) and 56 in (c.waddr_add, c.waddr_mul))
    assert load - request >= 9


def test_mnemonics_read_like_assembly() -> None:
    k = Assembler()
    k.fadd(R0, R1, R2).fmul(R3, R1, R2).signal("load_tmu0")
    k.and_(R0, R1, 3, condition="zs", set_flags=True)
    k.v8adds(R0, R1, R2).v8adds(R3, R1, R2)
    k.load_lanes(R1, [0, 1, -2, -1] * 4)
    with pytest.raises(AssemblyError, match="fadd takes 2 operands, not 1"):
        k.fadd(R0, R1)
    with pytest.raises(AssemblyError, match="two operations already"):
        k.fadd(R0, R1, R2).fmul(R3, R1, R2).mov(R2, R1)
    with pytest.raises(AttributeError, match="no operation of the QPU"):
        k.fdiv(R0, R1, R2)
    with pytest.raises(AssemblyError, match="no small immediate"):
        k.add(R0, R1, 16)
    with pytest.raises(AssemblyError, match="unknown condition 'ls'"):
        k.add(R0, R1, 1, condition="ls")
    k = Assembler()
    k.load_lanes(R1, [0, 1, -2, -1] * 4)
    (word,) = k.assemble()
    load = decode(word)
    assert isinstance(load, LoadImmediate) and (load.mode, load.immediate) == (1, 0xCCCCAAAA)


def test_both_alus_may_write_one_accumulator_under_opposite_conditions() -> None:
    k = Assembler()
    k.mov(R0, R1, condition="ns").mov(R0, R2, condition="nc")
    (word,) = k.assemble()
    assert instruction_text(decode(word)) == "mov.ns r0, r1 ; mov.nc r0, r2"


def test_verbatim_code_keeps_its_order_and_needs_no_gap() -> None:
    k = Assembler()
    value, other = k.register("value"), k.register("other")
    k.verbatim("here")
    k.mov(value, UNIFORM)
    k.add(other, value, value)
    k.mov(R0, other)
    code = [decode(word) for word in k.assemble()]
    assert len(code) == 3
    assert all(isinstance(i, Alu) and i.waddr_add in range(32, 36) for i in code)
