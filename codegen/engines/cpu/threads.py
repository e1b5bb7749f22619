"""Kernels shared out over threads: how many there may be, and the C text of the share that each one computes."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.schedule import Axis, AxisNames, Point
from codegen.target import Target

# What the split axis `shared` says that threads share. Where neighbouring layers share out alike, a core finds what it
# wrote itself: rows or pixels of all channels, or all pixels of some channels.
PIXELS_SHARED, CHANNELS_SHARED = "pixels", "channels"
SHARED_NAMES: AxisNames = {"shared": (PIXELS_SHARED, CHANNELS_SHARED)}
LINE = 16  # elements of 64 bytes: threads whose shares end there rarely write to one cache line


def threads_axis(target: Target) -> Axis:
    """1, 2, 4, ... threads up to the board's cores, and as many as these."""
    powers = (1 << exponent for exponent in range(target.cores.bit_length()))
    return Axis("threads", tuple(sorted({*powers, target.cores})), "split")


def shared_axis(target: Target) -> Axis:
    """What threads share; one core shares nothing."""
    return Axis("shared", (PIXELS_SHARED, CHANNELS_SHARED) if target.cores > 1 else (PIXELS_SHARED,), "split")


def nothing_shared(point: Point) -> str | None:
    """Why there is no kernel at a point, or None."""
    if point["threads"] == 1 and point["shared"] != PIXELS_SHARED:
        return "one thread shares nothing"
    return None


@dataclass(frozen=True)
class Share:
    """`count` things in pieces of `unit` neighbours, as evenly as whole pieces go over `threads` parts.

    The thread of number `part` computes those from `first` to `end`, which is not included. With one thread these
    are literals: its code is what it would be without threads.
    """

    count: int
    threads: int
    unit: int = 1

    @property
    def declaration(self) -> str:
        """C statements at the top of a function with the parameter `part`."""
        if self.threads == 1:
            return "(void)part;"
        end = f"(part + 1) * {self.pieces} / {self.threads}"
        if self.unit > 1:
            end = f"part == {self.threads - 1} ? {self.count} : {end} * {self.unit}"
        first = f"part * {self.pieces} / {self.threads}{f' * {self.unit}' if self.unit > 1 else ''}"
        return f"const int first = {first}, end = {end};"

    @property
    def first(self) -> str:
        return "0" if self.threads == 1 else "first"

    @property
    def end(self) -> str:
        return str(self.count) if self.threads == 1 else "end"

    @property
    def pieces(self) -> int:
        return -(-self.count // self.unit)

    @property
    def balance(self) -> float:
        """The largest share as a multiple of an even one (`Work.balance`)."""
        return -(-self.pieces // self.threads) * self.threads / self.pieces


def own_workspace(threads: int, bytes_each: int) -> str:
    """The C expression for a thread's part of the workspace, float32 elements."""
    return (
        "(float *)workspace" if threads == 1 else f"(float *)workspace + part * {bytes_each // FLOAT_BYTES}"
    )


def share_of_tiles(shared: str, threads: int, tiles: int, blocks: int, unit: int) -> Share:
    """Of kernels that compute `unit` blocks of channels of a tile at a time: tiles, or blocks, by what is `shared`."""
    return Share(tiles, threads) if shared == PIXELS_SHARED else Share(blocks, threads, unit)


def spans_of_tiles(share: Share, shared: str, tiles: int, blocks: int) -> str:
    """C text of a thread's first and last block of channels and of its first and last tile, the last not included."""
    own = f"{share.first}, {share.end}"
    return f"0, {blocks}, {own}" if shared == PIXELS_SHARED else f"{own}, 0, {tiles}"
