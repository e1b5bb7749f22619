"""Caches, DMA and uniforms of the virtual GPU: what they return, and how long that takes."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.engines.videocore4.isa import BRANCH_CONDITIONS, SIGNALS, Alu, Branch, Instruction
from microbench.errors import HazardError
from microbench.profile import load_profile
from microbench.virtual import Execution, VirtualV3D
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    DATA,
    ELEMENT,
    LOOP_INSTRUCTIONS,
    NOP,
    R0,
    R1,
    R2,
    R3,
    R4,
    UNIFORM,
    WAIT,
    A,
    B,
    add,
    load,
    load_b,
    load_setup,
    looped,
    mul,
    results,
    run,
    small,
    store_setup,
    store_vectors,
    vpm_block,
    vpm_block_read,
)

LANES = np.arange(16, dtype=np.uint32)
PROFILE = load_profile("pi-zero")
CLOCK_HZ = PROFILE.v3d_value("clock_hz")
LOOP_CYCLES = LOOP_INSTRUCTIONS * PROFILE.v3d_value("issue_cycles")
FETCH = Alu(signal=SIGNALS["load_tmu0"])
MOVE_R4 = add("or", "r1", R4, R4)


def lane_addresses(stride: int = 4) -> list[Instruction]:
    """r0 = data + lane * stride."""
    return [
        load("r1", stride),
        add("or", "r0", A, A, raddr_a=ELEMENT),
        mul("mul24", "r0", R0, R1),
        add("add", "r0", R0, A, raddr_a=UNIFORM),
    ]


def fetch_once() -> list[Instruction]:
    return [add("or", "tmu0_s", R0, R0), FETCH, MOVE_R4]


@pytest.mark.parametrize("stride", [4, 8, 64, 0, 260])
def test_tmu_reads_any_lane_addresses(stride: int) -> None:
    data = np.arange(2048, dtype=np.uint32) * 7
    code = [*lane_addresses(stride), *fetch_once()]
    got = results(code, [R1], uniforms=[-1], data=data)[0]
    assert got.tolist() == data[LANES * stride // 4].tolist()


def test_tmu_answers_in_order_and_at_most_four_wait() -> None:
    data = np.arange(256, dtype=np.uint32)
    step = add("add", "r0", R0, A, raddr_a=UNIFORM)
    request = add("or", "tmu0_s", R0, R0)
    code = [
        *lane_addresses(),
        request,
        step,
        request,
        FETCH,
        add("or", "r1", R4, R4),
        FETCH,
        add("or", "r2", R4, R4),
    ]
    first, second = results(code, [R1, R2], uniforms=[-1, 64], data=data)
    assert (first[0], second[0]) == (0, 16)
    with pytest.raises(HazardError, match="more than 4 requests"):
        run([*lane_addresses(), *[request] * 5], uniforms=[-1])


def stall(code: list[Instruction], uniforms: list[int]) -> float:
    return run(code, uniforms=uniforms, data=LANES).execution.counters["tmu_stall_cycles"]


def test_tmu_latencies_are_those_of_the_profile() -> None:
    hit = PROFILE.v3d_value("tmu_hit_latency_cycles")
    l2 = hit + PROFILE.v3d_value("l2_latency_cycles")
    sdram = l2 + round(PROFILE.v3d_value("sdram_latency_s") * CLOCK_HZ)
    cold = [*[NOP] * 4, *lane_addresses(0), *fetch_once()]  # both fetches in one line of instructions
    issue = PROFILE.v3d_value("issue_cycles")
    assert stall(cold, [-1]) == sdram - issue
    assert stall([*cold, *fetch_once()], [-1]) == sdram + hit - 2 * issue
    other_tmu = [add("or", "tmu1_s", R0, R0), Alu(signal=SIGNALS["load_tmu1"]), MOVE_R4]
    assert stall([*cold, *other_tmu], [-1]) == sdram + l2 - 2 * issue


def test_a_line_of_instructions_takes_what_a_tmu_s_line_does_and_the_profile_s_extra() -> None:
    """Two long programs: the second has one more line of instructions, from SDRAM."""
    value = PROFILE.v3d_value
    line = value("l2_latency_cycles") + round(value("sdram_latency_s") * CLOCK_HZ)
    waits = [run([NOP] * (8 * lines - 3)).execution.counters["icache_stall_cycles"] for lines in range(1, 5)]
    assert np.diff(waits).tolist() == [line + value("icache_extra_cycles")] * 3


def read_store_read(between: list[Instruction]) -> tuple[Execution, int]:
    """Reads word 0, stores 5 there by DMA, and reads it again; the second value is stored to word 64."""
    code = [
        *lane_addresses(),
        *fetch_once(),
        load("r1", 5),
        *store_vectors([R1], ADDRESS_OF_DATA),
        *between,
        *fetch_once(),
        *store_vectors([R1], [add("add", "r3", R3, A, raddr_a=UNIFORM)]),
    ]
    done = run(code, uniforms=[-1, -1, 256], data=LANES + 100)
    assert done.data[0] == 5
    return done.execution, int(done.data[64])


def test_tmu_read_of_a_cached_line_after_a_dma_store_is_stale() -> None:
    execution, value = read_store_read([])
    assert value == 100
    assert execution.stale_reads == 16
    assert execution.first_stale is not None
    assert execution.first_stale.bus % 0x20000 == DATA and execution.first_stale.qpu == 0


def test_a_line_never_read_before_is_fresh() -> None:
    code = [load("r1", 5), *store_vectors([R1], ADDRESS_OF_DATA), *lane_addresses(), *fetch_once()]
    assert results(code, [R1], uniforms=[-1, -1])[0].tolist() == [5] * 16


def test_uniforms_read_what_was_cached_before_a_store() -> None:
    to_data = [add("or", "r0", A, A, raddr_a=UNIFORM), add("or", "r3", R0, R0), load("r1", 7)]
    jump = [add("or", "uniforms_address", R0, R0), NOP, NOP]
    read = [add("or", "r2", A, A, raddr_a=UNIFORM)]
    store = store_vectors([R1], [NOP])
    stale = run([*to_data, *jump, *read, *store, *jump, *read], uniforms=[-1], data=LANES)
    fresh = run([*to_data, *store, *jump, *read], uniforms=[-1], data=LANES)
    assert stale.execution.stale_reads == 1
    assert fresh.execution.stale_reads == 0


def test_stores_reach_memory_when_they_end() -> None:
    """Without a wait, a read in another line's shadow still sees the old word."""
    store = store_vectors([R1], ADDRESS_OF_DATA)[:-1]
    code = [*lane_addresses(), load("r1", 5), *store, *fetch_once(), Alu(raddr_b=WAIT)]
    again = [add("add", "r3", R3, A, raddr_a=UNIFORM), *store_vectors([R1], [])]
    done = run([*code, *again], uniforms=[-1, -1, 256], data=LANES + 100)
    assert (int(done.data[0]), int(done.data[64])) == (5, 100)


