"""Requests to the runner and its answers as objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from codegen.program import GpuProgram
from codegen.tensor import FloatArray
from microbench.limits import check_limit
from microbench.runner.frames import NO_MARK, PROTOCOL_VERSION, Ending, FrameError, Reader, Writer
from microbench.runner.readings import Readings, readings_answer
from microbench.virtual_pi.machine import VIRTUAL

LEAST_LAUNCH_BYTES = 20  # two times and the number of marks


@dataclass(frozen=True)
class RunnerInfo:
    """The answer to HELLO: what machine the runner is on and what its GPU is.

    `serial` is the machine's own number in the clear: it goes nowhere but into `boards.local_machine.hash_of_serial`.
    """

    protocol: int
    machine: str  # as `uname -m` says
    kernel: str
    cpu: str
    backend: str  # "virtual" | "none", or how QPU programs are launched: "mailbox" | "registers"
    kind: str  # what GPU times are
    software: str
    clock_hz: float  # 0 where unknown
    cores: int  # that its programs may use
    board: str = ""  # model by the device tree; empty where there is none
    serial: str = field(default="", repr=False)
    cpu_clock_hz: float = 0.0  # the highest there is; 0 where unknown

    @property
    def is_raspberry_pi(self) -> bool:
        """Whether the machine says of itself that it is one."""
        return any(model.startswith("Raspberry Pi") for model in (self.board, self.cpu))

    @property
    def is_virtual_pi(self) -> bool:
        """Whether it says that a simulator and an emulator play one."""
        return self.board.startswith(f"{VIRTUAL}Raspberry Pi")


@dataclass(frozen=True)
class LaunchTimes:
    """One launch: seconds, seconds at which its marks were passed, and what was counted meanwhile.

    `cpu_s` is the CPU time the launching process used meanwhile; None where the launch was in this process.
    """

    time_s: float
    marks_s: tuple[float, ...]
    counters: Mapping[str, float]
    cpu_s: float | None = None


@dataclass(frozen=True, eq=False)
class GpuRun:
    """Launches of every repeat, and the bytes of the output regions after the last one.

    `readings` are of the machine, before the first launch and after the last; empty where the launches
    were in this process.
    """

    repeats: tuple[tuple[LaunchTimes, ...], ...]
    outputs: tuple[FloatArray, ...]
    readings: tuple[Readings, ...] = ()


@dataclass(frozen=True)
class Execution:
    """How an executable ended; `code` is its exit code or signal. A missing output file is None."""

    ending: Ending
    code: int
    wall_s: float
    stdout: bytes
    stderr: bytes
    outputs: Mapping[str, bytes | None]
    readings: tuple[Readings, ...]  # before and after


@dataclass(frozen=True)
class ExecutionRequest:
    """An uploaded executable by the SHA-256 of its bytes, run in a fresh directory that holds `files`.

    File names are plain (letters, digits, `._-`); `outputs` are read back from the same directory.
    `cores` is how many it is pinned to (0: all that the runner may use).
    """

    sha256: str
    arguments: tuple[str, ...]
    files: Mapping[str, bytes]
    outputs: tuple[str, ...]
    limit_s: float
    cores: int = 0


def hello_request(constants: Sequence[float]) -> bytes:
    writer = Writer()
    writer.u32(len(constants))
    for value in constants:
        writer.f64(value)
    return writer.payload()


def hello_answer(payload: bytes) -> RunnerInfo:
    reader = Reader(payload)
    protocol = reader.u32()
    machine, kernel, cpu, backend, kind, software = (reader.string() for _ in range(6))
    clock_hz, cores = reader.f64(), reader.u32()
    known = RunnerInfo(protocol, machine, kernel, cpu, backend, kind, software, clock_hz, cores)
    if protocol != PROTOCOL_VERSION:
        return known  # what else is in it, only that version knows
    info = replace(known, board=reader.string(), serial=reader.string(), cpu_clock_hz=reader.f64())
    reader.end()
    return info


def gpu_run_request(
    program: GpuProgram,
    inputs: Sequence[FloatArray],
    repeats: int,
    launch_limit_s: float,
    limit_s: float,
) -> bytes:
    check_limit("a launch's time limit", launch_limit_s)
    check_limit("a program's time limit", limit_s)
    writer = Writer()
    writer.u32(program.size_bytes)
    writer.words(program.words)
    writer.words(program.relocations)
    writer.u32(len(program.launches))
    for launch in program.launches:
        mark = launch.barrier_offset_bytes
        for word in (launch.control_offset_bytes, launch.num_qpus, NO_MARK if mark is None else mark):
            writer.u32(word)
    writer.u32(len(program.inputs))
    for region, value in zip(program.inputs, inputs, strict=True):
        writer.u32(region.offset_bytes)
        writer.data(np.ascontiguousarray(value, dtype="<f4").tobytes())
    writer.u32(len(program.outputs))
    for region in program.outputs:
        writer.u32(region.offset_bytes)
        writer.u32(region.size_bytes)
    writer.u32(repeats)
    writer.f64(launch_limit_s)
    writer.f64(limit_s)
    return writer.payload()


def gpu_run_answer(payload: bytes) -> GpuRun:
    reader = Reader(payload)
    names = tuple(reader.string() for _ in range(reader.count(4)))
    repeats = reader.count()
    launches = reader.count(LEAST_LAUNCH_BYTES, repeats)
    runs = tuple(tuple(_launch(reader, names) for _ in range(launches)) for _ in range(repeats))
    outputs = tuple(reader.floats() for _ in range(reader.count(4)))
    readings = readings_answer(reader)
    reader.end()
    return GpuRun(runs, outputs, readings)


def _launch(reader: Reader, names: tuple[str, ...]) -> LaunchTimes:
    time_s, cpu_s = reader.f64(), reader.f64()
    marks_s = reader.f64s(reader.count(8))
    return LaunchTimes(time_s, marks_s, dict(zip(names, reader.f64s(len(names)), strict=True)), cpu_s)


def exec_request(request: ExecutionRequest) -> bytes:
    check_limit("a program's time limit", request.limit_s)
    writer = Writer()
    writer.string(request.sha256)
    writer.u32(len(request.arguments))
    for argument in request.arguments:
        writer.string(argument)
    writer.u32(len(request.files))
    for name, content in request.files.items():
        writer.string(name)
        writer.data(content)
    writer.u32(len(request.outputs))
    for name in request.outputs:
        writer.string(name)
    writer.f64(request.limit_s)
    writer.u32(request.cores)
    return writer.payload()


def _ending(value: int) -> Ending:
    if value not in tuple(Ending):
        raise FrameError(f"the answer has a program that ended in no known way ({value})")
    return Ending(value)


def exec_answer(payload: bytes, names: tuple[str, ...]) -> Execution:
    reader = Reader(payload)
    ending, code, wall_s = _ending(reader.u32()), reader.u32(), reader.f64()
    stdout, stderr = reader.data(), reader.data()
    outputs: dict[str, bytes | None] = {}
    reader.u32()
    for name in names:
        present, content = reader.u32(), reader.data()
        outputs[name] = content if present else None
    readings = readings_answer(reader)
    reader.end()
    return Execution(ending, code, wall_s, stdout, stderr, outputs, readings)
