"""Pointwise convolution whose lanes are output channels: pixels are the scalars, of any number a tile.

A tile is 2 vectors of 16 output channels by 16 pixels of one block of the input and some more. The block's lines are
the stream of uniforms, 16 pixels of one channel after the other; the other pixels are lanes of a vector that a TMU
gathers from wherever they lie, and that rotation sends to all lanes (`rotated.ChannelSums`). Weights are lines.

Results are written to the VPM in columns and stored in rows, so that a line holds pixels of one channel again: first
32 channels of the block, then the other pixels' parts of lines, in two pieces where they lie in two blocks.

QPUs in step share lines in the L2: none begins a tile before all are `PAUSE` channels from the end of the one before.
Then lanes of the gathered vector that are left over bring lines of uniforms into the L2 before the FIFO asks for them.

The kernel's block: address of the first tile's words, number of tiles. Words of a tile:
    addresses of a line with the bytes from the input's first line to the gathered pixels, of the biases and of the
    weights of both vectors, the input's, `first_offset`, the address of the block's lines
    (in step) the token that the tile begins with (`Token`), the bytes of channels that are left when all meet, or 0,
    and the token that the QPU which gathers the others gives them
    then: with a residual the address of each pixel for each vector; low, high (where no epilogue is `coded`, and with a
    residual), the block's output address, then PIECES of DMA_WORDS: set-up of the store (0: none), of its stride,
    address
The addresses of weights and of the input lie `first_request` behind their first lines. Half floats of two neighbouring
input channels share a word, the first lowest, and the lines of both vectors alternate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move
from codegen.engines.videocore4.kernels.pace import give_tokens, take_token
from codegen.engines.videocore4.kernels.pieces import (
    advance,
    dma_store_rows,
    dma_store_stride,
    lane_bytes,
    stream_from,
    vpm_write_columns,
)
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.rotated import (
    PAIR_BYTES,
    STREAMED,
    ChannelSums,
    take_accumulators,
)
from codegen.engines.videocore4.kernels.tile import IN_FLIGHT, TileRegisters
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    ELEMENT,
    MUTEX,
    MUTEX_RELEASE,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    TMU_S,
    UNIFORM,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

VECTORS = 2
CHANNELS = VECTORS * LANES
GATHERED = range(1, 12)  # up to what the register files hold
PAIRED = LANES // 2  # gathered pixels of which a vector holds two input channels
PIECES = 2
DMA_WORDS = 3
PAUSE = 8  # channels: more, and the L2 has not room for what lies between the first and the last QPU
_PACE_WORDS = 3
_LINE_SHIFT = 6
assert 1 << _LINE_SHIFT == LINE_BYTES


def words_before(in_step: bool) -> int:
    """Words of a tile that its start reads."""
    return 4 + 2 * VECTORS + _PACE_WORDS * in_step


def words_behind(pixels: int, clamped: bool, residual: bool) -> int:
    """Words of a tile that its store reads."""
    return (VECTORS * pixels if residual else 0) + (2 if clamped else 0) + 1 + PIECES * DMA_WORDS


def alone(gathered: int, odd: bool) -> bool:
    """Whether a vector of gathered pixels is of one input channel: the last of an odd number has none beside it."""
    return odd or gathered > PAIRED


def piece_set_up(column: int, pixels: int) -> tuple[int, int]:
    """Set-ups of a DMA that stores some of the gathered pixels as parts of lines, and of its stride."""
    return dma_store_rows(CHANNELS, CHANNELS, pixels) | column << 3, dma_store_stride(LINE_BYTES - 4 * pixels)


@cache
def channel_lanes_kernel(
    pixels: int,
    odd: bool,
    epilogue: Expression | None = None,
    *,
    residual: bool = False,
    in_step: int = 0,
    halves: bool = False,
) -> Assembler:
    """Code for tiles of 32 output channels by `pixels`, of an odd or even number of input channels. `in_step`: how many
    QPUs keep in step, or 0. `halves`: weights are half floats, those of two input channels in one word.

    Raises ScheduleError where registers lack.
    """
    gathered = pixels - STREAMED
    if gathered not in GATHERED:
        least, most = STREAMED + GATHERED[0], STREAMED + GATHERED[-1]
        raise ScheduleError(f"{pixels} pixels: a tile has {least} to {most}")
    together = alone(gathered, odd)
    if halves and odd:
        raise ScheduleError("half floats are those of pairs of input channels")
    r, step, pace = _allocate(pixels, in_step)
    assert r.weight_lines is not None
    accumulators = [x for row in r.accumulators for x in row]
    results = Results.of(accumulators, epilogue, (UNIFORM, UNIFORM), r.free_at_store, residual=residual)
    parts = ("16a", "16b") if halves else ("", "")
    sums = ChannelSums(r, r.weight_lines, step, odd, alone=together, parts=parts)
    k = Assembler()
    k.mov(r.tile, UNIFORM)
    k.mov(r.tiles, UNIFORM)
    k.load(step, PAIR_BYTES if halves and not together else LINE_BYTES)
    k.label("tile")
    _start(k, r, pace)
    sums.add(k, None if pace is None else lambda k: _pause(k, r, pace))
    results.load_constants(k)
    k.label("store")
    stream_from(k, r.tile)
    advance(k, r.tile, words_behind(pixels, bool(results.bounds), residual))
    results.compute(k)
    if residual:
        _add_residual(k, accumulators)
    results.compute_low(k)
    _store(k, r, results)
    k.op("sub", r.tiles, r.tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


@dataclass(frozen=True)
class _Pace:
    """Registers of QPUs in step."""

    qpus: int
    rest: Register  # bytes of channels behind the pause
    gives: Register  # the token that the others get from this QPU


def _allocate(pixels: int, in_step: int) -> tuple[TileRegisters, Register, _Pace | None]:
    """A tile's registers, one for bytes from line to line, and those of QPUs in step."""
    pool = RegisterPool()
    accumulators = take_accumulators(pool, pixels)
    addresses = [pool.take("b") for _ in range(VECTORS)]
    gathered, step = pool.take("b"), pool.take("b")
    offset, tile, tiles = (pool.take("a") for _ in range(3))
    pace = _Pace(in_step, pool.take(), pool.take()) if in_step else None
    registers = TileRegisters(
        accumulators,
        vectors=[{}, {}],
        addresses=addresses,
        tile=tile,
        tiles=tiles,
        channels=offset,
        gather=None,
        rest=pool.rest(),
        weight_lines=gathered,
    )
    return registers, step, pace


