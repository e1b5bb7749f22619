"""The loop that every microbenchmark is made of, and setup words of the VPM and of its DMA engines."""

from __future__ import annotations

from collections.abc import Callable

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import ELEMENT, NULL, R0, R1, UNIFORM, A, Register

Emit = Callable[[Assembler], None]

COUNTER = A(0)
LOOP_INSTRUCTIONS = 2  # of a counted loop beside its body: the counter's decrement and the branch


def nothing(asm: Assembler) -> None:
    """No instruction."""


def wait(asm: Assembler, instructions: int) -> None:
    """Instructions that do nothing."""
    for _ in range(instructions):
        asm.together()


def counted_loop(body: Emit, before: Emit = nothing, after: Emit = nothing) -> tuple[int, ...]:
    """A program whose first uniform is how often `body` runs.

    The body is kept in order, one item an instruction; the counter's decrement leads it, and a branch and its delay
    slots go on top where the body is shorter than they are. `before` and `after` run once, scheduled freely.
    """
    asm = Assembler()
    asm.mov(COUNTER, UNIFORM)
    before(asm)
    asm.verbatim("loop")
    asm.op("sub", COUNTER, COUNTER, 1, set_flags=True)
    body(asm)
    asm.branch("loop", "any_zc")
    after(asm)
    wait(asm, 2)
    asm.thread_end()
    return asm.assemble()


def lane_addresses(stride_bytes: int, destination: Register = R0) -> Emit:
    """Takes a base address from the uniforms and spreads the lanes `stride_bytes` (a power of two) apart from it."""

    def emit(asm: Assembler) -> None:
        shift = stride_bytes.bit_length() - 1
        asm.mov(R1, ELEMENT)
        for part in (shift // 2, shift - shift // 2):
            asm.op("shl", R1, R1, part)
        asm.op("add", destination, R1, UNIFORM)

    return emit


def discard(asm: Assembler, source: Register) -> None:
    """Reads a register-mapped input for its effect."""
    asm.mov(NULL, source)


def vpm_write_rows(row: int) -> int:
    """VPM block write setup (guide table 32): horizontal 32-bit vectors from a row on."""
    return 1 << 12 | 1 << 11 | 2 << 8 | row


def vpm_read_rows(row: int, rows: int) -> int:
    """VPM block read setup (guide table 33); 1 to 16 rows."""
    return (rows & 15) << 20 | vpm_write_rows(row)


def dma_store_rows(rows: int, words: int) -> int:
    """VDW basic setup (guide table 34): horizontal, 32 bits, from row 0; 1 to 128 rows of 1 to 128 words."""
    return 2 << 30 | (rows & 127) << 23 | (words & 127) << 16 | 1 << 14


def dma_store_stride(gap_bytes: int) -> int:
    """VDW stride setup (guide table 35, addendum): bytes between the end of a row and the next."""
    return 3 << 30 | gap_bytes


def dma_load_rows(rows: int, words: int) -> int:
    """VDR basic setup (guide table 36): horizontal, 32 bits, to row 0; 1 to 16 rows of 1 to 16 words."""
    return 1 << 31 | (words & 15) << 20 | (rows & 15) << 16 | 1 << 12


def dma_load_pitch(pitch_bytes: int) -> int:
    """VDR extended setup (guide table 37): bytes from row to row in memory."""
    return 9 << 28 | pitch_bytes
