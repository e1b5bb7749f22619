"""Who is served when several QPUs wait: DMA engines and mutex go to whoever asked first, or as a variant says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from codegen.engines.videocore4.isa import Alu, Instruction
from microbench.profile import load_profile
from microbench.virtual import VirtualV3D
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    MUTEX,
    R0,
    R1,
    R2,
    R3,
    WAIT,
    B,
    add,
    load,
    load_b,
    load_setup,
    looped,
    mul,
    run,
    store_setup,
)

QPUS = 6
LINE = 64
QPU_NUMBER = 38
FIRST_COME, LOWEST = 0, 1

# r2 = this QPU's number, r3 = its own line of the data
PROLOGUE: tuple[Instruction, ...] = (
    *ADDRESS_OF_DATA,
    load_b("vpm_setup", store_setup(16, 16)),
    load_b("vpm_setup", 3 << 30),
    load("vpm_setup", load_setup(16, 16)),
    load("vpm_setup", 9 << 28 | LINE),
    add("or", "r2", B, B, raddr_b=QPU_NUMBER),
    load("r1", LINE),
    mul("mul24", "r1", R1, R2),
    add("add", "r3", R3, R1),
)
STORE: tuple[Instruction, ...] = (mul("v8min", "dma_address", R3, R3), Alu(raddr_b=WAIT))
LOAD: tuple[Instruction, ...] = (add("or", "dma_address", R3, R3), Alu(raddr_a=WAIT))
LOCK: tuple[Instruction, ...] = (Alu(raddr_a=MUTEX),)
UNLOCK: tuple[Instruction, ...] = (load("mutex_release", 0),)


def late_are_the_low() -> list[Instruction]:
    """QPU i goes round an empty loop 2 (QPUS - i) times, far less than a transfer takes."""
    count = [load("r0", QPUS), add("sub", "r0", R0, R2), add("add", "r0", R0, R0)]
    return [*count, *looped([], 1)[1:]]


def order(code: Sequence[Instruction], engine: str, lowest_first: int, qpus: int = QPUS) -> list[int]:
    """Numbers of the QPUs whose transfers the engine did, one after the other."""
    profile = load_profile("pi-zero").with_v3d(lowest_qpu_first=lowest_first)
    with VirtualV3D(profile) as gpu:
        done = run([*PROLOGUE, *code], uniforms=[-1], qpus=qpus, gpu=gpu, trace_intervals=4096)
    assert done.execution.trace is not None
    busy = sorted(
        (interval.start, interval.bus)
        for interval in done.execution.trace.intervals
        if interval.track.startswith(engine)
    )
    first = min(bus for _, bus in busy)
    return [(bus - first) // LINE for _, bus in busy]


@pytest.mark.parametrize(("transfer", "engine"), [(STORE, "VDW"), (LOAD, "VDR")])
def test_an_engine_serves_in_the_order_of_arrival(transfer: tuple[Instruction, ...], engine: str) -> None:
    code = [*late_are_the_low(), *transfer]
    assert order(code, engine, FIRST_COME) == [5, 4, 3, 2, 1, 0]
    assert order(code, engine, LOWEST) == [5, 0, 1, 2, 3, 4]


def test_the_mutex_goes_to_whoever_asked_first() -> None:
    code = [*late_are_the_low(), *LOCK, *STORE, *UNLOCK]
    assert order(code, "VDW", FIRST_COME) == [5, 4, 3, 2, 1, 0]
    assert order(code, "VDW", LOWEST) == [5, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("body", [STORE, (*LOCK, *STORE, *UNLOCK)])
def test_nobody_is_served_twice_while_another_waits(body: tuple[Instruction, ...]) -> None:
    assert order(looped(body, 5), "VDW", FIRST_COME, qpus=3) == [0, 1, 2] * 5


@pytest.mark.parametrize("body", [STORE, (*LOCK, *STORE, *UNLOCK)])
def test_the_lowest_number_starves_the_others_where_it_goes_first(body: tuple[Instruction, ...]) -> None:
    served = order(looped(body, 5), "VDW", LOWEST, qpus=3)
    assert sorted(served) == [0] * 5 + [1] * 5 + [2] * 5
    assert served.index(2) > served.index(1) and served[-4:] == [2] * 4


def test_arbitration_changes_who_is_served_and_not_how_much() -> None:
    """As many transfers of the same length keep the engine as busy."""
    for body in (STORE, LOAD):
        times = []
        for lowest_first in (FIRST_COME, LOWEST):
            with VirtualV3D(load_profile("pi-zero").with_v3d(lowest_qpu_first=lowest_first)) as gpu:
                done = run([*PROLOGUE, *looped(body, 8)], uniforms=[-1], qpus=QPUS, gpu=gpu)
            times.append(done.execution.cycles)
        assert times[0] == pytest.approx(times[1], rel=0.05)