def _start(k: Assembler, r: TileRegisters, pace: _Pace | None) -> None:
    stream_from(k, r.tile)
    lane_bytes(k, R2)
    k.op("add", TMU_S[0], R2, UNIFORM)
    for p in range(VECTORS):
        k.op("add", TMU_S[p], R2, UNIFORM)
    for address in r.addresses:
        k.op("add", address, R2, UNIFORM)
    assert r.weight_lines is not None
    k.load_tmu(0)
    k.op("add", r.weight_lines, R4, UNIFORM)
    k.mov(r.channels, UNIFORM)
    k.mov(R3, UNIFORM)
    advance(k, r.tile, words_before(pace is not None))
    if pace is not None:
        k.mov(R2, UNIFORM)
        k.mov(pace.rest, UNIFORM)
        k.mov(pace.gives, UNIFORM)
    for p, row in enumerate(r.accumulators):
        k.load_tmu(p)
        by_file = [[x for x in row if x.write_files == file] for file in ("a", "b")]
        shared = min(map(len, by_file))
        for one, other in zip(*by_file, strict=False):
            k.together(move(one, R4), move(other, R4))
        for register in (x for found in by_file for x in found[shared:]):
            k.mov(register, R4)
    stream_from(k, R3)
    if pace is not None:
        take_token(k, R2)


def _pause(k: Assembler, r: TileRegisters, pace: _Pace) -> None:
    """Once a tile, where there is a rest: all QPUs get here, then each may begin the next tile."""
    k.label("pause")
    k.mov(R0, pace.rest, set_flags=True)
    k.branch("last", "all_zs")
    k.label("meet")
    k.mov(pace.rest, 0)
    k.op("sub", r.channels, r.channels, R0)
    for register in (*r.addresses, r.weight_lines):
        assert register is not None
        k.op("add", register, register, R0)
    give_tokens(k, pace.gives, pace.qpus)
    k.branch("channels")


def _add_residual(k: Assembler, accumulators: list[Register]) -> None:
    """Adds pixels of another tensor: each lane asks for its own channel's line."""
    k.label("residual")
    k.mov(R0, ELEMENT)
    k.op("shl", R2, R0, _LINE_SHIFT)

    def request(number: int) -> None:
        k.op("add", TMU_S[number % len(TMU_S)], R2, UNIFORM)

    for number in range(IN_FLIGHT):
        request(number)
    for number, accumulator in enumerate(accumulators):
        k.load_tmu(number % len(TMU_S))
        k.op("fadd", accumulator, accumulator, R4)
        if number + IN_FLIGHT < len(accumulators):
            request(number + IN_FLIGHT)


def _store(k: Assembler, r: TileRegisters, results: Results) -> None:
    """The block's rows first: see `pieces.store_in_parts` for who may fill which rows when."""
    k.label("vpm")
    k.mov(NULL, MUTEX)
    k.load(VPM_WRITE_SETUP, dma_store_stride(0))
    k.load(VPM_WRITE_SETUP, vpm_write_columns(0))
    for row in r.accumulators:
        results.write_high(k, row[:STREAMED])
    k.mov(NULL, DMA_STORE_WAIT)
    k.load(VPM_WRITE_SETUP, dma_store_rows(0, CHANNELS))
    k.mov(DMA_STORE_ADDRESS, UNIFORM)
    k.mov(NULL, DMA_STORE_WAIT)
    for p, row in enumerate(r.accumulators):
        k.load(VPM_WRITE_SETUP, vpm_write_columns(CHANNELS + LANES * p))
        results.write_high(k, row[STREAMED:])
    for piece in range(PIECES):
        k.label(f"piece{piece}")
        k.mov(R0, UNIFORM, set_flags=True)
        k.mov(R1, UNIFORM)
        k.mov(R2, UNIFORM)
        k.branch(f"piece{piece + 1}", "all_zs")
        k.label(f"piece{piece}_present")
        k.mov(NULL, DMA_STORE_WAIT)
        k.mov(VPM_WRITE_SETUP, R1)
        k.mov(VPM_WRITE_SETUP, R0)
        k.mov(DMA_STORE_ADDRESS, R2)
    k.label(f"piece{PIECES}")
    k.mov(MUTEX_RELEASE, 0)