def test_dma_loads_rows_and_columns() -> None:
    data = np.arange(512, dtype=np.uint32)

    def loaded(setup: int, read: int) -> list[int]:
        code = [
            load("vpm_setup", setup),
            load("vpm_setup", 9 << 28 | 128),
            add("or", "dma_address", A, A, raddr_a=UNIFORM),
            Alu(raddr_a=WAIT),
            load("vpm_setup", read),
            add("or", "r1", A, A, raddr_a=48),
        ]
        return list(results(code, [R1], uniforms=[-1], data=data)[0].tolist())

    assert loaded(load_setup(16, 16), vpm_block_read(1, 1)) == data[32 : 32 + 16].tolist()
    down = load_setup(4, 16, x=3, vertical=True, vpitch=16)
    third = vpm_block_read(2 << 4 | 3, 1, horizontal=False)  # the column's words 32 to 47
    assert loaded(down, third) == data[64 : 64 + 16].tolist()


@pytest.mark.parametrize("stride", [0, 64, 60000])
def test_dma_stores_with_a_wide_stride(stride: int) -> None:
    code = [
        add("or", "r0", A, A, raddr_a=ELEMENT),
        load_b("vpm_setup", vpm_block(0)),
        add("or", "vpm", R0, R0),
        add("add", "vpm", R0, B, **small(15)),
        load_b("vpm_setup", store_setup(2, 4, x=3)),
        load_b("vpm_setup", 3 << 30 | stride),
        *ADDRESS_OF_DATA,
        mul("v8min", "dma_address", R3, R3),
        Alu(raddr_b=WAIT),
    ]
    done = run(code, uniforms=[-1], data=np.zeros(8, np.uint32))
    second = (16 + stride) // 4
    assert done.data[:4].tolist() == [3, 4, 5, 6]
    assert done.data[second : second + 4].tolist() == [18, 19, 20, 21]


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("laned", [0, 1])
@pytest.mark.parametrize("horizontal", [True, False])
def test_narrow_vpm_vectors_come_back(size: int, laned: int, horizontal: bool) -> None:
    fields = {"size": size, "laned": laned, "horizontal": horizontal}
    code = [
        add("or", "r0", A, A, raddr_a=ELEMENT),
        load_b("vpm_setup", vpm_block(1, **fields)),  # type: ignore[arg-type]
        add("or", "vpm", R0, R0),
        add("add", "vpm", R0, B, **small(15)),
        load("vpm_setup", vpm_block_read(1, 2, **fields)),
        add("or", "r1", A, A, raddr_a=48),
        add("or", "r2", A, A, raddr_a=48),
    ]
    first, second = results(code, [R1, R2])
    assert first.tolist() == LANES.tolist()
    assert second.tolist() == (LANES + 15).tolist()


