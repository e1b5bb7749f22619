"""Runs an expression alone on one QPU of the virtual GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.expressions.emission import Element
from codegen.engines.videocore4.expressions.placement import place
from codegen.engines.videocore4.kernels.pieces import begin_store, end_store, lane_bytes, store_rows
from codegen.engines.videocore4.layer import Address, QpuLayer, RegisterPool, leave
from codegen.engines.videocore4.layout import LANES
from codegen.engines.videocore4.link import link_single
from codegen.engines.videocore4.registers import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU0_S,
    UNIFORM,
    VPM_WRITE,
    Register,
)
from codegen.expression import Expression
from codegen.tensor import FloatArray
from microbench.profile import DeviceProfile
from tests.codegen.gpu_run import execute

_ROWS = 2


def expression_kernel(expression: Expression, spare: int | None = None) -> tuple[int, ...]:
    """Two lines of each operand a turn; `spare` registers for it beside the accumulators, all there are by default.

    Uniforms: number of turns, output address, an address for each operand.
    """
    pool = RegisterPool()
    turns, output, step = pool.take("a"), pool.take("b"), pool.take("a")
    addresses = [pool.take() for _ in range(expression.arity)]
    rows = [[pool.take() for _ in addresses] for _ in range(_ROWS)]
    results = [row[0] if row else pool.take() for row in rows]
    files = pool.rest()
    free: list[Register] = [R0, R1, R2, R3, *(files if spare is None else files[:spare])]
    elements = [Element(tuple(row), result) for row, result in zip(rows, results, strict=True)]
    placement = place(expression, elements, free)
    k = Assembler()
    k.mov(turns, UNIFORM)
    k.mov(output, UNIFORM)
    k.load(step, 64 * _ROWS)
    k.load(R5_ALL, 64)
    lane_bytes(k, R3)
    for address in addresses:
        k.op("add", address, R3, UNIFORM)
    placement.load(k)
    k.label("turn")
    for row in rows:
        for address, register in zip(addresses, row, strict=True):
            k.mov(TMU0_S, address)
            k.op("add", address, address, R5)
            k.load_tmu(0)
            k.mov(register, R4)
    placement.apply(k, elements)
    begin_store(k)
    for result in results:
        k.mov(VPM_WRITE, result)
    store_rows(k, 0, _ROWS, output)
    k.op("add", output, output, step)
    end_store(k)
    k.op("sub", turns, turns, 1, set_flags=True)
    k.branch("turn", "any_zc")
    leave(k)
    return k.assemble()


def run_expression(
    expression: Expression,
    operands: Sequence[FloatArray],
    spare: int | None = None,
    profile: DeviceProfile | None = None,
) -> FloatArray:
    """The results for float32 operands of one length."""
    count = len(operands[0])
    turns = -(-count // (LANES * _ROWS))
    padded = [np.pad(o.astype(np.float32), (0, turns * LANES * _ROWS - count)) for o in operands]
    addresses = (Address("input", 0, i) for i in range(len(operands)))
    words: tuple[int | float | Address, ...] = (turns, Address("output"), *addresses)
    layer = QpuLayer(expression_kernel(expression, spare), np.zeros(16, np.uint32), (words,))
    program = link_single(layer, [p.nbytes for p in padded], [turns * 64 * _ROWS], 1)
    (memory,), _ = execute(program, padded, profile)
    return memory[:count]
