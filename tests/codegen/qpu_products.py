"""One kernel in two hands: sums of products of two blocks of lines with weights from the uniforms.

Uniforms: number of rounds, address of the data, then `CHANNELS` weights a round. A round reads two lines of 16 words;
results are 2 * CHANNELS lines at `OUTPUT_BYTES` behind the data.
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.operation import Operation
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    ELEMENT,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU_S,
    UNIFORM,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    A,
    B,
    Register,
)

CHANNELS = 12
LINE_BYTES = 64
OUTPUT_BYTES = 0x4000


def _store(k: Assembler, sums: Sequence[Register], address: Register) -> None:
    k.load(VPM_WRITE_SETUP, 1 << 12 | 1 << 11 | 2 << 8)
    for value in sums:
        k.mov(VPM_WRITE, value)
    k.load(VPM_WRITE_SETUP, 2 << 30 | len(sums) << 23 | 16 << 16 | 1 << 14)
    k.load(VPM_WRITE_SETUP, 3 << 30)
    k.mov(DMA_STORE_ADDRESS, address)
    k.mov(NULL, DMA_STORE_WAIT)
    k.thread_end()


def with_virtual_registers() -> tuple[int, ...]:
    """In straight order; places, pairs and delay slots are the toolchain's business."""
    k = Assembler()
    rounds, base, lane, step, output = (
        k.register(name) for name in ("rounds", "base", "lane", "step", "output")
    )
    addresses = [k.register(f"address{p}") for p in (0, 1)]
    lines = [k.register(f"line{p}") for p in (0, 1)]
    sums = [k.register(f"sum{p}_{j}") for p in (0, 1) for j in range(CHANNELS)]
    k.mov(rounds, UNIFORM)
    k.mov(base, UNIFORM)
    k.load(output, OUTPUT_BYTES)
    k.add(output, output, base)
    k.mov(lane, ELEMENT)
    k.shl(lane, lane, 2)
    k.add(addresses[0], lane, base)
    k.load(step, LINE_BYTES)
    k.add(addresses[1], addresses[0], step)
    k.add(step, step, step)
    for p in (0, 1):
        k.mov(TMU_S[p], addresses[p])
    for value in sums:
        k.load(value, 0)
    k.label("round")
    for p in (0, 1):
        k.load_tmu(p)
        k.mov(lines[p], R4)
    for p in (0, 1):
        k.add(addresses[p], addresses[p], step)
        k.mov(TMU_S[p], addresses[p])
    k.sub(rounds, rounds, 1, set_flags=True)
    for j in range(CHANNELS):
        weight = k.register(f"weight{j}")
        k.mov(weight, UNIFORM)
        for p in (0, 1):
            product = k.register(f"product{p}_{j}")
            k.fmul(product, lines[p], weight)
            k.fadd(sums[p * CHANNELS + j], sums[p * CHANNELS + j], product)
    k.branch("round", "any_zc")
    for p in (0, 1):
        k.load_tmu(p)
    _store(k, sums, output)
    return k.assemble(whole=True)


def by_hand() -> tuple[int, ...]:
    """Every register chosen, every instruction of the loop placed: five for the four products of two channels.

    Of two channels the last product waits in r3 until the next two, or the next round, have an add to spare.
    """
    k = Assembler()
    output, rounds, line0, line1 = A(0), B(0), A(1), B(1)
    addresses, step, one = (A(2), B(2)), R1, R5
    sums = [(A, B)[p](3 + j) for p in (0, 1) for j in range(CHANNELS)]

    def add(p: int, j: int, product: Register) -> Operation:
        value = sums[p * CHANNELS + j]
        return operation("fadd", value, value, product)

    k.mov(rounds, UNIFORM)
    k.mov(R0, UNIFORM)
    k.load(R2, OUTPUT_BYTES)
    k.add(output, R0, R2)
    k.mov(R2, ELEMENT)
    k.shl(R2, R2, 2)
    k.load(step, LINE_BYTES)
    k.add(addresses[0], R2, R0)
    k.add(R0, R0, step)
    k.add(addresses[1], R2, R0)
    k.add(step, step, step)
    k.mov(R5_ALL, 1)
    for value in (*sums, R3):
        k.load(value, 0)
    for p in (0, 1):
        k.together(operation("add", addresses[p], addresses[p], step), move(TMU_S[p], addresses[p]))
    k.load_tmu(0)
    k.verbatim("round")
    k.together(add(1, CHANNELS - 1, R3), move(line0, R4), signal="load_tmu1")
    for p in (0, 1):
        k.together(operation("add", addresses[p], addresses[p], step), move(TMU_S[p], addresses[p]))
    k.mov(line1, R4)
    for j in range(0, CHANNELS, 2):
        k.mov(R2, UNIFORM).fmul(R0, line0, UNIFORM)
        k.together(add(0, j, R0), operation("fmul", R0, line1, R2))
        k.together(add(1, j, R0), Operation("mov", "mul", R2, (UNIFORM,)))
        spare = add(1, j - 1, R3) if j else operation("sub", rounds, rounds, one, set_flags=True)
        k.together(spare, operation("fmul", R0, line0, R2))
        last = "load_tmu0" if j == CHANNELS - 2 else "none"
        k.together(add(0, j + 1, R0), operation("fmul", R3, line1, R2), signal=last)
    k.branch("round", "any_zc")
    k.load_tmu(1)
    k.together(add(1, CHANNELS - 1, R3))
    _store(k, sums, output)
    return k.assemble(whole=True)
