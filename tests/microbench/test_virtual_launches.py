"""What holds between launches, what a GPU that is not strict tolerates, and how a stopped launch is reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from codegen.engines.videocore4.isa import BRANCH_CONDITIONS, Alu, Branch, Instruction
from microbench.errors import HazardError
from microbench.profile import known_profiles, load_profile
from microbench.virtual import Allocation, Execution, StaleRead, VirtualV3D
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    CONTROL,
    DATA,
    END,
    MUTEX,
    NOP,
    R0,
    R1,
    R4,
    UNIFORM,
    UNIFORMS,
    A,
    B,
    add,
    load,
    mul,
    run,
    semaphore,
    small,
    store_vectors,
)

CODE_BYTES = 4096


def place(gpu: VirtualV3D, code: Sequence[Instruction]) -> Allocation:
    memory = gpu.alloc(CODE_BYTES)
    image = np.array([i.encode() for i in code], np.uint64)
    memory.view[: image.nbytes] = image.view(np.uint8)
    return memory


def launch(gpu: VirtualV3D, codes: Sequence[int], **options: Any) -> Execution:
    """One QPU for each code address; uniforms are words of 0."""
    memory = gpu.alloc(CODE_BYTES)
    words = memory.view.view(np.uint32)
    words[:] = 0
    for qpu, code in enumerate(codes):
        words[2 * qpu : 2 * qpu + 2] = [memory.bus + 2048, code]
    return gpu.execute(len(codes), memory.bus, **options)


def test_semaphores_keep_their_values_between_launches() -> None:
    with VirtualV3D(strict=False) as gpu:
        up, down = place(gpu, [semaphore(3, up=True), *END]), place(gpu, [semaphore(3, up=False), *END])
        launch(gpu, [up.bus])
        launch(gpu, [up.bus])
        for _ in range(2):
            assert launch(gpu, [down.bus]).counters["semaphore_stall_cycles"] == 0
        with pytest.raises(HazardError, match="deadlock"):
            launch(gpu, [down.bus])


def test_a_launch_that_leaves_a_semaphore_up_is_warned_of_once() -> None:
    """py-videocore's test of semaphores leaves one."""
    with VirtualV3D() as gpu:
        up = place(gpu, [NOP, semaphore(3, up=True), semaphore(4, up=True), semaphore(4, up=False), *END])
        (warned,) = launch(gpu, [up.bus]).warnings
        assert (warned.rule, warned.count, warned.qpu, warned.instruction) == ("semaphore_left", 1, 0, 1)
        assert launch(gpu, [place(gpu, [NOP, *END]).bus]).warnings == ()
        assert launch(gpu, [place(gpu, [semaphore(3, up=False), *END]).bus]).warnings == ()


def test_a_launch_that_was_stopped_leaves_semaphores_at_zero() -> None:
    with VirtualV3D(strict=False) as gpu:
        stopped = place(gpu, [semaphore(3, up=True), semaphore(4, up=False), *END])
        down = place(gpu, [semaphore(3, up=False), *END])
        with pytest.raises(HazardError, match="deadlock"):
            launch(gpu, [stopped.bus])
        with pytest.raises(HazardError, match="waits for semaphore 3"):
            launch(gpu, [down.bus])


def test_qpus_may_run_programs_from_different_allocations() -> None:
    with VirtualV3D() as gpu:
        first = place(gpu, [semaphore(1, up=False), semaphore(2, up=True), *END])
        second = place(gpu, [semaphore(1, up=True), semaphore(2, up=False), *END])
        execution = launch(gpu, [first.bus, second.bus], noflush=0)
        assert execution.counters["instructions"] == 10
        with pytest.raises(HazardError, match="code address 0x00000040 of QPU 1"):
            launch(gpu, [first.bus, 64])


TOLERATED: dict[str, list[Instruction]] = {
    "file": [load(3, 1), add("or", "r0", A, A, raddr_a=3)],
    "own rule": [
        add("or", "vpm_setup", B, B, **small(0), op_mul=4, cond_mul=1, waddr_mul=49, mul_a=B, mul_b=B)
    ],
    "two results": [
        load("r0", 1),
        add("or", "r0", R0, R0, op_mul=4, cond_mul=1, waddr_mul=32, mul_a=R1, mul_b=R1),
    ],
    "mutex of nobody": [load("mutex_release", 0)],
    "end": [Alu(signal=3), Alu(raddr_a=UNIFORM), NOP],
    "kept": [Alu(raddr_a=MUTEX)],
}


@pytest.mark.parametrize("name", TOLERATED)
def test_a_gpu_that_is_not_strict_counts_what_it_lets_pass(name: str) -> None:
    code = TOLERATED[name]
    assert run(code, uniforms=[0], strict=False).execution.counters["tolerated_hazards"] == 1
    with pytest.raises(HazardError):
        run(code, uniforms=[0])
    assert run([NOP], strict=False).execution.counters["tolerated_hazards"] == 0


