"""Raw QPU programs with their uniforms and buffers, run on a virtual GPU as the firmware would run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microbench.errors import CandidateError, HazardError
from microbench.profile import DeviceProfile
from microbench.virtual.execution import Execution
from microbench.virtual.gpu import Allocation, VirtualV3D

WORD_BYTES = 4

Code = tuple[int, ...]  # 64-bit words


@dataclass(frozen=True)
class BufferAddress:
    """A uniform that is an address: of a buffer, plus an offset, plus so many bytes for each QPU before this one."""

    buffer: str
    offset: int = 0
    bytes_per_qpu: int = 0


@dataclass(frozen=True)
class StreamAddress:
    """A uniform that is the address of the QPU's own uniforms, plus an offset."""

    offset: int = 0


@dataclass(frozen=True)
class QpuNumber:
    """A uniform that is the number of the QPU, from 0."""


@dataclass(frozen=True)
class QpuCount:
    """A uniform that is how many QPUs are launched."""


UniformValue = int | BufferAddress | StreamAddress | QpuNumber | QpuCount


@dataclass(frozen=True, eq=False)
class QpuLaunch:
    """One launch: for each QPU its code and its uniforms."""

    codes: tuple[Code, ...]
    uniforms: tuple[tuple[UniformValue, ...], ...]

    @property
    def qpus(self) -> int:
        return len(self.codes)

    @classmethod
    def alike(cls, code: Code, uniforms: tuple[UniformValue, ...], qpus: int = 1) -> QpuLaunch:
        """The same code and uniforms for every QPU."""
        return cls((code,) * qpus, (uniforms,) * qpus)


@dataclass(frozen=True, eq=False)
class QpuProgram:
    """Launches, one after the other, on buffers by name with what they hold at the start."""

    buffers: Mapping[str, NDArray[np.uint8]]
    launches: tuple[QpuLaunch, ...]


@dataclass(frozen=True, eq=False)
class ProgramRun:
    """What each launch took, what the buffers hold afterwards, and where codes lay, by bus address."""

    executions: tuple[Execution, ...]
    buffers: Mapping[str, NDArray[np.uint8]]
    codes: Mapping[int, Code]


def run_program(
    gpu: VirtualV3D,
    program: QpuProgram,
    timeout_s: float = 1.0,
    profile: bool = False,
    trace_intervals: int = 0,
) -> ProgramRun:
    """Every launch with caches cleared before it, on the same buffers, everything newly allocated.

    Raises HazardError, which names the launch where there are several, or CandidateError.
    """
    memory = _Memory(gpu, program.buffers)
    executions = []
    for number, launch in enumerate(program.launches, 1):
        control = memory.control(launch)
        try:
            executions.append(
                gpu.execute(
                    launch.qpus,
                    control,
                    timeout_s=timeout_s,
                    profile=profile,
                    trace_intervals=trace_intervals,
                )
            )
        except HazardError as error:
            if len(program.launches) == 1:
                raise
            raise HazardError(f"launch {number} of {len(program.launches)}: {error}") from error
    return ProgramRun(tuple(executions), memory.contents(), memory.codes())


def program_time_s(profile: DeviceProfile, program: QpuProgram) -> float:
    """A program's simulated seconds on a GPU of its own, without the launch calls, which are always the same."""
    with VirtualV3D(profile) as gpu:
        executions = run_program(gpu, program).executions
    return sum(execution.time_s - execution.overhead_s for execution in executions)


class _Memory:
    """What a program has allocated: buffers and codes once, and the control words of each launch once."""

    def __init__(self, gpu: VirtualV3D, buffers: Mapping[str, NDArray[np.uint8]]) -> None:
        self._gpu = gpu
        self._buffers = {name: _filled(gpu, content) for name, content in buffers.items()}
        self._codes: dict[Code, Allocation] = {}
        self._controls: dict[QpuLaunch, Allocation] = {}

    def contents(self) -> dict[str, NDArray[np.uint8]]:
        return {name: buffer.view.copy() for name, buffer in self._buffers.items()}

    def codes(self) -> dict[int, Code]:
        return {memory.bus: code for code, memory in self._codes.items()}

    def control(self, launch: QpuLaunch) -> int:
        """The bus address of the pairs that a launch takes, with the uniforms they point to behind them, all anew."""
        pairs_bytes = 2 * WORD_BYTES * launch.qpus
        sizes = [WORD_BYTES * max(1, len(stream)) for stream in launch.uniforms]
        if launch not in self._controls:
            self._controls[launch] = self._gpu.alloc(pairs_bytes + sum(sizes))
        memory = self._controls[launch]
        words, offset = memory.view.view(np.uint32), pairs_bytes
        for qpu, (code, stream) in enumerate(zip(launch.codes, launch.uniforms, strict=True)):
            own = memory.bus + offset
            words[2 * qpu : 2 * qpu + 2] = [own, self._code(code)]
            at = offset // WORD_BYTES
            words[at : at + len(stream)] = [self._word(value, qpu, launch.qpus, own) for value in stream]
            offset += sizes[qpu]
        return memory.bus

    def _code(self, code: Code) -> int:
        if not code:
            raise CandidateError("the program has no instruction: give a file with at least a thread end")
        if code not in self._codes:
            self._codes[code] = _filled(self._gpu, np.array(code, np.uint64).view(np.uint8))
        return self._codes[code].bus

    def _word(self, value: UniformValue, qpu: int, qpus: int, own: int) -> int:
        if isinstance(value, QpuNumber):
            return qpu
        if isinstance(value, QpuCount):
            return qpus
        if isinstance(value, StreamAddress):
            return (own + value.offset) & 0xFFFFFFFF
        if isinstance(value, int):
            return value & 0xFFFFFFFF
        if value.buffer not in self._buffers:
            known = _names(tuple(self._buffers))
            raise CandidateError(f"a uniform names the buffer {value.buffer!r}; there are: {known}")
        return (self._buffers[value.buffer].bus + value.offset + value.bytes_per_qpu * qpu) & 0xFFFFFFFF


def _filled(gpu: VirtualV3D, content: NDArray[np.uint8]) -> Allocation:
    memory = gpu.alloc(max(content.nbytes, WORD_BYTES))
    memory.view[: content.nbytes] = content
    return memory


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
