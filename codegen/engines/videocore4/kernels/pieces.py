"""Code that several kernels share: pixel coordinates, gather addresses, stores through the VPM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codegen.engines.videocore4.assembler import Assembler
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
    UNIFORM,
    UNIFORM_ADDRESS,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.program import WORD_BYTES

VPM_ROWS = 64
ROWS_WORTH_TWO_STORES = 8  # one's set-up is hidden then by the other's rows
ROW_WORDS = 16
MOST_PITCH_BYTES = 8191  # of loaded rows
MOST_STRIDE_BYTES = 8191  # between the end of a stored row and the next, as its setup has room for


def vpm_write_rows(first_row: int) -> int:
    """Setup of QPU writes: horizontal 32-bit rows from `first_row`, stride 1 (guide table 32)."""
    return 1 << 12 | 1 << 11 | 2 << 8 | first_row


def vpm_write_columns(first_row: int) -> int:
    """Setup of QPU writes: vertical 32-bit columns of 16 rows, on to those of the next 16 rows (guide table 32)."""
    return 1 << 12 | 2 << 8 | first_row


def dma_store_rows(first_row: int, rows: int, row_words: int = ROW_WORDS, first_word: int = 0) -> int:
    """Setup of a DMA store of VPM rows, or so many words of them, to consecutive addresses (guide table 34)."""
    return 2 << 30 | (rows % 128) << 23 | row_words << 16 | 1 << 14 | first_row << 7 | first_word << 3


def dma_store_stride(gap_bytes: int) -> int:
    """Bytes between the end of one stored row and the start of the next (guide table 35)."""
    return 3 << 30 | gap_bytes


def dma_load_rows(first_row: int, rows: int, pitch_bytes: int, vpm_pitch: int = 1) -> int:
    """Setup of a DMA load of up to 16 rows of 16 words to VPM rows `vpm_pitch` apart (guide table 36). A pitch that is
    no power of two is that of `dma_load_pitch`.
    """
    pitch = pitch_bytes.bit_length() - 4 if has_load_setup(pitch_bytes) else 0
    return 1 << 31 | pitch << 24 | rows % 16 << 16 | vpm_pitch << 12 | first_row << 4


def has_load_setup(pitch_bytes: int) -> bool:
    """Whether the setup of a DMA load has room for a pitch (guide table 36)."""
    return pitch_bytes.bit_count() == 1 and 16 <= pitch_bytes <= 8 << 15


def dma_load_pitch(pitch_bytes: int) -> int:
    """Bytes from the start of one loaded row to that of the next, where the load's setup has none (guide table 37)."""
    return 9 << 28 | (0 if has_load_setup(pitch_bytes) else pitch_bytes)


def dma_store_columns(first_row: int, columns: int, rows: int) -> int:
    """Setup of a DMA store of VPM columns, so many rows of each, to consecutive addresses (guide table 34)."""
    return 2 << 30 | columns << 23 | rows << 16 | first_row << 7


def lane_bytes(k: Assembler, destination: Register) -> None:
    """4 * lane number, the byte offset of a lane in a line."""
    k.mov(R0, ELEMENT)
    k.op("shl", destination, R0, 2)


def stream_from(k: Assembler, address: Register) -> None:
    """Moves the uniform stream; the scheduler keeps the two instructions before the next read."""
    k.mov(UNIFORM_ADDRESS, address)


def advance(k: Assembler, pointer: Register, words: int) -> None:
    """Adds a number of words to a pointer."""
    k.load(R0, WORD_BYTES * words)
    k.op("add", pointer, pointer, R0)


def begin_store(k: Assembler) -> None:
    """Takes the VPM: one QPU at a time fills rows and stores them."""
    k.mov(NULL, MUTEX)
    k.load(VPM_WRITE_SETUP, vpm_write_rows(0))
    k.load(VPM_WRITE_SETUP, dma_store_stride(0))


def end_store(k: Assembler) -> None:
    """Waits for the store's end, so that a later semaphore cannot overtake it, and gives the VPM back."""
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(MUTEX_RELEASE, 0)


def store_rows(
    k: Assembler, first_row: int, rows: int, address: Register, row_words: int = ROW_WORDS
) -> None:
    """DMA of VPM rows to consecutive 64-byte lines at a bus address; waits for the one before."""
    k.mov(NULL, DMA_STORE_WAIT)
    k.load(VPM_WRITE_SETUP, dma_store_rows(first_row, rows, row_words))
    k.mov(DMA_STORE_ADDRESS, address)


@dataclass(frozen=True)
class StoredPart:
    """VPM rows that one DMA stores: values in registers, to consecutive lines from `address` on.

    Without an address they follow those of the part before, whose address must not be read twice.
    """

    values: tuple[Register, ...]
    address: Register | None


