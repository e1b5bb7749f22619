"""The Python side of the virtual GPU, synchronisation between QPUs, marks, and ending early."""

from __future__ import annotations

import _thread
import threading

import numpy as np
import pytest

from codegen.engines.videocore4.isa import BRANCH_CONDITIONS, CONDITIONS, Alu, Branch, Instruction
from microbench.errors import BoardError, CandidateError, HazardError, ProfileError
from microbench.profile import load_profile
from microbench.virtual import VirtualV3D
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    ELEMENT,
    MUTEX,
    NOP,
    R0,
    R1,
    R2,
    R3,
    UNIFORM,
    WAIT,
    A,
    B,
    add,
    load,
    load_b,
    mul,
    run,
    semaphore,
    small,
    store_setup,
    vpm_block,
)

PROFILE = load_profile("pi-zero")
SPIN: list[Instruction] = [
    load("r0", 1 << 30),
    add("sub", "r0", R0, B, set_flags=1, **small(1)),
    Branch(condition=BRANCH_CONDITIONS["any_zc"], relative=1, immediate=-8 * 5 & 0xFFFFFFFF),
    NOP,
    NOP,
    NOP,
]


def store_own_row() -> list[Instruction]:
    """Each QPU stores 16 lanes of its number to row `number` of the data, through VPM row `number`."""
    return [
        add("or", "r0", B, B, raddr_b=ELEMENT),
        load("r1", vpm_block(0)),
        add("or", "r1", R0, R1),
        mul("v8min", "vpm_setup", R1, R1),
        add("or", "vpm", R0, R0),
        add("shl", "r2", R0, B, **small(7)),
        load("r1", store_setup(1, 16)),
        add("or", "r1", R1, R2),
        mul("v8min", "vpm_setup", R1, R1),
        load_b("vpm_setup", 3 << 30),
        add("shl", "r2", R0, B, **small(6)),
        *ADDRESS_OF_DATA,
        add("add", "r3", R3, R2),
        mul("v8min", "dma_address", R3, R3),
        Alu(raddr_b=WAIT),
    ]


def test_twelve_qpus_store_without_a_mutex() -> None:
    done = run(store_own_row(), uniforms=[-1], qpus=12)
    assert done.data[: 12 * 16].reshape(12, 16)[:, 3].tolist() == list(range(12))
    assert done.execution.counters["dma_stall_cycles"] > 0


def test_the_mutex_lets_one_in_at_a_time() -> None:
    hold = [Alu(raddr_a=MUTEX), *[NOP] * 100, load("mutex_release", 0)]
    alone = run(hold).execution
    four = run(hold, qpus=4).execution
    assert four.cycles >= 4 * 101 * 4
    assert alone.counters["mutex_stall_cycles"] == 0 < four.counters["mutex_stall_cycles"]


def test_semaphores_hand_over_without_delay() -> None:
    """QPU 1 counts to 400 before raising; QPU 0 waits exactly for it."""
    first = [
        add("or", "nop", B, B, raddr_b=ELEMENT, set_flags=1),
        Branch(condition=BRANCH_CONDITIONS["all_zs"], relative=1, immediate=8 * 101),
        NOP, NOP, NOP,
        *[NOP] * 100, semaphore(1, up=True),
        add("or", "nop", B, B, raddr_b=ELEMENT, set_flags=1),
        Branch(condition=BRANCH_CONDITIONS["all_zc"], relative=1, immediate=0),
        NOP, NOP, NOP,
    ]  # fmt: skip
    assert [warned.rule for warned in run(first, qpus=2).execution.warnings] == ["semaphore_left"]
    execution = run([semaphore(1, up=True), semaphore(1, up=False)], qpus=2).execution
    assert execution.counters["semaphore_stall_cycles"] == 0


def test_marks_are_the_latest_passing_of_each_layer() -> None:
    code = [*[NOP] * 10, load("r1", 3), NOP, add("sub", "r1", R1, B, set_flags=1, **small(1)),
            Branch(condition=BRANCH_CONDITIONS["any_zc"], relative=1, immediate=-8 * 6 & 0xFFFFFFFF),
            NOP, NOP, NOP]  # fmt: skip
    execution = run(code, qpus=3, mark=11).execution
    times = execution.mark_times_s
    step = 6 * PROFILE.v3d_value("issue_cycles") / PROFILE.v3d_value("clock_hz")
    assert len(times) == 3
    assert times[2] - times[1] == pytest.approx(step)
    assert 0 < times[0] < times[2] < execution.time_s - execution.overhead_s


