"""What silicon does without harm, each with a program of others that does so: accepted, or counted as a warning."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.engines.videocore4.isa import CONDITIONS, SIGNALS, Alu
from microbench.errors import HazardError
from microbench.virtual import Warned
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    ELEMENT,
    MUTEX,
    NOP,
    R0,
    R1,
    R3,
    WAIT,
    A,
    B,
    add,
    load,
    load_b,
    load_setup,
    mul,
    results,
    run,
    small,
    store_setup,
    vpm_block,
)

WRITES = {"r0": 32, "r5": 37, "uniforms_address": 40, "vpm": 48, "mutex": 51, "sfu_recip": 52, "tmu0_s": 56}


def test_both_alus_write_one_accumulator_under_opposite_conditions() -> None:
    """A macro of Broadcom's FFT programs merges two halves so."""
    for yes, no in (("zs", "zc"), ("ns", "nc"), ("cc", "cs")):
        code = [
            load("r1", 100),
            add("sub", "r0", A, B, raddr_a=ELEMENT, set_flags=1, **small(8)),  # N and C in lanes 0 to 7, Z in 8
            add("or", "r2", R1, R1, cond_add=CONDITIONS[yes], op_mul=4, cond_mul=CONDITIONS[no], waddr_mul=34,
                mul_a=R0, mul_b=R0),
        ]  # fmt: skip
        counts = np.arange(16, dtype=np.uint32) - np.uint32(8)
        holds = {"zs": counts == 0, "ns": counts >> 31 == 1, "cc": np.arange(16) >= 8}[yes]
        done = run([*code, *STORE_R2], uniforms=[-1], data=np.zeros(16, np.uint32))
        assert done.data[:16].tolist() == np.where(holds, 100, counts).tolist()
        assert done.execution.warnings == ()


STORE_R2 = [
    load_b("vpm_setup", vpm_block(0)),
    add("or", "vpm", 2, 2),
    load_b("vpm_setup", store_setup(1, 16)),
    load_b("vpm_setup", 3 << 30),
    *ADDRESS_OF_DATA,
    mul("v8min", "dma_address", R3, R3),
    Alu(raddr_b=WAIT),
]


def test_an_add_alu_without_operation_writes_nothing_wherever_its_address_leads() -> None:
    """py-videocore's nop() names r0, unconditionally; no peripheral is reached either."""
    for address in WRITES.values():
        code = [load("r0", 7), Alu(waddr_add=address, cond_add=CONDITIONS["always"]), add("or", "r1", R0, R0)]
        assert results(code, [R1])[0].tolist() == [7] * 16
        (warned,) = run(code).execution.warnings
        assert (warned.rule, warned.count, warned.qpu, warned.instruction) == ("idle_add_write", 1, 0, 1)


def test_the_add_alu_without_operation_leaves_what_stands_beside_it() -> None:
    code = [load("r1", 3), mul("v8min", "r2", R1, R1, waddr_add=32, cond_add=1), add("add", "r1", 2, R1)]
    assert results(code, [R1])[0].tolist() == [6] * 16


def test_one_value_from_both_alus_is_counted() -> None:
    """py-videocore's exit() moves r0 to r0 with both."""
    both = add("or", "r0", R0, R0, op_mul=4, cond_mul=1, waddr_mul=32, mul_a=R0, mul_b=R0)
    code = [load("r0", 5), both, both, add("or", "r1", R0, R0)]
    assert results(code, [R1])[0].tolist() == [5] * 16
    execution = run(code, qpus=3).execution
    first = execution.warnings[0]
    assert execution.warnings == (Warned("same_result", 6, first.bus, 0, 1),)
    assert execution.counters["warnings"] == 6


def test_what_is_written_to_the_mutex_does_not_matter() -> None:
    """py-videocore and qmkl move the NOP register to it, whose last value is the mutex's."""
    for release in (add("or", "mutex_release", A, A), mul("v8min", "mutex_release", B, B)):
        assert run([Alu(raddr_a=MUTEX), release], qpus=4).execution.warnings == ()


STORE = [load_b("vpm_setup", store_setup(4, 16)), load_b("vpm_setup", 3 << 30), *ADDRESS_OF_DATA]
LOAD = [load("vpm_setup", load_setup(4, 16, pitch=3)), *ADDRESS_OF_DATA]
TRANSFERS = {
    "stores": (
        STORE,
        mul("v8min", "dma_address", R3, R3),
        Alu(raddr_b=WAIT),
    ),  # gpu_fft's from 2^18 points on
    "loads": (LOAD, add("or", "dma_address", R3, R3), Alu(raddr_a=WAIT)),  # py-videocore tests of DMA
}


@pytest.mark.parametrize("kind", TRANSFERS)
def test_a_second_transfer_waits_for_the_first_of_the_same_qpu(kind: str) -> None:
    setup, start, wait = TRANSFERS[kind]
    one, two, waited = (
        run([*setup, *middle, wait], uniforms=[-1], data=np.zeros(128, np.uint32)).execution
        for middle in ([start], [start, start], [start, wait, start])
    )
    assert [w.rule for w in two.warnings] == ["transfer_follows"]
    assert two.warnings[0].instruction == len(setup) + 1
    assert one.warnings == waited.warnings == ()
    assert one.cycles < two.cycles <= waited.cycles


LANES = {"zs": np.arange(16) == 10, "ns": np.arange(16) < 10}
ROTATIONS = [  # the lanes that are new, the rotation up, the place of the result; whether a new value moves down
    ("zs", 2, "r1", False),  # lane 10 to 12
    ("zs", 4, "r5", False),  # to 14; lane 0 counts
    ("zs", 15, "r1", False),  # to 9, its own quad
    ("zs", 13, "r1", True),  # to 7
    ("zs", 13, "r5", False),  # to 7, which does not count
    ("zs", 6, "r5", True),  # to 0
    ("ns", 2, "r1", False),  # lanes 0 to 9 to 2 to 11
    ("ns", 7, "r1", True),  # lane 9 to 0
]


@pytest.mark.parametrize(("new", "lanes", "to", "down"), ROTATIONS)
def test_a_rotation_of_new_lanes(new: str, lanes: int, to: str, down: bool) -> None:
    """py-videocore's sgemm writes one lane of r2 under a condition and rotates r2 by the next instruction."""
    code = [
        load("r0", 1),
        add("sub", "nop", A, B, raddr_a=ELEMENT, set_flags=1, **small(10)),
        load("r0", 5, cond_add=CONDITIONS[new]),
        mul("v8min", to, R0, R0, **small(48 + lanes)),
    ]
    if down:
        with pytest.raises(HazardError, match="rotation of r0 right after it is written"):
            run(code)
        return
    assert [w.rule for w in run(code).execution.warnings] == ["rotation_follows"]
    if to == "r1":
        expected = np.roll(np.where(LANES[new], 5, 1), lanes)
        assert results(code, [R1])[0].tolist() == expected.tolist()


def test_a_launch_without_them_warns_of_nothing() -> None:
    execution = run([NOP, Alu(signal=SIGNALS["none"]), load("r0", 1)]).execution
    assert execution.warnings == () and execution.counters["warnings"] == 0
