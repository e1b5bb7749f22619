"""VPM and DMA setup words of a vector that stands in one column of the VPM, as QPULib places it.

QPU q has column q. A DMA transfer of the vector is 16 rows of one word each.
"""

from __future__ import annotations

from codegen.engines.videocore4.registers import (
    DMA_STORE_WAIT,
    HOST_INTERRUPT,
    NULL,
    R0,
    R1,
    VPM_WRITE_SETUP,
    Register,
)
from microbench.suite.loops import wait
from microbench.suite.programs.paced import PacedAssembler

COLUMN_ROWS = 16
LOAD_BAND, STORE_BAND = 0, 32  # first rows of the VPM for what is loaded and what is stored
_DONE = 15  # semaphore

_VERTICAL_WORDS = (
    2 << 8
)  # guide tables 32 and 33: bit 11 would be horizontal; a stride of 0 stays where it is


def column_write() -> int:
    """VPM write setup (guide table 32); add the column."""
    return _VERTICAL_WORDS | STORE_BAND


def column_read() -> int:
    """VPM read setup of one vector (guide table 33); add the column."""
    return 1 << 20 | _VERTICAL_WORDS | LOAD_BAND


def column_store() -> int:
    """VDW basic setup (guide table 34): 16 rows of one word; add the column shifted left by 3."""
    return 2 << 30 | COLUMN_ROWS << 23 | 1 << 16 | 1 << 14 | STORE_BAND << 7


def column_load() -> int:
    """VDR basic setup (guide table 36): 16 rows of one word, placed below each other; add the column."""
    return 1 << 31 | 1 << 20 | 1 << 12 | 1 << 11 | LOAD_BAND << 4


def begin_columns(k: PacedAssembler, qpu: Register, store: Register) -> None:
    """Prepares for vectors to be written to the column of a QPU, and puts the setup of their stores into `store`."""
    k.load(R0, column_store())
    k.shl(R1, qpu, 3)
    k.add(store, R0, R1)
    k.load(R0, column_write())
    k.add(VPM_WRITE_SETUP, R0, qpu)


def end_columns(k: PacedAssembler, qpu: Register, qpus: int) -> None:
    """Waits for the last store; QPU 0 waits for the others and interrupts the host."""
    k.discard(DMA_STORE_WAIT)
    k.mov(NULL, qpu, set_flags=True)
    wait(k, 3)
    k.loop("others", "any_zc", "first")
    for _ in range(qpus - 1):
        k.acquire(_DONE)
    k.mov(HOST_INTERRUPT, 1)
    wait(k, 3)
    k.loop("end", "always", "others")
    k.release(_DONE)
    k.mark("end")
    wait(k, 1)
    k.thread_end()