def test_stale_reads_are_listed_with_address_qpu_and_instruction() -> None:
    addresses = [
        load("r1", 4),
        add("or", "r0", A, A, raddr_a=38),
        mul("mul24", "r0", R0, R1),
        add("add", "r0", R0, A, raddr_a=UNIFORM),
    ]
    fetch = [add("or", "tmu0_s", R0, R0), Alu(signal=10), add("or", "r1", R4, R4)]
    code = [*addresses, *fetch, load("r1", 5), *store_vectors([R1], ADDRESS_OF_DATA), *fetch]
    execution = run(code, uniforms=[-1, -1], data=np.arange(16, dtype=np.uint32)).execution
    at = len(code) - len(fetch)
    reads = execution.stale_reads
    assert reads == 16 and len(reads) == 16 and execution.first_stale == reads[0]
    assert [read.bus - reads[0].bus for read in reads] == [4 * lane for lane in range(16)]
    assert {(read.qpu, read.instruction) for read in reads} == {(0, at)}
    assert isinstance(reads[0], StaleRead) and reads[0].bus % 0x20000 == DATA


def test_the_list_of_stale_reads_is_bounded() -> None:
    addresses = [load("r1", 0), add("add", "r0", R1, A, raddr_a=UNIFORM)]
    fetch = [add("or", "tmu0_s", R0, R0), Alu(signal=10)]
    code = [*addresses, *fetch, load("r1", 5), *store_vectors([R1], ADDRESS_OF_DATA), *fetch * 20]
    execution = run(code, uniforms=[-1, -1], data=np.zeros(16, np.uint32)).execution
    assert execution.stale_reads == 20 * 16
    assert len(execution.stale_reads) == 64


def test_the_message_shows_the_instructions_around() -> None:
    with pytest.raises(HazardError) as caught:
        run([NOP, NOP, load(3, 1), add("or", "r0", A, A, raddr_a=3)])
    first, place_of, *lines = str(caught.value).splitlines()
    assert "QPU 0, instruction 3 at" in first and place_of == "QPU 0:"
    marked = [line for line in lines if line.startswith(">")]
    assert len(lines) == 7 and len(marked) == 1
    assert marked[0].split()[1] == "3" and "ra3" in marked[0]


def test_a_deadlock_shows_where_every_waiting_qpu_is() -> None:
    """QPU 0 and QPU 1 wait at different instructions: both are shown."""
    first = [
        add("or", "nop", B, B, raddr_b=38, set_flags=1),
        Branch(condition=BRANCH_CONDITIONS["all_zs"], relative=1, immediate=8 * 2), NOP, NOP, NOP,
        semaphore(5, up=False), NOP, semaphore(6, up=False),
    ]  # fmt: skip
    with pytest.raises(HazardError) as caught:
        run(first, qpus=2)
    lines = str(caught.value).splitlines()
    assert [line for line in lines if line.startswith("QPU")] == ["QPU 0:", "QPU 1:"]
    assert [line.split()[1] for line in lines if line.startswith(">")] == ["7", "5"]


def test_code_before_a_program_s_start_has_negative_numbers() -> None:
    with VirtualV3D() as gpu:
        memory = gpu.alloc(0x20000)
        back = Branch(condition=15, relative=1, immediate=-8 * 7 & 0xFFFFFFFF)
        image = np.array(
            [i.encode() for i in (NOP, semaphore(5, up=False), NOP, NOP, back, NOP, NOP, NOP)], np.uint64
        )
        memory.view[: image.nbytes] = image.view(np.uint8)
        words = memory.view.view(np.uint32)
        words[CONTROL // 4 : CONTROL // 4 + 2] = [memory.bus + UNIFORMS, memory.bus + 8 * 4]
        with pytest.raises(HazardError, match=r"waits for semaphore 5 at instruction -3;") as caught:
            gpu.execute(1, memory.bus + CONTROL)
        assert any(line.startswith(">    -3") for line in str(caught.value).splitlines())


def test_four_requests_a_tmu_are_the_most_even_where_silicon_s_rules_are_not_enforced() -> None:
    request = add("or", "tmu0_s", A, A, raddr_a=UNIFORM)
    with pytest.raises(HazardError, match="more than 4 requests of one QPU in flight on TMU0"):
        run([request] * 5, uniforms=[-1] * 5, strict=False)


def test_profiles_of_the_boards_differ_where_the_boards_do() -> None:
    names = {"pi-zero", "pi-1", "pi-2", "pi-3"}
    assert names <= set(known_profiles())
    profiles = {name: load_profile(name) for name in names}
    clocks = {name: profile.v3d_value("clock_hz") for name, profile in profiles.items()}
    assert clocks == {"pi-zero": 250e6, "pi-1": 250e6, "pi-2": 250e6, "pi-3": 300e6}
    assert {name: profile.cores for name, profile in profiles.items()} == {
        "pi-zero": 1, "pi-1": 1, "pi-2": 4, "pi-3": 4
    }  # fmt: skip
    times = {}
    for name, profile in profiles.items():
        assert all(constant.unit and constant.source for constant in profile.v3d.values())
        with VirtualV3D(name) as gpu:
            times[name] = run([NOP] * 100 + [add("or", "r0", B, B, **small(1))], gpu=gpu).execution
    assert len({profile.hash for profile in profiles.values()}) == len(names)
    assert times["pi-3"].time_s < times["pi-2"].time_s == times["pi-1"].time_s
