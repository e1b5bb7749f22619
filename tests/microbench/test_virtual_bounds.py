"""What binds a program: resources at work, and waits by their causes."""

from __future__ import annotations

import pytest

from microbench.profile import load_profile
from microbench.virtual import VirtualV3D
from microbench.virtual.bounds import CALLED, IMBALANCE, ISSUE, SDRAM, bound_of, memory_bytes
from microbench.virtual.counters import IDLE
from microbench.virtual.program import QpuLaunch, QpuProgram, run_program
from tests.microbench.qpu_programs import END, NOP

PROFILE = load_profile("pi-zero")
CYCLES = 1e6
WAITS = {f"{cause}_stall_cycles": name for cause, name in CALLED.items() if cause not in (ISSUE, IDLE)}
NOTHING = {
    "cycles": CYCLES,
    "instructions": 0.0,
    "add_operations": 0.0,
    "mul_operations": 0.0,
    "tmu_requests": 0.0,
    **dict.fromkeys(WAITS, 0.0),
    **{f"{cause}_sdram_bytes": 0.0 for cause in ("tmu", "uniform", "icache")},
    **{f"dma_{kind}{of}": 0.0 for kind in ("load", "store") for of in ("s", "_rows", "_bytes")},
}


def bound(**counters: float) -> str:
    found = bound_of({**NOTHING, **counters}, PROFILE)
    assert found is not None
    assert sum(found.shares.values()) == pytest.approx(1.0)
    return found.name


@pytest.mark.parametrize(("counter", "name"), WAITS.items())
def test_what_most_time_went_to_binds(counter: str, name: str) -> None:
    rest = 12 * CYCLES - 7 * CYCLES - 4 * 0.5e6
    others = {"semaphore_stall_cycles": rest} if counter != "semaphore_stall_cycles" else {}
    assert bound(instructions=0.5e6, **{counter: 7 * CYCLES}, **others) == name


def test_a_saturated_resource_binds_whoever_waits_and_for_what() -> None:
    waiting = {"tmu_stall_cycles": 11 * CYCLES}
    assert bound(**waiting, tmu_sdram_bytes=4.0 * CYCLES) == "TMU"
    assert bound(**waiting, tmu_sdram_bytes=2.6 * CYCLES, dma_store_bytes=2.0 * CYCLES) == SDRAM
    assert bound(**waiting, dma_stores=5000.0, dma_store_rows=1e5) == "DMA"
    assert bound(instructions=2.6e6, uniform_sdram_bytes=4.3 * CYCLES) == ISSUE


def test_qpus_that_have_ended_are_out_of_balance() -> None:
    assert bound(instructions=0.25e6 * 5) == IMBALANCE


def test_bytes_are_those_of_all_engines() -> None:
    counters = {**NOTHING, "tmu_sdram_bytes": 1.0, "uniform_sdram_bytes": 2.0, "icache_sdram_bytes": 4.0}
    assert memory_bytes({**counters, "dma_load_bytes": 8.0, "dma_store_bytes": 16.0}) == 31


def test_counters_of_a_cpu_tell_nothing() -> None:
    assert bound_of({}, PROFILE) is None


def test_a_program_that_only_issues_is_bound_by_that() -> None:
    code = tuple(i.encode() for i in (*[NOP] * 4000, *END))
    with VirtualV3D(PROFILE) as gpu:
        program = QpuProgram({}, (QpuLaunch.alike(code, (), qpus=12),))
        (execution,) = run_program(gpu, program).executions
    found = bound_of(execution.counters, PROFILE)
    assert found is not None
    assert found.shares[ISSUE] == pytest.approx(4 * 4003 / execution.cycles, rel=1e-3)
