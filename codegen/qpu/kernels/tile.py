"""What the GEMM kernels share: a tile's registers, its start, its biases and its store."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.qpu.assembler import Assembler, move, operation
from codegen.qpu.kernels.pieces import (
    WINDOW_ORIGIN_WORDS,
    WindowOrigin,
    advance,
    begin_store,
    end_store,
    lane_bytes,
    store_rows,
    stream_from,
    write_clamped,
)
from codegen.qpu.registers import R0, R3, R5, TMU_S, UNIFORM, Register

LINE_BYTES = 64


def words_before_weights(blocks: int, gather: bool) -> int:
    """Words of a tile before its weights are streamed."""
    return blocks * (1 + WINDOW_ORIGIN_WORDS if gather else 1) + 1


def words_after_weights(blocks: int) -> int:
    """Words of a tile that its store reads."""
    return 2 + blocks


@dataclass
class TileRegisters:
    """Everything a tile keeps in registers."""

    accumulators: list[list[Register]]  # [block][channel]
    vectors: list[dict[str, Register]]  # [block]: the current input line, by file
    addresses: list[Register]
    increments: list[Register]  # empty: every line is 64 bytes behind the last
    origins: list[WindowOrigin]
    tile: Register
    tiles: Register
    channels: Register
    taps: Register | None
    base: Register | None
    outside: Register | None


def start_direct(k: Assembler, r: TileRegisters) -> None:
    lane_bytes(k, R0)
    for address in r.addresses:
        k.op("add", address, R0, UNIFORM)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)


def load_biases(k: Assembler, r: TileRegisters) -> None:
    for column in zip(*r.accumulators, strict=True):
        first, rest = column[0], column[1:]
        partner = next((x for x in rest if x.write_files != first.write_files), None)
        if len(column) == 1:
            k.mov(first, UNIFORM)
        elif len(column) == 2 and partner is not None:
            k.together(move(first, UNIFORM), move(partner, UNIFORM))
        else:
            k.mov(R0, UNIFORM)
            for accumulator in column:
                k.mov(accumulator, R0)


def request_lines(k: Assembler, r: TileRegisters) -> None:
    """Asks for each block's line and moves on to the next channel's in the same instruction."""
    for p, address in enumerate(r.addresses):
        step = r.increments[p] if r.increments else R5
        k.together(operation("add", address, address, step), move(TMU_S[p % 2], address))


def store_tile(k: Assembler, r: TileRegisters) -> None:
    k.label("store")  # keeps the mutex out of the last multiplications
    stream_from(k, r.tile)
    advance(k, r.tile, words_after_weights(len(r.vectors)))
    begin_store(k)
    channels = len(r.accumulators[0])
    write_clamped(k, [x for row in r.accumulators for x in row], UNIFORM, UNIFORM)
    for p in range(len(r.vectors)):
        store_rows(k, p * channels, channels, UNIFORM)
    end_store(k)