def store_in_parts(
    k: Assembler,
    parts: Sequence[StoredPart],
    write: Callable[[Assembler, Sequence[Register]], None],
    gap: int | Register = 0,
    label: str = "vpm",
) -> None:
    """Stores parts in VPM rows of their own, and gives the VPM back once the last DMA has started.

    Whoever takes it next fills the first part's rows meanwhile, and other rows only when a store of its own has ended,
    which is after all earlier ones. One part alone is waited for. `write` copies values to the VPM. The kernel ends
    with a wait for its last store. `gap`: bytes from a line's end to the next line of its part, or a register with the
    set-up of that stride.
    """
    k.label(label)  # keeps the mutex behind what computes the values
    k.mov(NULL, MUTEX)
    if isinstance(gap, int):
        k.load(VPM_WRITE_SETUP, dma_store_stride(gap))
    else:
        k.mov(VPM_WRITE_SETUP, gap)
    row = 0
    for number, part in enumerate(parts):
        if number == 1:
            k.mov(NULL, DMA_STORE_WAIT)
        k.load(VPM_WRITE_SETUP, vpm_write_rows(row))
        write(k, part.values)
        k.mov(NULL, DMA_STORE_WAIT)
        k.load(VPM_WRITE_SETUP, dma_store_rows(row, len(part.values)))
        if part.address is None:
            k.load(R0, ROW_WORDS * WORD_BYTES * len(parts[number - 1].values))
            k.op("add", R1, R1, R0)
        else:
            k.mov(R1, part.address)
        k.mov(DMA_STORE_ADDRESS, R1)
        row += len(part.values)
    if len(parts) == 1:
        k.mov(NULL, DMA_STORE_WAIT)
    k.mov(MUTEX_RELEASE, 0)


def in_halves(values: Sequence[Register], address: Register) -> list[StoredPart]:
    """Consecutive lines as two parts, where there are enough of them."""
    if len(values) < ROWS_WORTH_TWO_STORES:
        return [StoredPart(tuple(values), address)]
    half = len(values) // 2
    return [StoredPart(tuple(values[:half]), address), StoredPart(tuple(values[half:]), None)]


@dataclass(frozen=True)
class WindowOrigin:
    """Registers with each lane's first input row and column, before padding is cut off."""

    row: Register
    column: Register


def window_origin(k: Assembler, origin: WindowOrigin, pixel: Register) -> None:
    """Output pixel numbers (one a lane) to window origins.

    Reads uniforms: 1 / width (float), width, row stride, top padding, column stride, left padding.
    The quotient is exact for images up to 2**22 pixels: half a pixel is added, and 0.5 / width exceeds the
    product's truncation error.
    """
    k.op("itof", R0, pixel)
    k.load(R1, 0.5)
    k.op("fadd", R0, R0, R1)
    k.op("fmul", R0, R0, UNIFORM)
    k.op("ftoi", R0, R0)
    k.op("mul24", R1, R0, UNIFORM)
    k.op("sub", R1, pixel, R1)
    k.op("mul24", R0, R0, UNIFORM)
    k.op("sub", origin.row, R0, UNIFORM)
    k.op("mul24", R1, R1, UNIFORM)
    k.op("sub", origin.column, R1, UNIFORM)


WINDOW_ORIGIN_WORDS = 6


def tap_address(
    k: Assembler,
    origin: WindowOrigin,
    *,
    base: Register,
    outside: Register,
    address: Register,
    increment: Register,
) -> None:
    """Where each lane finds one tap of its window, and how far its next channel is.

    `base`: the input's address, `outside`: the address a lane outside the input reads instead (both with the
    lane's byte offset where lines are shared). Reads uniforms: row offset, rows - 1, column offset, columns - 1,
    width, bytes from one block of 16 pixels to the next, bytes from channel to channel.
    """
    k.op("add", R0, origin.row, UNIFORM)
    k.op("max", R1, R0, 0)
    k.op("min", R1, R1, UNIFORM)
    k.op("xor", R2, R1, R0)  # not 0 where the row lies outside
    k.op("add", R1, origin.column, UNIFORM)
    k.op("max", R3, R1, 0)
    k.op("min", R3, R3, UNIFORM)
    k.op("xor", R3, R3, R1)
    k.op("or", NULL, R2, R3, set_flags=True)
    k.op("mul24", R0, R0, UNIFORM)
    k.op("add", R0, R0, R1)
    k.op("shr", R1, R0, 4)
    k.op("mul24", R1, R1, UNIFORM)
    k.op("and", R0, R0, 15)
    k.op("shl", R0, R0, 2)
    k.op("add", R0, R0, R1)
    k.op("add", address, R0, base)
    k.mov(address, outside, condition="zc")
    k.mov(increment, UNIFORM)
    k.mov(increment, 0, condition="zc")


TAP_WORDS = 7
