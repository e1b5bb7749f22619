"""Parts of matrices that go into another order while a kernel computes: a QPU stops between two channels and has the
DMA engines move a part through the VPM, from rows to columns if need be. No register goes with it but one.

At a stop the uniforms are those of the tile; then the stream goes on where it was. The words of a stop: bytes of the
second matrix up to the next stop, or 0 behind the last one, with nothing else; bytes of the stop's words; 0 where QPUs
meet (see `pace`), and `Token` behind it, else stores, and 0. A store: where it goes to; set-up of the pitch of loads;
number of loads, set-up and address of each; set-ups of the store's stride and of its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.pace import give_tokens
from codegen.engines.videocore4.kernels.pieces import VPM_ROWS, dma_store_rows, stream_from
from codegen.engines.videocore4.registers import (
    DMA_LOAD_ADDRESS,
    DMA_LOAD_WAIT,
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    MUTEX,
    MUTEX_RELEASE,
    NULL,
    R0,
    UNIFORM,
    VPM_READ_SETUP,
    VPM_WRITE_SETUP,
    Register,
)

MEETING_WORDS = 4
FIRST_ROW = 32  # of the VPM, from which on parts lie: behind those that a tile's store fills first


@dataclass(frozen=True)
class Stops:
    """What a kernel does at its stops. `tile`: address of the tile's next words; `spare`: a register; `qpus`: how many
    keep in step, or 0.
    """

    tile: Register
    spare: Register
    qpus: int

    def emit(
        self,
        k: Assembler,
        go_on: Callable[[Assembler], None],
        back: Callable[[Assembler], None],
        end: Callable[[Assembler], None],
    ) -> None:
        """Behind the loop "channels". `go_on`: adds r0 to addresses and takes it from the counter, by no other of r0 to
        r5; `back`: sets the stream to the loop's next word, and writes none of them that the loop keeps; `end`: behind
        the last stop, whose word `tile` still names and the stream has left.
        """
        k.label("stop")
        stream_from(k, self.tile)
        k.mov(R0, UNIFORM, set_flags=True)
        k.branch("ends", "all_zs")
        k.label("goes_on")
        go_on(k)
        k.op("add", self.tile, self.tile, UNIFORM)
        k.mov(self.spare, UNIFORM, set_flags=True)
        if self.qpus:
            k.branch("repacks", "any_zc")
            k.label("meet")
            k.mov(NULL, DMA_STORE_WAIT)
            k.mov(self.spare, UNIFORM)
            give_tokens(k, self.spare, self.qpus)
            k.branch("back")
        k.label("repacks")
        _repack(k, self.spare)
        k.label("back")
        back(k)
        k.branch("channels")
        k.label("ends")
        end(k)


def _repack(k: Assembler, to: Register) -> None:
    """The store of a single word ends when all stores before it have, of other QPUs too: then their rows are free.

    The last store is not waited for: who takes the VPM next fills rows below `FIRST_ROW`, or waits for it so.
    """
    k.mov(NULL, MUTEX)
    k.load(VPM_WRITE_SETUP, dma_store_rows(VPM_ROWS - 1, 1, 1))
    k.mov(DMA_STORE_ADDRESS, to)
    k.mov(NULL, DMA_STORE_WAIT)
    k.label("part")
    k.mov(VPM_READ_SETUP, UNIFORM)
    k.mov(R0, UNIFORM)
    k.label("loads")
    k.mov(VPM_READ_SETUP, UNIFORM)
    k.mov(DMA_LOAD_ADDRESS, UNIFORM)
    k.op("sub", R0, R0, 1, set_flags=True)
    k.mov(NULL, DMA_LOAD_WAIT)
    k.branch("loads", "any_zc")
    k.label("stores")
    k.mov(NULL, DMA_STORE_WAIT)
    k.mov(VPM_WRITE_SETUP, UNIFORM)
    k.mov(VPM_WRITE_SETUP, UNIFORM)
    k.mov(DMA_STORE_ADDRESS, to)
    k.mov(to, UNIFORM, set_flags=True)
    k.branch("part", "any_zc")
    k.label("packed")
    k.mov(MUTEX_RELEASE, 0)
