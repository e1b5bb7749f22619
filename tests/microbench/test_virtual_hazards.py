"""The virtual GPU stops at every broken rule and names it, the QPU and the instruction."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.engines.videocore4.isa import BRANCH_CONDITIONS, SIGNALS, Alu, Branch, Instruction
from microbench.errors import HazardError
from microbench.virtual import VirtualV3D
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    BUSY,
    ELEMENT,
    END,
    MUTEX,
    NOP,
    R0,
    R1,
    R3,
    R4,
    R5,
    UNIFORM,
    VPM,
    WAIT,
    A,
    B,
    add,
    load,
    load_b,
    load_setup,
    mul,
    run,
    semaphore,
    small,
    store_setup,
    vpm_block,
    vpm_block_read,
)

END_SIGNAL = SIGNALS["thread_end"]
SKIP = Branch(condition=BRANCH_CONDITIONS["always"], relative=1)
STORE = [load_b("vpm_setup", store_setup(16, 16)), load_b("vpm_setup", 3 << 30), *ADDRESS_OF_DATA,
         mul("v8min", "dma_address", R3, R3)]  # fmt: skip
LOAD = [load("vpm_setup", load_setup(4, 16)), load("vpm_setup", 9 << 28 | 64), *ADDRESS_OF_DATA,
        add("or", "dma_address", R3, R3)]  # fmt: skip

BROKEN: dict[str, tuple[list[Instruction], str]] = {
    "file A": ([load(3, 1), add("or", "r0", A, A, raddr_a=3)], "register file A3 is read"),
    "file B": ([load_b(9, 1), add("or", "r0", B, B, raddr_b=9)], "register file B9 is read"),
    "file across a branch": (
        [SKIP, NOP, NOP, load(3, 1), add("or", "r0", A, A, raddr_a=3)], "register file A3 is read"),
    "r4 after SFU": ([load("sfu_recip", 1), NOP, add("or", "r0", R4, R4)], "r4 is read or written"),
    "TMU load after SFU": (
        [add("or", "tmu0_s", A, A, raddr_a=UNIFORM), load("sfu_recip", 1), NOP, Alu(signal=SIGNALS["load_tmu0"])],
        "r4 is read or written"),
    "SFU after SFU": ([load("sfu_recip", 1), load("sfu_exp2", 1)], "r4 is read or written"),
    "uniform after its address": (
        [add("or", "uniforms_address", A, A, raddr_a=UNIFORM), NOP, add("or", "r0", A, A, raddr_a=UNIFORM)],
        "uniform read within two"),
    "noswap": ([load("tmu_noswap", 1), NOP, add("or", "tmu0_s", A, A, raddr_a=UNIFORM)], "TMU_NOSWAP"),
    "rotation": ([load("r1", 1), mul("v8min", "r0", R1, R1, **small(50))], "rotation of r1"),
    "rotation by r5": ([load("r5", 1), mul("v8min", "r0", R1, R1, **small(48))], "rotation by r5"),
    "branches": ([SKIP, NOP, SKIP, NOP, NOP, NOP], "fewer than two instructions between branches"),
    "two peripherals": (
        [add("or", "tmu0_s", A, A, raddr_a=UNIFORM, op_mul=4, cond_mul=1, waddr_mul=52)], "two peripheral accesses"),
    "TMU read and write": (
        [add("or", "tmu0_s", A, A, raddr_a=UNIFORM),
         add("or", "tmu0_s", R0, R0, signal=SIGNALS["load_tmu0"])], "two peripheral accesses"),
    "VPM beside TMU load": (
        [add("or", "vpm", R0, R0, signal=SIGNALS["load_tmu0"])], "VPM access beside a TMU load"),
    "two VPM setups": (
        [Alu(op_add=21, cond_add=1, waddr_add=49, op_mul=4, cond_mul=1, waddr_mul=49)], "the same peripheral, or r5"),
    "VPM wait and setup": ([add("or", "vpm_setup", R0, R0, raddr_b=WAIT)], "two VPM accesses"),
    "conditional TMU": ([add("or", "tmu0_s", R0, R0, cond_add=2)], "conditional peripheral write"),
    "both ALUs": (
        [load("r1", 3), add("or", "r0", R1, R1, op_mul=4, cond_mul=1, waddr_mul=32, mul_a=R5, mul_b=R5)],
        "both ALUs write r0, and not the same"),
    "both ALUs in some lanes": (
        [add("or", "r1", A, A, raddr_a=ELEMENT, set_flags=1),
         add("or", "r0", R1, R1, cond_add=3, op_mul=4, cond_mul=1, waddr_mul=32, mul_a=R5, mul_b=R5)],
        "both ALUs write r0, and not the same"),
    "both ALUs and r5": ([Alu(op_add=21, cond_add=1, waddr_add=37, op_mul=4, cond_mul=1, waddr_mul=37)], "or r5"),
    "mul ALU without operation": ([Alu(cond_mul=1, waddr_mul=32)], "mul ALU writes without an operation"),
    "end writes a file": ([add("or", 3, R0, R0, signal=END_SIGNAL), NOP, NOP], "thread end: its instruction"),
    "end reads a uniform": ([Alu(signal=END_SIGNAL), Alu(raddr_a=UNIFORM), NOP], "thread end: uniform"),
    "end writes VPM": ([Alu(signal=END_SIGNAL), NOP, load_b("vpm_setup", 0)], "thread end: VPM"),
    "end reads r14": ([Alu(signal=END_SIGNAL), add("or", "r0", A, A, raddr_a=14), NOP], "thread end: register 14"),
    "VPM without setup": ([add("or", "r0", A, A, raddr_a=VPM)], "without a read setup"),
    "second VPM setup": (
        [load("vpm_setup", vpm_block_read(0, 3)), load("vpm_setup", vpm_block_read(0, 1))], "setup is ignored"),
    "VPM write without setup": ([add("or", "vpm", R0, R0)], "before a write setup"),
    "VPM write under a store": (
        [load_b("vpm_setup", vpm_block(2)), *STORE, add("or", "vpm", R0, R0)], "row 2 is written while"),
    "VPM read under a load": (
        [*LOAD, load("vpm_setup", vpm_block_read(1, 1)), add("or", "r0", A, A, raddr_a=VPM)], "row 1 is accessed"),
    "no TMU request": ([Alu(signal=SIGNALS["load_tmu1"])], "no request in flight"),
    "mutex of nobody": ([load("mutex_release", 0)], "does not hold it"),
    "mutex kept": ([Alu(raddr_a=MUTEX)], "still held at the end"),
    "texture": ([load("tmu0_t", 0)], "unsupported: write of a texture"),
    "signal": ([Alu(signal=SIGNALS["thread_switch"])], "unsupported signal"),
    "breakpoint": ([Alu(signal=0)], "unsupported signal"),
    "stray TMU read": ([add("or", "tmu0_s", A, A, raddr_a=ELEMENT)], "stray access: TMU read of 0x00000000"),
    "stray store": (
        [load("r3", 64), load_b("vpm_setup", store_setup(1, 16)), load_b("vpm_setup", 3 << 30),
         mul("v8min", "dma_address", R3, R3)], "stray access: DMA store"),
    "stray branch": ([Branch(condition=15, immediate=64), NOP, NOP, NOP], "instruction address 0x00000040"),
    "never ending": ([Branch(condition=15, relative=1, immediate=-32 & 0xFFFFFFFF), NOP, NOP, NOP], "time limit"),
    "NOP operand": ([add("or", "r0", A, A)], "operand from the NOP register"),
    "NOP operand and flags": (
        [Alu(raddr_a=MUTEX), add("or", "mutex_release", B, B, set_flags=1)], "operand from the NOP register"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rule(name: str) -> None:
    code, message = BROKEN[name]
    with pytest.raises(HazardError, match=message):
        run(code, uniforms=[-1, -1, -1])


def test_the_message_says_where() -> None:
    with pytest.raises(HazardError, match=r"QPU 0, instruction 3 at 0x\w+, cycle \d+; words .*>0x") as caught:
        run([NOP, NOP, load(3, 1), add("or", "r0", A, A, raddr_a=3)])
    assert len(str(caught.value).splitlines()[0]) < 400


@pytest.mark.parametrize(
    "code",
    [
        [load(3, 1), NOP, add("or", "r0", A, A, raddr_a=3)],
        [load("sfu_recip", 1), NOP, NOP, add("or", "r0", R4, R4)],
        [load("tmu_noswap", 1), NOP, NOP, add("or", "tmu0_s", A, A, raddr_a=UNIFORM), Alu(signal=10)],
        [SKIP, NOP, NOP, SKIP, NOP, NOP, NOP],
        [load("vpm_setup", vpm_block_read(0, 1)), load("vpm_setup", vpm_block_read(0, 1)),
         add("or", "r0", A, A, raddr_a=VPM), add("or", "r1", A, A, raddr_a=VPM)],
        [Alu(raddr_a=MUTEX), load("mutex_release", 0), load("host_interrupt", 1)],
        [add("or", "r0", A, A, raddr_a=BUSY), add("or", "r1", B, B, raddr_b=BUSY), add("or", "r0", R5, R5)],
    ],
)  # fmt: skip
def test_what_the_rules_allow(code: list[Instruction]) -> None:
    assert run(code, uniforms=[-1]).execution.stale_reads == 0


def test_a_lax_gpu_goes_on() -> None:
    done = run([load(3, 1), add("or", "r0", A, A, raddr_a=3), semaphore(0, up=True)], strict=False)
    assert done.execution.cycles > 0


def test_deadlock_names_who_waits_for_what() -> None:
    with pytest.raises(
        HazardError, match=r"deadlock: QPU 0 waits for semaphore 5 at instruction 1; QPU 1 waits"
    ):
        run([NOP, semaphore(5, up=False)], qpus=2)
    with pytest.raises(HazardError, match="room in semaphore 2"):
        run([semaphore(2, up=True)] * 16)


def test_running_off_the_allocation_is_a_stray_access() -> None:
    with VirtualV3D() as gpu:
        code, control = gpu.alloc(4096), gpu.alloc(4096)
        code.view.view(np.uint64)[:] = NOP.encode()
        control.view.view(np.uint32)[:2] = [control.bus, code.bus]
        with pytest.raises(HazardError, match="stray access: instruction address"):
            gpu.execute(1, control.bus)


def test_end_is_three_instructions() -> None:
    assert run([*END], end=False).execution.counters["instructions"] == 3
    assert run([add("or", "r0", R1, R1)]).execution.counters["instructions"] == 4