def packed_byte_layout() -> np.ndarray:
    code = [
        add("or", "r0", A, A, raddr_a=ELEMENT),
        load_b("vpm_setup", vpm_block(2, size=0)),  # byte vector 2 of row 0: columns 8 to 11
        add("or", "vpm", R0, R0),
        load("vpm_setup", vpm_block_read(0, 1)),
        add("or", "r1", A, A, raddr_a=48),
    ]
    return results(code, [R1])[0]


def test_packed_bytes_lie_four_to_a_word() -> None:
    row = packed_byte_layout()
    assert [int(word) for word in row[8:12]] == [0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C]


@pytest.mark.parametrize(
    ("rows", "megabytes_per_s", "tolerance"), [(1, 300, 0.1), (4, 670, 0.05), (16, 970, 0.05)]
)
def test_dma_store_rate_is_the_published_one(rows: int, megabytes_per_s: float, tolerance: float) -> None:
    setup = [load_b("vpm_setup", store_setup(rows, 16)), load_b("vpm_setup", 3 << 30), *ADDRESS_OF_DATA]
    once = [mul("v8min", "dma_address", R3, R3), Alu(raddr_b=WAIT)]
    cycles = [run([*setup, *looped(once * 8, n)], uniforms=[-1]).execution.cycles for n in (1, 3)]
    rate = 16 * rows * 64 / ((cycles[1] - cycles[0] - 2 * LOOP_CYCLES) / CLOCK_HZ) / 1e6
    assert rate == pytest.approx(megabytes_per_s, rel=tolerance)


@pytest.mark.parametrize(("rows", "megabytes_per_s"), [(1, 200), (16, 690)])
def test_dma_load_rate_is_the_published_one(rows: int, megabytes_per_s: float) -> None:
    setup = [load("vpm_setup", load_setup(rows, 16)), load("vpm_setup", 9 << 28 | 64), *ADDRESS_OF_DATA]
    once = [add("or", "dma_address", R3, R3), Alu(raddr_a=WAIT)]
    cycles = [run([*setup, *looped(once * 8, n)], uniforms=[-1]).execution.cycles for n in (1, 3)]
    rate = 16 * rows * 64 / ((cycles[1] - cycles[0] - 2 * LOOP_CYCLES) / CLOCK_HZ) / 1e6
    assert rate == pytest.approx(megabytes_per_s, rel=0.05)


READ = add("or", "nop", A, A, raddr_a=UNIFORM)


REWRITE = add("or", "uniforms_address", R3, R3)


def uniform_rate(burst: int, pause: int) -> float:
    """Share of issue slots that bursts of reads with pauses between them fill, the start-up's expense removed.

    Each burst reads the same words, which the cache holds; the address is written in the pause.
    """
    instructions = burst + pause + 1
    fields = {"set_flags": 1, **small(1)}
    count = add("sub", "r0", R0, B, **fields)
    back = Branch(condition=BRANCH_CONDITIONS["any_zc"], relative=1, immediate=-8 * instructions & 0xFFFFFFFF)
    loop = [count, REWRITE, *[NOP] * (pause - 2), *[READ] * (burst - 3), back, *[READ] * 3]
    cycles = [
        run([*ADDRESS_OF_DATA, load("r0", repeats), *loop], uniforms=[-1]).execution.cycles
        for repeats in (4, 12)
    ]
    return 4 * 8 * instructions / (cycles[1] - cycles[0])


def test_uniform_bursts_run_at_full_rate_with_seven_instructions_between() -> None:
    for burst in (16, 32, 64):
        assert uniform_rate(burst, 8) == pytest.approx(1.0, abs=0.03)


def test_uniform_bursts_without_pause_run_at_about_0_6() -> None:
    assert uniform_rate(64, 4) == pytest.approx(0.6, rel=0.15)


def fed_by_uniforms(lines: int, between: int, times: int, **constants: float) -> int:
    """Cycles of a program that reads so many lines of words, so often over, with instructions between the reads."""
    one = [READ, *[NOP] * between]
    body = [REWRITE, NOP, NOP, *one * 8]
    count = [load("r1", 2 * lines), *body]
    inner = add("sub", "r1", R1, B, set_flags=1, **small(1))
    back = -8 * (8 * len(one) + 5) & 0xFFFFFFFF
    loop = Branch(condition=BRANCH_CONDITIONS["any_zc"], relative=1, immediate=back)
    with VirtualV3D(PROFILE.with_v3d(**constants)) as gpu:
        code = [*ADDRESS_OF_DATA, *looped([*count, inner, loop, NOP, NOP, NOP], times)]
        return run(code, uniforms=[-1], gpu=gpu).execution.cycles


