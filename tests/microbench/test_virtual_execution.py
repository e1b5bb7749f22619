"""Instructions do to registers and flags what the guide and its errata say."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.engines.videocore4.isa import (
    BRANCH_CONDITIONS,
    CONDITIONS,
    Alu,
    Branch,
    Instruction,
    LoadImmediate,
    small_immediate,
)
from tests.microbench.qpu_programs import (
    ELEMENT,
    NOP,
    R0,
    R1,
    R2,
    R4,
    R5,
    UNIFORM,
    A,
    B,
    add,
    load,
    load_b,
    mul,
    results,
    small,
)

LANES = np.arange(16, dtype=np.uint32)
ELEMENTS = add("or", "r0", A, A, raddr_a=ELEMENT)


def one(code: list[Instruction], source: int = R1, **options: object) -> list[int]:
    return [int(word) for word in results(code, [source], **options)[0]]


@pytest.mark.parametrize("value", [0, 5, 15, -16, -1, 1.0, 128.0, 1 / 256, 0.5])
def test_small_immediates(value: int | float) -> None:
    code = small_immediate(value)
    assert code is not None
    kind = np.float32 if isinstance(value, float) else np.int32
    expected = int(np.array(value, kind).view(np.uint32))
    assert one([add("or", "r1", B, B, **small(code))]) == [expected] * 16


def test_loads_of_immediates_a_lane() -> None:
    word = 0b1100_1010_0000_1111 << 16 | 0b1010_1010_1010_1010
    high, low = (word >> 16 >> LANES) & 1, (word >> LANES) & 1
    signed = one([LoadImmediate(mode=1, waddr_add=33, immediate=word)])
    unsigned = one([LoadImmediate(mode=3, waddr_add=33, immediate=word)])
    assert signed == (low - 2 * high).astype(np.uint32).tolist()
    assert unsigned == (low + 2 * high).tolist()


@pytest.mark.parametrize("amount", [1, 5, 15])
def test_full_rotation_moves_lanes_up(amount: int) -> None:
    code = [ELEMENTS, NOP, mul("v8min", "r1", R0, R0, **small(48 + amount))]
    assert one(code) == np.roll(LANES, amount).tolist()


def test_rotation_of_a_register_file_stays_within_quads() -> None:
    code = [add("or", 3, A, A, raddr_a=ELEMENT), NOP, mul("v8min", "r1", A, A, raddr_a=3, **small(49))]
    assert one(code) == np.roll(LANES.reshape(4, 4), 1, axis=1).ravel().tolist()


def test_rotation_by_r5_and_its_two_ways_of_being_written() -> None:
    by_a = one([ELEMENTS, add("or", "r5", R0, R0), add("or", "r1", R5, R5)])
    by_b = one([ELEMENTS, NOP, mul("v8min", "r2", R0, R0, **small(48 + 13)), mul("v8min", "r5", R2, R2),
                add("or", "r1", R5, R5)])  # fmt: skip
    assert by_a == (LANES & 12).tolist()
    assert by_b == [3] * 16
    turned = one([load("r5", 7), ELEMENTS, NOP, mul("v8min", "r1", R0, R0, **small(48))])
    assert turned == np.roll(LANES, 7).tolist()


@pytest.mark.parametrize(
    ("condition", "lanes"), [("zs", 1), ("zc", 15), ("ns", 0), ("nc", 16), ("cc", 16), ("cs", 0)]
)
def test_conditions_select_lanes(condition: str, lanes: int) -> None:
    code = [load("r1", 0), add("or", "nop", A, A, raddr_a=ELEMENT, set_flags=1),
            add("or", "r1", B, B, cond_add=CONDITIONS[condition], **small(1))]  # fmt: skip
    assert sum(one(code)) == lanes


def test_flags_change_only_where_the_condition_holds() -> None:
    code = [
        load("r1", 0),
        add("sub", "nop", A, B, raddr_a=ELEMENT, set_flags=1, **small(4)),  # negative: lanes 0 to 3
        add("sub", "nop", A, B, raddr_a=ELEMENT, set_flags=1, cond_add=CONDITIONS["ns"], **small(2)),
        add("or", "r1", B, B, cond_add=CONDITIONS["ns"], **small(1)),
    ]
    assert one(code) == [1, 1] + [0] * 14


def test_the_mul_alu_sets_flags_only_beside_an_add_nop() -> None:
    code = [
        load("r1", 0),
        ELEMENTS,
        mul("v8min", "nop", R0, R0, set_flags=1),
        add("or", "r1", B, B, cond_add=CONDITIONS["zs"], **small(1)),
    ]
    assert one(code) == [1] + [0] * 15


@pytest.mark.parametrize(
    ("pack", "expected"), [(1, 0xAAAA5678), (2, 0x5678AAAA), (3, 0x78787878), (6, 0xAA78AAAA)]
)
def test_packing_into_register_file_a(pack: int, expected: int) -> None:
    code = [load(5, 0xAAAAAAAA), load("r0", 0x12345678), add("or", 5, R0, R0, pack=pack), NOP,
            add("or", "r1", A, A, raddr_a=5)]  # fmt: skip
    assert one(code) == [expected] * 16


@pytest.mark.parametrize(
    ("unpack", "op", "expected"),
    [
        (1, "or", 0xFFFFC000),
        (1, "fmax", 0xC0000000),
        (2, "fmax", 0x3F800000),
        (3, "or", 0x3C3C3C3C),
        (4, "or", 0),
    ],
)
def test_unpacking_from_register_file_a(unpack: int, op: str, expected: int) -> None:
    code = [load(5, 0x3C00C000), NOP, add(op, "r1", A, A, raddr_a=5, unpack=unpack)]
    assert one(code) == [expected] * 16


def test_mul_results_pack_to_colour() -> None:
    half = small_immediate(0.5)
    assert half is not None
    code = [load("r1", 0), load("r0", 0x3F800000), mul("fmul", "r1", R0, B, pm=1, pack=5, **small(half))]
    assert one(code) == [128 << 8] * 16


def test_branch_has_three_delay_slots_and_links_when_taken() -> None:
    always = Branch(condition=BRANCH_CONDITIONS["always"], relative=1, immediate=8, waddr_add=4)
    code = [
        load("r1", 0),
        always,
        *[add("add", "r1", R1, B, **small(1))] * 4,
        NOP,
        add("or", "r2", A, A, raddr_a=4),
    ]
    after, link = results(code, [R1, R2])
    assert after.tolist() == [3] * 16
    assert len(set(link.tolist())) == 1 and link[0] % 4096 == 5 * 8


def test_a_branch_that_is_not_taken_links_nothing() -> None:
    never = Branch(condition=BRANCH_CONDITIONS["all_ns"], relative=1, immediate=8, waddr_add=4)
    code = [
        load(4, 9),
        load("nop", 0, set_flags=1),
        never,
        NOP,
        NOP,
        NOP,
        NOP,
        add("or", "r1", A, A, raddr_a=4),
    ]
    assert one(code) == [9] * 16


def test_loop_by_a_counter() -> None:
    back = Branch(condition=BRANCH_CONDITIONS["any_zc"], relative=1, immediate=-8 * 6 & 0xFFFFFFFF)
    code = [load("r0", 10), load("r1", 0), add("add", "r1", R1, B, **small(3)),
            add("sub", "r0", R0, B, set_flags=1, **small(1)), back, NOP, NOP, NOP]  # fmt: skip
    assert one(code) == [30] * 16


def test_a_register_branch_takes_lane_15() -> None:
    code = [
        Branch(condition=15, relative=1, immediate=0, waddr_add=4), NOP, NOP, NOP,  # ra4 = address of the next
        add("add", 6, A, B, raddr_a=4, cond_add=1, **small(0)), load("r1", 1),
        load("nop", 0), add("sub", "nop", A, B, raddr_a=ELEMENT, set_flags=1, **small(15)),
        add("or", 6, B, B, cond_add=CONDITIONS["ns"], **small(0)),  # spoil lanes 0 to 14
        NOP, Branch(condition=15, use_register=1, raddr_a=6, immediate=13 * 8), NOP, NOP, NOP,
        load("r1", 2), NOP, NOP,
    ]  # fmt: skip
    assert one(code) == [1] * 16


@pytest.mark.parametrize(
    ("register", "function", "bits"),
    [("sfu_recip", lambda x: 1 / x, 14), ("sfu_rsqrt", lambda x: x**-0.5, 14),
     ("sfu_exp2", np.exp2, 14), ("sfu_log2", np.log2, 13.9)],
)  # fmt: skip
def test_special_functions_are_right_to_their_bits(register: str, function: object, bits: float) -> None:
    assert callable(function)
    code = [
        ELEMENTS, add("itof", "r0", R0, R0), load("r2", 0x3FC00000), add("fadd", "r0", R0, R2),
        add("or", register, R0, R0), NOP, NOP, add("or", "r1", R4, R4),
    ]  # fmt: skip
    exact = function(LANES.astype(np.float64) + 1.5)
    got = np.array(one(code), np.uint32).view(np.float32)
    assert np.all(np.abs(got - exact) <= np.maximum(np.abs(exact), 1) * 2.0**-bits)


def test_uniform_reads_on_both_ports_take_one_word() -> None:
    code = [add("add", "r1", A, B, raddr_a=UNIFORM, raddr_b=UNIFORM), add("or", "r2", A, A, raddr_a=UNIFORM)]
    doubled, second = results(code, [R1, R2], uniforms=[21, 5])
    assert doubled.tolist() == [42] * 16
    assert second.tolist() == [5] * 16


def test_qpu_number_and_vpm_in_both_directions() -> None:
    code = [
        ELEMENTS,
        load_b("vpm_setup", 1 << 12 | 2 << 8),  # vertical, column 0
        add("or", "vpm", R0, R0),
        load("vpm_setup", 2 << 20 | 1 << 12 | 1 << 11 | 2 << 8 | 3),  # two horizontal reads from row 3
        add("or", "r1", A, A, raddr_a=48),
        add("or", "r2", A, A, raddr_a=48),
        Alu(),
    ]
    first, second = results(code, [R1, R2])
    assert (first[0], second[0]) == (3, 4)
