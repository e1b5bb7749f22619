"""One launch of a program on the virtual board: its time, and what it asked of the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.isa import WRITE_ADDRESSES, Alu, LoadImmediate, decode
from codegen.program import WORD_BYTES
from microbench.profile import DeviceProfile
from microbench.virtual import Execution, VirtualV3D

_INSTRUCTION_BYTES = 8
_UNIFORMS_ADDRESS = WRITE_ADDRESSES["uniforms_address"]

Buses = Mapping[str, int]  # buffer's name -> bus address; the QPU's own stream is "stream"
Data = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Counts:
    """What one launch does, over all QPUs: a published program's as its source has it, or a kernel's as counted."""

    instructions: int
    tmu_requests: int
    uniform_words: int
    uniform_addresses: int  # writes of the uniforms' address
    loads: int  # by DMA
    load_rows: int
    load_bytes: int
    stores: int
    store_rows: int
    store_bytes: int


@dataclass(frozen=True)
class Program:
    """Words that `qpus` QPUs run once.

    `stream` gives a QPU's uniforms, `buffers` the sizes in bytes of the data; `load_rows` and `store_rows` are in the
    setup words of every DMA transfer.
    """

    words: tuple[int, ...]
    qpus: int
    stream: Callable[[int, Buses], tuple[int, ...]]
    buffers: Mapping[str, int]
    load_rows: int = 0
    store_rows: int = 0


@dataclass(frozen=True)
class Launch:
    """What a launch took, counted, and left in the buffers (float32)."""

    execution: Execution
    counts: Counts
    data: Data


def launch(program: Program, profile: DeviceProfile, before: Data | None = None) -> Launch:
    """Runs a program once, its buffers zero but for `before`. Raises HazardError when the launch fails."""
    with VirtualV3D(profile) as gpu:
        code = gpu.alloc(_INSTRUCTION_BYTES * len(program.words))
        code.view.view(np.uint64)[:] = program.words
        buffers = {name: gpu.alloc(size) for name, size in program.buffers.items()}
        for name, buffer in buffers.items():
            buffer.view[:] = 0
            values = (before or {}).get(name)
            if values is not None:
                buffer.view.view(np.float32)[: values.size] = values.ravel()
        buses = {name: buffer.bus for name, buffer in buffers.items()}
        words = len(program.stream(0, {**buses, "stream": 0}))
        streams, control = gpu.alloc(WORD_BYTES * words * program.qpus), gpu.alloc(8 * program.qpus)
        for qpu in range(program.qpus):
            own = streams.bus + WORD_BYTES * words * qpu
            stream = program.stream(qpu, {**buses, "stream": own})
            streams.view.view(np.uint32)[words * qpu : words * (qpu + 1)] = stream
            control.view.view(np.uint32)[2 * qpu : 2 * qpu + 2] = own, code.bus
        execution = gpu.execute(program.qpus, control.bus, profile=True)
        data = {name: buffer.view.view(np.float32).copy() for name, buffer in buffers.items()}
        return Launch(execution, _counts(program, execution, code.bus), data)


def _counts(program: Program, execution: Execution, code_bus: int) -> Counts:
    c = {name: int(value) for name, value in execution.counters.items()}
    pointers = {code_bus + _INSTRUCTION_BYTES * i for i, word in enumerate(program.words) if _points(word)}
    return Counts(
        instructions=c["instructions"],
        tmu_requests=c["tmu_requests"],
        uniform_words=c["uniform_words"],
        uniform_addresses=sum(e.executions for e in execution.profile if e.bus in pointers),
        loads=c["dma_loads"],
        load_rows=c["dma_loads"] * program.load_rows,
        load_bytes=c["dma_load_bytes"],
        stores=c["dma_stores"],
        store_rows=c["dma_stores"] * program.store_rows,
        store_bytes=c["dma_store_bytes"],
    )


def _points(word: int) -> bool:
    """Whether an instruction writes the uniforms' address."""
    instruction = decode(word)
    return isinstance(instruction, Alu | LoadImmediate) and _UNIFORMS_ADDRESS in (
        instruction.waddr_add,
        instruction.waddr_mul,
    )