@pytest.mark.parametrize("between", [1, 3, 20])
@pytest.mark.parametrize("extra", [0, 77])
def test_a_line_of_uniforms_that_misses_takes_memory_s_time_from_the_prefetch_on(
    between: int, extra: int
) -> None:
    value = PROFILE.v3d_value
    memory = value("l2_latency_cycles") + round(value("sdram_latency_s") * CLOCK_HZ) + extra
    few, many = (
        fed_by_uniforms(lines, between, 1, uniform_sdram_extra_s=extra / CLOCK_HZ) for lines in (8, 40)
    )
    read = value("issue_cycles") * (1 + between)
    turn = value("issue_cycles") * LOOP_INSTRUCTIONS  # after every eighth word
    words, prefetched = 16, int(value("uniform_fifo_words"))
    fetched_at = (words - prefetched - 1) * read + turn
    line = max(words * read + 2 * turn, fetched_at + memory)
    assert (many - few) / 32 == pytest.approx(line, abs=1)


def test_lines_of_uniforms_from_l2_and_from_sdram_have_extra_times_of_their_own() -> None:
    lines = 64  # more than the slice's cache holds, less than L2
    base, l2, sdram = (
        fed_by_uniforms(lines, 0, 3, uniform_l2_extra_cycles=l2, uniform_sdram_extra_s=sdram / CLOCK_HZ)
        for l2, sdram in ((0, 60), (60, 60), (0, 160))
    )
    assert sdram - base == pytest.approx(100 * lines, rel=0.05)
    assert l2 - base > 30 * 2 * lines


@pytest.mark.parametrize("clock_hz", [250e6, 400e6, 1000e6])
def test_twelve_qpus_share_the_way_to_memory(clock_hz: float) -> None:
    """Each reads its own 64 lines once: below the V3D's own rate, and at a high clock below the SDRAM's."""
    profile = PROFILE.with_v3d(clock_hz=clock_hz)
    code: list[Instruction] = [
        load("r1", 4096), mul("mul24", "r1", B, R1, raddr_b=ELEMENT), *lane_addresses(),
        load("r1", 4096), mul("mul24", "r2", B, R1, raddr_b=ELEMENT), add("add", "r0", R0, R2),
        load("r2", 64), load("r3", 16),
    ]  # fmt: skip
    loop = [
        *[i for _ in range(4) for i in (add("or", "tmu0_s", R0, R0), add("add", "r0", R0, R2))],
        *[FETCH] * 4,
        add("sub", "r3", R3, B, set_flags=1, **small(1)),
        Branch(condition=BRANCH_CONDITIONS["any_zc"], relative=1, immediate=-8 * 17 & 0xFFFFFFFF), NOP, NOP, NOP,
    ]  # fmt: skip
    with VirtualV3D(profile) as gpu:
        data = np.zeros(12 * 1024, np.uint32)
        execution = run([*code, *loop], uniforms=[-1], data=data, qpus=12, gpu=gpu).execution
    rate = execution.counters["tmu_sdram_bytes"] / (execution.cycles / clock_hz)
    limit = profile.memory_bytes_per_s
    assert limit == pytest.approx(min(5.2 * clock_hz, 2.2e9))
    assert execution.counters["tmu_sdram_bytes"] == 12 * 64 * 64
    assert 0.75 * limit < rate < limit


def test_caches_are_kept_by_a_launch_that_asks_for_it() -> None:
    code = [
        *lane_addresses(),
        *fetch_once(),
        *store_vectors([R1], [add("add", "r3", R0, A, raddr_a=UNIFORM)]),
    ]
    with VirtualV3D(PROFILE) as gpu:
        done = run(code, uniforms=[-1, 256], data=LANES, gpu=gpu)
        assert done.data[64:80].tolist() == LANES.tolist()
        memory = gpu.alloc(4096)
        image = np.array([Alu(signal=SIGNALS["thread_end"]).encode(), NOP.encode(), NOP.encode()], np.uint64)
        memory.view[: image.nbytes] = image.view(np.uint8)
        memory.view.view(np.uint32)[64:66] = [memory.bus + 512, memory.bus]
        cold = gpu.execute(1, memory.bus + 256)
        warm = gpu.execute(1, memory.bus + 256, noflush=1)
    assert warm.cycles < cold.cycles
    assert warm.counters["icache_misses"] == 0