def test_time_is_cycles_and_the_overhead_of_a_launch() -> None:
    execution = run([NOP] * 100).execution
    clock_hz = PROFILE.v3d_value("clock_hz")
    assert execution.overhead_s == PROFILE.v3d_value("launch_overhead_s")
    assert execution.time_s == pytest.approx(execution.cycles / clock_hz + execution.overhead_s)
    assert execution.counters["instructions"] == 103


def test_runs_are_deterministic() -> None:
    first, second = (run(store_own_row(), uniforms=[-1], qpus=12).execution for _ in range(2))
    assert first == second


def test_host_interrupts_want_a_value_and_keep_their_condition() -> None:
    code = [
        load("host_interrupt", 0),
        load("host_interrupt", 1),
        load("nop", 1, set_flags=1),
        add("or", "host_interrupt", B, B, cond_add=CONDITIONS["zs"], **small(1)),
    ]
    assert run(code).execution.counters["host_interrupts"] == 1


def test_two_tmus_are_swapped_for_half_of_the_qpus() -> None:
    read = [add("or", "tmu0_s", A, A, raddr_a=UNIFORM), Alu(signal=10)]
    data = np.zeros(16, np.uint32)
    swapped = run(read, uniforms=[-1], data=data, qpus=4).execution
    together = run([load("tmu_noswap", 1), NOP, NOP, *read], uniforms=[-1], data=data, qpus=4).execution
    assert (swapped.counters["tmu_l1_misses"], together.counters["tmu_l1_misses"]) == (2, 1)


def test_allocations() -> None:
    with VirtualV3D(PROFILE) as gpu:
        first, second = gpu.alloc(100), gpu.alloc(5000, align=64)
        assert first.bus % 4096 == 0 and second.bus >= first.bus + 100 and first.bus != 0
        assert first.view.shape == (100,) and int(first.view[99]) == 0xFF
        gpu.free(first)
        assert gpu.alloc(50).bus == first.bus
        with pytest.raises(BoardError, match="no GPU memory is allocated"):
            gpu.free(type(first)(second.bus + 64, first.view))
        with pytest.raises(CandidateError, match="no room for"):
            gpu.alloc(PROFILE.gpu_memory_bytes + 1)
    with pytest.raises(BoardError, match="closed"):
        gpu.alloc(4)


def test_a_profile_must_have_every_constant() -> None:
    constants = {name: value for name, value in PROFILE.v3d.items() if name != "l2_bytes"}
    with pytest.raises(ProfileError, match="l2_bytes"):
        VirtualV3D(PROFILE.model_copy(update={"v3d": constants}))
    with pytest.raises(BoardError, match="refuses the constants"):
        VirtualV3D(PROFILE.with_v3d(l2_ways=0))


@pytest.mark.parametrize("factor", [0.75, 1.5])
def test_every_assumed_constant_can_be_varied(factor: float) -> None:
    code = [*store_own_row(), add("or", "tmu0_s", R3, R3), Alu(signal=10)]
    for name, constant in PROFILE.v3d.items():
        if not constant.certain:
            varied = PROFILE.with_v3d(**{name: constant.value * factor})
            with VirtualV3D(varied) as gpu:
                assert run(code, uniforms=[-1], qpus=12, gpu=gpu).execution.cycles > 0


def test_a_launch_wants_a_sound_number_of_qpus_and_control_list() -> None:
    with VirtualV3D(PROFILE) as gpu:
        memory = gpu.alloc(4096)
        with pytest.raises(CandidateError, match="at most those there are"):
            gpu.execute(13, memory.bus)
        with pytest.raises(HazardError, match="control list"):
            gpu.execute(2, memory.bus + 4092)
        with pytest.raises(HazardError, match="code address"):
            memory.view[:] = 0
            gpu.execute(1, memory.bus)


def test_ctrl_c_ends_a_launch() -> None:
    with VirtualV3D(PROFILE) as gpu:
        memory = gpu.alloc(4096)
        image = np.array([i.encode() for i in SPIN], np.uint64).view(np.uint32)
        words = memory.view.view(np.uint32)
        words[: len(image)] = image
        words[512:514] = [memory.bus + 2048, memory.bus]
        timer = threading.Timer(0.2, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            gpu.execute(1, memory.bus + 2048, timeout_s=1000.0)
        timer.join()
        with pytest.raises(HazardError, match="of this machine's time"):
            gpu.execute(1, memory.bus + 2048, timeout_s=1000.0, wall_limit_s=0.1)


def test_unused_operands_stay_out_of_it() -> None:
    """R2 and R3 are arbitrary at the start, as on silicon: nothing depends on them here."""
    assert (
        run([add("xor", "r2", R2, R2), add("xor", "r3", R3, R3), add("or", "r1", R1, R1)]).execution.cycles
        > 0
    )
