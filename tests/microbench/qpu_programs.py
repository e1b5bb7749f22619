"""Small QPU programs in instruction words, and a run of them on the virtual GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.isa import (
    ADD_OPS,
    BRANCH_CONDITIONS,
    MUL_OPS,
    SIGNALS,
    WRITE_ADDRESSES,
    Alu,
    Branch,
    Instruction,
    LoadImmediate,
    Semaphore,
)
from microbench.virtual import Execution, VirtualV3D

Words = NDArray[np.uint32]

A, B = 6, 7  # operand multiplexer: the register-file ports
R0, R1, R2, R3, R4, R5 = range(6)
UNIFORM, ELEMENT, VPM, BUSY, WAIT, MUTEX = 32, 38, 48, 49, 50, 51
NOP: Instruction = Alu()
END: tuple[Instruction, ...] = (Alu(signal=SIGNALS["thread_end"]), NOP, NOP)

LOOP_INSTRUCTIONS = 5

CONTROL, UNIFORMS, DATA, SIZE = 0x8000, 0x9000, 0x10000, 0x20000


def add(op: str, to: str | int, a: int = 0, b: int = 0, **fields: int) -> Instruction:
    """An add ALU instruction; operands are multiplexer codes, `to` a write address or its name."""
    return Alu(
        op_add=ADD_OPS[op],
        cond_add=fields.pop("cond_add", 1),
        waddr_add=_write(to),
        add_a=a,
        add_b=b,
        **fields,
    )


def mul(op: str, to: str | int, a: int = 0, b: int = 0, **fields: int) -> Instruction:
    """A mul ALU instruction."""
    return Alu(
        op_mul=MUL_OPS[op],
        cond_mul=fields.pop("cond_mul", 1),
        waddr_mul=_write(to),
        mul_a=a,
        mul_b=b,
        **fields,
    )


def load(to: str | int, value: int, **fields: int) -> Instruction:
    """A 32-bit immediate through the add ALU."""
    return LoadImmediate(waddr_add=_write(to), immediate=value & 0xFFFFFFFF, **fields)


def load_b(to: str | int, value: int) -> Instruction:
    """A 32-bit immediate through the mul ALU, that is port B."""
    return LoadImmediate(cond_add=0, cond_mul=1, waddr_mul=_write(to), immediate=value & 0xFFFFFFFF)


def small(code: int) -> dict[str, int]:
    """Fields that put a small immediate, by its code, on port B."""
    return {"signal": SIGNALS["small_immediate"], "raddr_b": code}


def looped(body: Sequence[Instruction], times: int) -> list[Instruction]:
    """The body so often, with LOOP_INSTRUCTIONS more each time; r0 counts, the body must leave it."""
    back = -8 * (len(body) + LOOP_INSTRUCTIONS) & 0xFFFFFFFF
    return [
        load("r0", times),
        *body,
        add("sub", "r0", R0, B, set_flags=1, **small(1)),
        Branch(condition=BRANCH_CONDITIONS["any_zc"], relative=1, immediate=back),
        NOP,
        NOP,
        NOP,
    ]


def semaphore(number: int, up: bool) -> Instruction:
    return Semaphore(decrement=int(not up), number=number)


def _write(to: str | int) -> int:
    return WRITE_ADDRESSES[to] if isinstance(to, str) else to


def vpm_block(
    address: int, *, stride: int = 1, horizontal: bool = True, size: int = 2, laned: int = 0
) -> int:
    """Setup word of VPM block writes (guide table 32)."""
    return stride << 12 | int(horizontal) << 11 | laned << 10 | size << 8 | address


def vpm_block_read(address: int, count: int, **fields: int) -> int:
    return (count & 15) << 20 | vpm_block(address, **fields)  # type: ignore[arg-type]


def store_setup(rows: int, words: int, y: int = 0, x: int = 0, horizontal: bool = True) -> int:
    """Setup word of a DMA store (guide table 34)."""
    return 2 << 30 | (rows & 127) << 23 | (words & 127) << 16 | int(horizontal) << 14 | y << 7 | x << 3


def load_setup(
    rows: int, words: int, y: int = 0, x: int = 0, vertical: bool = False, pitch: int = 0, vpitch: int = 1
) -> int:
    """Setup word of a DMA load (guide table 36); pitch 0 takes the extended register's."""
    return (
        1 << 31
        | pitch << 24
        | (words & 15) << 20
        | (rows & 15) << 16
        | (vpitch & 15) << 12
        | int(vertical) << 11
        | y << 4
        | x
    )


def store_vectors(sources: Sequence[int], address: Sequence[Instruction]) -> list[Instruction]:
    """Writes accumulators to VPM rows and stores them; `address` loads the bus address into r3."""
    rows = len(sources)
    return [
        load_b("vpm_setup", vpm_block(0)),
        *(add("or", "vpm", source, source) for source in sources),
        load_b("vpm_setup", store_setup(rows, 16)),
        load_b("vpm_setup", 3 << 30),
        *address,
        mul("v8min", "dma_address", R3, R3),
        Alu(raddr_b=WAIT),
    ]


@dataclass(frozen=True, eq=False)
class Run:
    """Memory from DATA on, as words, after a launch; and what the launch took."""

    data: Words
    execution: Execution


def run(
    code: Sequence[Instruction],
    *,
    uniforms: Sequence[int] = (),
    data: Words | None = None,
    qpus: int = 1,
    strict: bool = True,
    mark: int | None = None,
    gpu: VirtualV3D | None = None,
    end: bool = True,
    trace_intervals: int = 0,
) -> Run:
    """Runs one program on some QPUs. Uniforms are each QPU's own copy; "data" (-1) stands for the data's address."""
    if gpu is None:
        with VirtualV3D(strict=strict) as own:
            return run(
                code,
                uniforms=uniforms,
                data=data,
                qpus=qpus,
                mark=mark,
                gpu=own,
                end=end,
                trace_intervals=trace_intervals,
            )
    memory = gpu.alloc(SIZE)
    words = memory.view.view(np.uint32)
    image = np.array([i.encode() for i in (*code, *(END if end else ()))], np.uint64).view(np.uint32)
    words[: len(image)] = image
    stream = [memory.bus + DATA if value == -1 else value & 0xFFFFFFFF for value in uniforms]
    words[UNIFORMS // 4 : UNIFORMS // 4 + len(stream)] = stream
    words[CONTROL // 4 : CONTROL // 4 + 2 * qpus] = [memory.bus + UNIFORMS, memory.bus] * qpus
    if data is not None:
        words[DATA // 4 : DATA // 4 + len(data)] = data
    mark_bus = 0 if mark is None else memory.bus + 8 * mark
    execution = gpu.execute(
        qpus, memory.bus + CONTROL, mark_bus=mark_bus, timeout_s=0.05, trace_intervals=trace_intervals
    )
    return Run(words[DATA // 4 :].copy(), execution)


ADDRESS_OF_DATA = (add("or", "r3", A, A, raddr_a=UNIFORM),)


def results(code: Sequence[Instruction], sources: Sequence[int], **options: object) -> Words:
    """Rows of 16 lanes: what accumulators hold after a program. Its first uniforms may be the caller's own."""
    uniforms = (*options.pop("uniforms", ()), -1)  # type: ignore[misc]
    body = [*code, *store_vectors(sources, ADDRESS_OF_DATA)]
    return run(body, uniforms=uniforms, **options).data[: 16 * len(sources)].reshape(-1, 16)  # type: ignore[arg-type]
