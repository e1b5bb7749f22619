"""A copy of a tensor's blocks whose lines are channels of a pixel: for kernels that gather these.

A tile is a few runs of channels, each of one block: their lines go to columns of the VPM, whose rows are stored.

The kernel's block: words of its tiles, each with
    for each run the address of its first line, then its pieces (see `row_pieces`); 1 where a tile follows, else 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.pieces import lane_bytes
from codegen.engines.videocore4.kernels.row_pieces import store_rows_in_pieces
from codegen.engines.videocore4.kernels.window import QUEUE_DEPTH
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LINE_BYTES
from codegen.engines.videocore4.registers import (
    DMA_STORE_WAIT,
    NULL,
    R1,
    R2,
    R3,
    R4,
    TMU_S,
    UNIFORM,
    VPM_WRITE,
    Register,
)

_IN_FLIGHT = 2 * QUEUE_DEPTH


@cache
def channels_last_kernel(runs: tuple[int, ...]) -> Assembler:
    """Code for tiles of runs of so many channels each."""
    pool = RegisterPool()
    lines = [[pool.take() for _ in range(channels)] for channels in runs]
    every = [register for run in lines for register in run]
    begins = {sum(runs[:number]) for number in range(len(runs))}
    k = Assembler()
    lane_bytes(k, R3)
    k.load(R2, LINE_BYTES)
    k.label("tile")
    for number in range(len(every) + _IN_FLIGHT):
        if number >= _IN_FLIGHT:
            k.load_tmu(number % 2)
            k.mov(every[number - _IN_FLIGHT], R4)
        if number < len(every):
            if number in begins:
                k.op("add", R1, R3, UNIFORM)
            else:
                k.op("add", R1, R1, R2)
            k.mov(TMU_S[number % 2], R1)
    k.label("results")
    store_rows_in_pieces(k, lines, _write, columns=True)
    k.label("next")
    k.load(R2, LINE_BYTES)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _write(k: Assembler, registers: Sequence[Register]) -> None:
    for register in registers:
        k.mov(VPM_WRITE, register)
