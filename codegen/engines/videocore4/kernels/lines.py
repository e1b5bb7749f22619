"""Kernels on whole lines, whatever they hold: sums of two tensors, and copies.

A tile is a run of groups of `rows` lines that lie one behind the other in every operand. Lines are asked for ahead of
use and never beyond the tile. Results are kept in registers and stored `rows` at a time. The kernel's block: address
of the first tile's words, number of tiles. Words of a tile: an address for each operand, number of groups, output
address, low, high.
"""

from __future__ import annotations

from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import (
    advance,
    begin_store,
    end_store,
    lane_bytes,
    store_rows,
    stream_from,
    write_clamped,
)
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.registers import R1, R3, R4, R5, R5_ALL, TMU_S, UNIFORM, Register
from codegen.errors import ScheduleError

LINE_BYTES = 64
QUEUE_DEPTH = 4


def tile_words(operands: int) -> int:
    """Uniform words of one tile."""
    return operands + 4


@cache
def lines_kernel(operands: int, rows: int) -> tuple[int, ...]:
    """Clamped sums of 2 operands, or clamped copies of 1; `rows` lines are stored at a time.

    Raises ScheduleError for other numbers of operands, and where registers lack.
    """
    if operands not in (1, 2):
        raise ScheduleError(f"{operands} operands: lines are copied (1) or added (2)")
    pool = RegisterPool()
    tiles, groups = pool.take("a"), pool.take("a")
    addresses = [pool.take() for _ in range(operands)]
    output, step = pool.take("b"), pool.take("a")  # they meet in one addition
    tile, low, high = (pool.take() for _ in range(3))
    results = [pool.take() for _ in range(rows)]
    k = Assembler()
    k.mov(tile, UNIFORM)
    k.mov(tiles, UNIFORM)
    k.load(R5_ALL, LINE_BYTES)
    k.load(step, rows * LINE_BYTES)
    k.label("tile")
    stream_from(k, tile)
    advance(k, tile, tile_words(operands))
    lane_bytes(k, R3)
    for address in addresses:
        k.op("add", address, R3, UNIFORM)
    for register in (groups, output, low, high):
        k.mov(register, UNIFORM)
    k.label("group")
    _group(k, addresses, results)
    k.label("store")
    begin_store(k)
    write_clamped(k, results, low, high)
    store_rows(k, 0, rows, output)
    k.op("add", output, output, step)
    end_store(k)
    k.op("sub", groups, groups, 1, set_flags=True)
    k.branch("group", "any_zc")
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    leave(k)
    return k.assemble()


def _group(k: Assembler, addresses: list[Register], results: list[Register]) -> None:
    """Fills the queues, then takes a line and asks for another until none is left."""
    copies = len(addresses) == 1
    ahead = min(len(results), 2 * QUEUE_DEPTH if copies else QUEUE_DEPTH)

    def tmu(line: int, operand: int) -> int:
        return line % 2 if copies else operand

    def ask(line: int) -> None:
        for operand, address in enumerate(addresses):
            k.together(operation("add", address, address, R5), move(TMU_S[tmu(line, operand)], address))

    for line in range(ahead):
        ask(line)
    for line, result in enumerate(results):
        k.load_tmu(tmu(line, 0))
        if copies:
            k.mov(result, R4)
        else:
            k.mov(R1, R4)
            k.load_tmu(1)
            k.op("fadd", result, R1, R4)
        if line + ahead < len(results):
            ask(line + ahead)
