"""One raw QPU program with its uniforms and buffers, run on a virtual GPU as the firmware would run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microbench.errors import CandidateError
from microbench.profile import DeviceProfile
from microbench.virtual.execution import Execution
from microbench.virtual.gpu import Allocation, VirtualV3D

WORD_BYTES = 4


@dataclass(frozen=True)
class BufferAddress:
    """A uniform that is an address: of a buffer, plus an offset, plus so many bytes for each QPU before this one."""

    buffer: str
    offset: int = 0
    bytes_per_qpu: int = 0


@dataclass(frozen=True)
class QpuNumber:
    """A uniform that is the number of the QPU, from 0."""


UniformValue = int | BufferAddress | QpuNumber


@dataclass(frozen=True, eq=False)
class QpuProgram:
    """Instruction words, the uniforms of every QPU, and buffers by name with what they hold at the start."""

    code: tuple[int, ...]
    uniforms: tuple[UniformValue, ...]
    buffers: Mapping[str, NDArray[np.uint8]]
    qpus: int = 1


@dataclass(frozen=True, eq=False)
class ProgramRun:
    """What a program took, what its buffers hold afterwards, and where its code lay."""

    execution: Execution
    buffers: Mapping[str, NDArray[np.uint8]]
    code_bus: int


def run_program(
    gpu: VirtualV3D,
    program: QpuProgram,
    timeout_s: float = 1.0,
    profile: bool = False,
    trace_intervals: int = 0,
) -> ProgramRun:
    """One launch with everything newly allocated; raises HazardError or CandidateError."""
    if not program.code:
        raise CandidateError("the program has no instruction: give a file with at least a thread end")
    buffers = {name: _filled(gpu, content) for name, content in program.buffers.items()}
    code = _filled(gpu, np.array(program.code, np.uint64).view(np.uint8))
    control = _control(gpu, program, buffers, code.bus)
    execution = gpu.execute(
        program.qpus, control.bus, timeout_s=timeout_s, profile=profile, trace_intervals=trace_intervals
    )
    return ProgramRun(execution, {name: b.view.copy() for name, b in buffers.items()}, code.bus)


def program_time_s(profile: DeviceProfile, program: QpuProgram) -> float:
    """A program's simulated seconds on a GPU of its own, without the launch call, which is always the same."""
    with VirtualV3D(profile) as gpu:
        execution = run_program(gpu, program).execution
    return execution.time_s - execution.overhead_s


def _filled(gpu: VirtualV3D, content: NDArray[np.uint8]) -> Allocation:
    memory = gpu.alloc(max(content.nbytes, WORD_BYTES))
    memory.view[: content.nbytes] = content
    return memory


def _control(
    gpu: VirtualV3D, program: QpuProgram, buffers: Mapping[str, Allocation], code_bus: int
) -> Allocation:
    """The pairs of addresses that a launch takes, with the uniforms that they point to behind them."""
    pairs_bytes = 2 * WORD_BYTES * program.qpus
    stream_bytes = WORD_BYTES * max(1, len(program.uniforms))
    memory = gpu.alloc(pairs_bytes + stream_bytes * program.qpus)
    words = memory.view.view(np.uint32)
    for qpu in range(program.qpus):
        offset = pairs_bytes + stream_bytes * qpu
        words[2 * qpu : 2 * qpu + 2] = [memory.bus + offset, code_bus]
        stream = [_word(value, qpu, buffers) for value in program.uniforms]
        words[offset // WORD_BYTES : offset // WORD_BYTES + len(stream)] = stream
    return memory


def _word(value: UniformValue, qpu: int, buffers: Mapping[str, Allocation]) -> int:
    if isinstance(value, QpuNumber):
        return qpu
    if isinstance(value, int):
        return value & 0xFFFFFFFF
    if value.buffer not in buffers:
        raise CandidateError(
            f"a uniform names the buffer {value.buffer!r}; there are: {_names(tuple(buffers))}"
        )
    return (buffers[value.buffer].bus + value.offset + value.bytes_per_qpu * qpu) & 0xFFFFFFFF


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
