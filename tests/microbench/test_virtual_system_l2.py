"""The system's L2 of BCM2835: memory cached in it, and memory past it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from codegen.engines.videocore4.isa import BRANCH_CONDITIONS, SIGNALS, Alu, Branch, Instruction
from codegen.target import GPU_MEMORIES, GpuMemory
from microbench.errors import ProfileError
from microbench.profile import known_profiles, load_profile
from microbench.registry import open_board
from microbench.suite.gpu import BoardShape
from microbench.suite.runner import measure
from microbench.suite.suite import suite
from microbench.virtual import VirtualV3D
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    ELEMENT,
    LOOP_INSTRUCTIONS,
    NOP,
    R0,
    R1,
    R2,
    R3,
    R4,
    WAIT,
    A,
    B,
    add,
    load,
    load_b,
    looped,
    mul,
    run,
    small,
    store_setup,
    store_vectors,
)

PROFILE = load_profile("pi-zero")
LINE, QPUS = 64, 12
FETCH = Alu(signal=SIGNALS["load_tmu0"])


def again(gpu_memory: GpuMemory) -> float:
    """Bytes a cycle that TMU reads of all QPUs move when they go once more over lines that V3D's L2 does not hold."""
    lines = 48 * 1024 // LINE // QPUS
    per_qpu = lines * LINE
    start: list[Instruction] = [
        *ADDRESS_OF_DATA,
        load("r1", per_qpu), mul("mul24", "r1", B, R1, raddr_b=ELEMENT), add("add", "r3", R3, R1),
        add("or", "r0", A, A, raddr_a=ELEMENT), add("shl", "r0", R0, B, **small(2)), add("add", "r3", R3, R0),
        load("r2", LINE),
    ]  # fmt: skip
    pass_once: list[Instruction] = [
        add("or", "r0", R3, R3), load("r1", lines // 4),
        *[i for _ in range(4) for i in (add("or", "tmu0_s", R0, R0), add("add", "r0", R0, R2))],
        *[FETCH] * 4,
        add("sub", "r1", R1, B, set_flags=1, **small(1)),
        Branch(condition=BRANCH_CONDITIONS["any_zc"], relative=1, immediate=-8 * 17 & 0xFFFFFFFF), NOP, NOP, NOP,
    ]  # fmt: skip
    times = []
    with VirtualV3D(PROFILE.with_gpu_memory(gpu_memory)) as gpu:
        for passes in (1, 2):
            code = [*start, *pass_once * passes]
            times.append(run(code, uniforms=[-1], qpus=QPUS, gpu=gpu).execution.cycles)
    return lines * LINE * QPUS / (times[1] - times[0])


def streamed_bytes_per_cycle(gpu_memory: GpuMemory) -> float:
    """That TMU reads of all QPUs move from lines that nobody read before."""
    profile = PROFILE.with_gpu_memory(gpu_memory)
    (stream,) = (
        b for b in suite(BoardShape.of(profile), 4) if b.name == "tmu.stream.stride=64.depth=4.qpus=12"
    )
    with VirtualV3D(profile) as gpu:
        seconds = measure(gpu, (stream,))[stream.name]
    return stream.units / (seconds * profile.v3d_value("clock_hz"))


def stored_bytes_per_cycle(gpu_memory: GpuMemory) -> float:
    """That DMA stores of one block move, over and over, where the engine itself takes no time."""
    profile = PROFILE.with_gpu_memory(gpu_memory).with_v3d(vdw_setup_s=0, vdw_byte_cycles=0, vdw_row_cycles=0)
    setup = [load_b("vpm_setup", store_setup(64, 16)), load_b("vpm_setup", 3 << 30), *ADDRESS_OF_DATA]
    once: Sequence[Instruction] = (mul("v8min", "dma_address", R3, R3), Alu(raddr_b=WAIT))
    with VirtualV3D(profile) as gpu:
        cycles = [run([*setup, *looped(once, n)], uniforms=[-1], gpu=gpu).execution.cycles for n in (4, 12)]
    loop = (LOOP_INSTRUCTIONS + 1) * profile.v3d_value("issue_cycles")
    return 64 * 64 / ((cycles[1] - cycles[0]) / 8 - loop)


HELD, NOT_HELD = "system_l2_bytes_per_cycle", "cached_memory_bytes_per_cycle"


@pytest.mark.parametrize(
    ("moved", "cached"), [(again, HELD), (stored_bytes_per_cycle, HELD), (streamed_bytes_per_cycle, NOT_HELD)]
)
def test_what_the_system_s_l2_holds_moves_faster_and_what_it_does_not_hold_slower(
    moved: Callable[[GpuMemory], float], cached: str
) -> None:
    value = PROFILE.v3d_value
    assert value(NOT_HELD) < value("memory_bytes_per_cycle") < value(HELD)
    assert moved("direct") == pytest.approx(value("memory_bytes_per_cycle"), rel=0.1)
    assert moved("cached") == pytest.approx(value(cached), rel=0.1)


def test_both_ways_give_the_same_data_and_neither_gives_fresh_data_for_stale() -> None:
    """A store passes V3D's own caches however memory is allocated."""
    read = [add("or", "tmu0_s", R0, R0), FETCH, add("or", "r1", R4, R4)]
    code = [*ADDRESS_OF_DATA, add("or", "r0", R3, R3), *read, load("r1", 5), *store_vectors([R1], []), *read]
    results = []
    for gpu_memory in GPU_MEMORIES:
        with VirtualV3D(PROFILE.with_gpu_memory(gpu_memory)) as gpu:
            done = run(code, uniforms=[-1], data=np.arange(16, dtype=np.uint32), gpu=gpu)
        results.append((done.data[:16].tolist(), int(done.execution.stale_reads)))
    assert results[0] == results[1] == ([5] * 16, 16)


@pytest.mark.parametrize("name", [name for name in known_profiles() if load_profile(name).v3d])
def test_only_boards_whose_system_has_an_l2_offer_a_choice(name: str) -> None:
    profile = load_profile(name)
    both = name in ("pi-1", "pi-zero")
    assert profile.gpu_memory == "direct"
    assert profile.gpu_memories == (("direct", "cached") if both else ("direct",))
    assert profile.with_gpu_memory("direct").gpu_memory == "direct"
    if both:
        assert profile.with_gpu_memory("cached").gpu_memory == "cached"
    else:
        with pytest.raises(ProfileError, match="cannot be cached"):
            profile.with_gpu_memory("cached")


def test_a_device_without_a_gpu_has_no_gpu_memory() -> None:
    host = load_profile("host")
    assert host.gpu_memory is None and host.gpu_memories == ()
    with pytest.raises(ProfileError, match="it has none"):
        host.with_gpu_memory("direct")


def test_samples_of_both_ways_are_kept_apart() -> None:
    prints = set()
    for gpu_memory in GPU_MEMORIES:
        with open_board("pi-zero", gpu_memory=gpu_memory) as board:
            prints.add(board.fingerprint().hash)
    assert len(prints) == 2
