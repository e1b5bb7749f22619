"""Rows of up to 16 pixels anywhere in an image, of several channels, whose results stay in registers until they are
stored together, as few rows are dear to store: each row in two pieces, where it lies in two blocks of the output.

Words of a piece: set-up of the store (0: none), of its stride, address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.pieces import dma_store_rows, vpm_write_columns, vpm_write_rows
from codegen.engines.videocore4.layout import LANES
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    MUTEX,
    MUTEX_RELEASE,
    NULL,
    R0,
    R1,
    R2,
    UNIFORM,
    VPM_WRITE_SETUP,
    Register,
)

PIECES = 2
PIECE_WORDS = 3
VPM_TILES = 4  # of 16 rows by 16 columns


def vpm_slots(pixels: int) -> int:
    """How many QPUs have columns of the VPM, a column for each of so many pixels."""
    return VPM_TILES * (LANES // pixels)


def vpm_columns(slot: int, pixels: int) -> tuple[int, int]:
    """The set-up of a QPU's writes to its columns, and what its set-ups of stores are more than those from column 0."""
    tile, inside = divmod(slot, LANES // pixels)
    row, column = LANES * tile, pixels * inside
    return vpm_write_columns(row + column), dma_store_rows(row, 0, 0, column) - dma_store_rows(0, 0, 0)


@dataclass(frozen=True)
class OwnColumns:
    """Registers with a QPU's two words of `vpm_columns`."""

    writes: Register
    stores: Register


def make_room(k: Assembler, rows: Sequence[Sequence[Register]], unrolled: int) -> None:
    """Moves the results of all channels on, for those of the `unrolled` channels of a loop's next pass."""
    for channel in reversed(range(unrolled, len(rows[0]))):
        for row in rows:
            k.mov(row[channel], row[channel - unrolled])


def in_order(row: Sequence[Register], unrolled: int) -> list[Register]:
    """A row's results by channels, after the last pass: those of the first have moved furthest."""
    passes = [row[first : first + unrolled] for first in range(0, len(row), unrolled)]
    return [register for one in reversed(passes) for register in one]


def store_rows_in_pieces(
    k: Assembler,
    rows: Sequence[Sequence[Register]],
    write: Callable[[Assembler, Sequence[Register]], None],
    *,
    columns: bool = False,
    base: Register | None = None,
) -> None:
    """Each row in VPM rows of its own, and the VPM given back once the last DMA has started, as `store_in_parts`. Reads
    the words of all pieces. `columns`: registers hold a pixel of 16 channels each, instead of a channel; `base` is
    added to the addresses.
    """
    set_up, stride, address = R0, R1, R2
    k.label("vpm")
    k.mov(NULL, MUTEX)
    for number, row in enumerate(rows):
        if number == 1:
            k.mov(NULL, DMA_STORE_WAIT)
        set_up_write = vpm_write_columns(number * LANES) if columns else vpm_write_rows(number * len(row))
        k.load(VPM_WRITE_SETUP, set_up_write)
        write(k, row)
        for piece in range(PIECES):
            k.mov(set_up, UNIFORM, set_flags=True)
            k.mov(stride, UNIFORM)
            if base is None:
                k.mov(address, UNIFORM)
            else:
                k.op("add", address, base, UNIFORM)
            k.branch(f"stored{number}{piece}", "all_zs")
            k.label(f"piece{number}{piece}")
            k.mov(NULL, DMA_STORE_WAIT)
            k.mov(VPM_WRITE_SETUP, set_up)
            k.mov(VPM_WRITE_SETUP, stride)
            k.mov(DMA_STORE_ADDRESS, address)
            k.label(f"stored{number}{piece}")
    if len(rows) == 1:
        k.mov(NULL, DMA_STORE_WAIT)
    k.mov(MUTEX_RELEASE, 0)


def store_row_in_pieces(
    k: Assembler,
    row: Sequence[Register],
    write: Callable[[Assembler, Sequence[Register]], None],
    own: OwnColumns,
    base: Register,
) -> None:
    """A row of pixels of 16 channels, in the QPU's own columns of the VPM, once its last store has ended: no QPU waits
    for another. Reads the words of its pieces; `base` is added to the addresses.
    """
    k.label("vpm")
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(VPM_WRITE_SETUP, own.writes)
    write(k, row)
    set_up, stride, address = R0, R1, R2
    for piece in range(PIECES):
        k.mov(set_up, UNIFORM, set_flags=True)
        k.mov(stride, UNIFORM)
        k.op("add", address, base, UNIFORM)
        k.branch(f"stored{piece}", "all_zs")
        k.label(f"piece{piece}")
        k.mov(NULL, DMA_STORE_WAIT)
        k.op("add", VPM_WRITE_SETUP, set_up, own.stores)
        k.mov(VPM_WRITE_SETUP, stride)
        k.mov(DMA_STORE_ADDRESS, address)
        k.label(f"stored{piece}")
