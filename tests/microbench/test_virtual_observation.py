"""The profile by instruction and the trace of a launch."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from codegen.engines.videocore4.isa import BRANCH_CONDITIONS, Alu, Branch, Instruction
from microbench.errors import BoardError
from microbench.virtual import Execution, InstructionProfile, VirtualV3D
from tests.microbench.qpu_programs import (
    ADDRESS_OF_DATA,
    CONTROL,
    ELEMENT,
    END,
    MUTEX,
    NOP,
    R0,
    R1,
    R4,
    SIZE,
    UNIFORM,
    UNIFORMS,
    A,
    B,
    add,
    load,
    mul,
    small,
    store_vectors,
)

BACK = Branch(condition=BRANCH_CONDITIONS["any_zc"], relative=1, immediate=-8 * 5 & 0xFFFFFFFF)
WORK: list[Instruction] = [
    load("r0", 3),
    add("sub", "r0", R0, B, set_flags=1, **small(1)),
    BACK,
    NOP,
    NOP,
    NOP,
    load("r1", 4),
    add("or", "r0", A, A, raddr_a=ELEMENT),
    mul("mul24", "r0", R0, R1),
    add("add", "tmu0_s", R0, A, raddr_a=UNIFORM),
    Alu(signal=10),
    add("or", "r1", R4, R4),
    Alu(raddr_a=MUTEX),
    *store_vectors([R1], ADDRESS_OF_DATA),
    load("mutex_release", 0),
]
CAUSES = ("tmu", "uniform", "vpm", "dma", "semaphore", "mutex", "icache", "sfu")


def observed(qpus: int, intervals: int = 0, profile: bool = True) -> Execution:
    with VirtualV3D() as gpu:
        memory = gpu.alloc(SIZE)
        words = memory.view.view(np.uint32)
        words[:] = 0
        image = np.array([i.encode() for i in (*WORK, *END)], np.uint64)
        memory.view[: image.nbytes] = image.view(np.uint8)
        words[UNIFORMS // 4 : UNIFORMS // 4 + 2] = [memory.bus + 0x10000, memory.bus + 0x14000]
        words[CONTROL // 4 : CONTROL // 4 + 2 * qpus] = [memory.bus + UNIFORMS, memory.bus] * qpus
        return gpu.execute(
            qpus, memory.bus + CONTROL, profile=profile, trace_intervals=intervals, timeout_s=0.05
        )


def executions(profile: tuple[InstructionProfile, ...]) -> list[int]:
    return [entry.executions for entry in profile]


def test_the_profile_counts_every_instruction() -> None:
    profile = observed(1).profile
    assert executions(profile) == [1, *[3] * 5, *[1] * (len(WORK) + len(END) - 6)]
    assert [entry.bus - profile[0].bus for entry in profile] == [8 * i for i in range(len(profile))]


def test_stalls_by_instruction_add_up_to_the_counters() -> None:
    execution = observed(12)
    assert sum(executions(execution.profile)) == execution.counters["instructions"]
    for cause in CAUSES:
        total = sum(entry.stall_cycles[cause] for entry in execution.profile)
        assert total == execution.counters[f"{cause}_stall_cycles"]
    ldtmu, mutex = execution.profile[10], execution.profile[12]
    assert ldtmu.stall_cycles["tmu"] == execution.counters["tmu_stall_cycles"] > 0
    assert mutex.stall_cycles["mutex"] == execution.counters["mutex_stall_cycles"] > 0


def test_watching_changes_nothing() -> None:
    watched, plain = observed(12, intervals=1000), observed(12, profile=False)
    assert plain.profile == () and plain.trace is None
    assert (watched.cycles, watched.counters) == (plain.cycles, plain.counters)


def test_the_trace_has_every_stall_and_the_engines_work() -> None:
    execution = observed(4, intervals=10_000)
    trace = execution.trace
    assert trace is not None and trace.dropped == 0
    stalls: Counter[str] = Counter()
    for interval in trace.intervals:
        assert 0 <= interval.start < interval.end <= execution.cycles
        if interval.what.startswith("wait: "):
            stalls[interval.what.removeprefix("wait: ")] += interval.end - interval.start
    assert dict(stalls) == {
        cause: execution.counters[f"{cause}_stall_cycles"]
        for cause in CAUSES
        if execution.counters[f"{cause}_stall_cycles"]
    }
    busy = Counter(interval.track for interval in trace.intervals if interval.what == "busy")
    assert busy["VDW (DMA store)"] == 4
    assert {track for track in busy if track.startswith("TMU")} == {"TMU 0 of slice 0", "TMU 1 of slice 0"}
    assert sum(interval.what == "program" for interval in trace.intervals) == 4


def test_a_trace_is_bounded_and_says_what_it_left_out() -> None:
    trace = observed(12, intervals=20).trace
    whole = observed(12, intervals=10_000).trace
    assert trace is not None and whole is not None
    assert trace.dropped > 0
    assert len(trace.intervals) + trace.dropped == len(whole.intervals)
    assert sum(interval.what == "program" for interval in trace.intervals) == 12  # these always fit


def test_the_file_is_what_perfetto_reads(tmp_path: Path) -> None:
    execution = observed(2, intervals=1000)
    assert execution.trace is not None
    execution.trace.write(tmp_path / "trace.json")
    document = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    events = document["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    complete = [e for e in events if e["ph"] == "X"]
    assert len(complete) == len(execution.trace.intervals)
    assert {"QPU 0", "QPU 1", "VDW (DMA store)"} <= set(names.values())
    assert all((e["pid"], e["tid"]) in names and e["dur"] > 0 for e in complete)
    assert [e["ts"] for e in complete] == sorted(e["ts"] for e in complete)
    program = next(e for e in complete if e["name"] == "program")
    assert program["dur"] == pytest.approx(program["args"]["cycles"] / 250.0)
    with pytest.raises(BoardError, match="cannot write the trace"):
        execution.trace.write(tmp_path / "nowhere" / "trace.json")
