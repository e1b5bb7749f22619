"""Kernels whose lanes are channels: fully connected layers and global pooling.

A tile is 16 consecutive results of a flat (nchw) output. The kernel's block: address of the first tile's words,
number of tiles, and the tiles' words as each kernel lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import numpy as np

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import (
    advance,
    begin_store,
    end_store,
    lane_bytes,
    store_rows,
    stream_from,
)
from codegen.engines.videocore4.kernels.results import Results, take_bounds
from codegen.engines.videocore4.kernels.window import LOWEST
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.registers import (
    ELEMENT,
    NULL,
    R0,
    R1,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU0_S,
    UNIFORM,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression
from codegen.stored_weights import CENTRE
from codegen.target import WeightType

AHEAD = 4  # requests in flight on one TMU
PARTS: Mapping[WeightType, tuple[str, ...]] = {  # of a word, by how r4 is unpacked
    "float32": ("",),
    "float16": ("16a", "16b"),
    "int8": ("8a", "8b", "8c", "8d"),
}
BYTE_LARGEST = 255  # which is 1 where a byte is unpacked as a float
BYTE_CENTRE = np.float32(CENTRE) / np.float32(BYTE_LARGEST)
PART = 16  # pixels that are summed before their sum joins the others: a sum loses something with every term


def fully_connected_tile_words(clamped: bool) -> int:
    """Uniform words of one tile."""
    return 6 if clamped else 4


@cache
def fully_connected_kernel(
    unroll: int, epilogue: Expression | None = None, words: int = LANES, weights: WeightType = "float32"
) -> Assembler:
    """16 outputs a tile, of which `words` are stored: weights are lines of the TMU, the input comes as uniforms.

    Weights: for each tile a line of biases, then a line for each input; `unroll` divides the number of inputs.
    Narrow ones are parts of a line's words, which r4 unpacks where they are multiplied: a line has those of
    `len(PARTS[weights])` inputs, which divide `unroll`. Bytes stand for 0 to 1: `CENTRE` is taken from each, and sums
    are multiplied by a further line, behind the biases, of what a 1 is worth.
    Words of a tile: weights, low, high, output, number of groups of `unroll` inputs, input. Lines are asked for
    up to `AHEAD` behind the tile's last. low and high are there without an epilogue that is `coded`.
    """
    pool = RegisterPool()
    tiles, groups = pool.take("a"), pool.take("a")
    tile, address, accumulator, output = (pool.take() for _ in range(4))
    bounds = take_bounds(pool, epilogue)
    scaled = weights == "int8"
    centre, bias, scale = (pool.take("b"), pool.take(), pool.take()) if scaled else (None, accumulator, None)
    results = Results.of([accumulator], epilogue, bounds, pool.rest())
    k = Assembler()
    k.mov(tile, UNIFORM)
    k.mov(tiles, UNIFORM)
    k.load(R5_ALL, LINE_BYTES)
    results.load_constants(k)
    if centre is not None:
        k.load(centre, float(BYTE_CENTRE))
    k.label("tile")
    stream_from(k, tile)
    advance(k, tile, fully_connected_tile_words(epilogue is None))
    lane_bytes(k, R0)
    k.op("add", address, R0, UNIFORM)
    _ask_next_line(k, address)
    for register in (*bounds, output, groups, R3):
        k.mov(register, UNIFORM)
    stream_from(k, R3)
    k.load_tmu(0)
    k.mov(bias, R4)
    for _ in range(AHEAD):
        _ask_next_line(k, address)
    if scale is not None:
        k.load_tmu(0)
        k.mov(scale, R4)
        _ask_next_line(k, address)
        k.mov(accumulator, 0)
    k.label("inputs")
    parts = PARTS[weights]
    for _ in range(unroll // len(parts)):
        k.load_tmu(0)
        _ask_next_line(k, address)
        for part in parts:
            weight = R4.unpacked(part) if part else R4
            if centre is not None:
                k.op("fsub", R0, weight, centre)
                weight = R0
            k.op("fmul", R1, weight, UNIFORM)
            k.op("fadd", accumulator, accumulator, R1)
    k.op("sub", groups, groups, 1, set_flags=True)
    k.branch("inputs", "any_zc")
    for _ in range(AHEAD):
        k.load_tmu(0)
    if scale is not None:
        k.mov(R0, accumulator)
        k.op("fmul", R0, R0, scale)
        k.op("fadd", accumulator, bias, R0)
    _finish(k, results, output, tiles, words)
    return k


def global_pool_fixed_words(clamped: bool) -> int:
    """Uniform words of one tile besides the pixels' offsets."""
    return 6 if clamped else 4


@cache
def global_pool_kernel(
    kind: Literal["max", "average"], ahead: int, epilogue: Expression | None = None
) -> Assembler:
    """Means or maxima of 16 channels a tile over every pixel of a pixel16 tensor.

    Words of a tile: input address of its first channel, low, high, output, 1 / pixels (float; 1 for a maximum),
    pixels - ahead, then every pixel's byte offset. low and high are there without an epilogue that is `coded`.
    Sums are of sums of `PART` pixels.
    """
    if not 1 <= ahead <= AHEAD:
        raise ScheduleError(f"{ahead} requests ahead: a TMU takes 1 to {AHEAD}")
    joined = "fmax" if kind == "max" else "fadd"
    pool = RegisterPool()
    tiles, pixels = pool.take("a"), pool.take("a")
    base, accumulator, output = (pool.take() for _ in range(3))
    bounds = take_bounds(pool, epilogue)
    scale = pool.take()
    part = pool.take() if kind == "average" else accumulator
    results = Results.of([accumulator], epilogue, bounds, pool.rest())
    k = Assembler()
    # Tiles follow one another in the stream, which never leaves it.
    k.mov(R0, UNIFORM)
    k.mov(tiles, UNIFORM)
    stream_from(k, R0)
    results.load_constants(k)
    k.label("tile")
    k.mov(R0, ELEMENT)
    k.op("shl", R0, R0, 6)
    k.op("add", base, R0, UNIFORM)
    for register in (*bounds, output, scale, pixels):
        k.mov(register, UNIFORM)
    k.load(accumulator, LOWEST if kind == "max" else 0)
    if part != accumulator:
        k.mov(part, 0)
    for _ in range(ahead):
        k.op("add", TMU0_S, base, UNIFORM)
    k.label("pixels")
    k.load_tmu(0)
    k.op("add", TMU0_S, base, UNIFORM)
    k.op(joined, part, part, R4)
    if part != accumulator:
        k.op("and", NULL, pixels, PART - 1, set_flags=True)
        k.op("fadd", accumulator, accumulator, part, condition="zs")
        k.mov(part, 0, condition="zs")
    k.op("sub", pixels, pixels, 1, set_flags=True)
    k.branch("pixels", "any_zc")
    for _ in range(ahead):
        k.load_tmu(0)
        k.op(joined, part, part, R4)
    if part != accumulator:
        k.op("fadd", accumulator, accumulator, part)
    k.mov(R0, accumulator)
    k.op("fmul", accumulator, R0, scale)
    _finish(k, results, output, tiles)
    return k


def _ask_next_line(k: Assembler, address: Register) -> None:
    k.together(operation("add", address, address, R5), move(TMU0_S, address))


def _finish(k: Assembler, results: Results, output: Register, tiles: Register, words: int = LANES) -> None:
    results.compute_all(k)
    k.label("store")
    begin_store(k)
    results.write_high(k, results.registers)
    store_rows(k, 0, 1, output, words)
    end_store(k)
    k.op("sub", tiles, tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    leave(k)
