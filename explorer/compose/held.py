"""Where values live while a composition runs: copies of tensors in buffers, and what these take up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from codegen.engine import Engine
from codegen.engine_registry import memories
from codegen.memory_space import GPU, HOST

Place = Literal["caller", "lent", "arena", "gpu", "promised"]


class Buffer(NamedTuple):
    """Memory of one size. "caller": an array of whoever runs the network, not counted. Two places have to be earned:
    "lent", a caller's array for an output, of which a view has to become that output; and "promised", GPU memory that
    the CPU wrote and that the QPUs have to read.
    """

    name: str
    place: Place
    size_bytes: int


class Copy(NamedTuple):
    """A tensor in one layout; copies of several tensors share a buffer where one is a view or a part of another.

    `is_read`: no layout change made it, or somebody has read it; what is changed for nobody is not made.
    """

    tensor: str
    layout: str
    buffer: Buffer
    is_read: bool = True


@dataclass(frozen=True)
class Caps:
    """The most bytes of GPU memory and of the CPU's arena that activations may take; infinite where free."""

    gpu_bytes: float = float("inf")
    arena_bytes: float = float("inf")

    def keep(self, gpu_bytes: int, arena_bytes: int) -> bool:
        """Whether so much keeps within them."""
        return gpu_bytes <= self.gpu_bytes and arena_bytes <= self.arena_bytes


class Held(NamedTuple):
    """All copies that are still needed, sorted; the engine whose launch runs, and whether threads look for work."""

    copies: tuple[Copy, ...]
    launched: str = ""
    awake: bool = False

    def of(self, tensor: str) -> tuple[Copy, ...]:
        return tuple(copy for copy in self.copies if copy.tensor == tensor)

    def buffer(self, name: str) -> Buffer | None:
        return next((copy.buffer for copy in self.copies if copy.buffer.name == name), None)

    def with_copies(self, copies: Iterable[Copy]) -> Held:
        return self._replace(copies=tuple(sorted((*self.copies, *copies))))

    def without(self, dropped: Iterable[Copy]) -> Held:
        gone = frozenset(dropped)
        return self._replace(copies=tuple(copy for copy in self.copies if copy not in gone))

    def with_read(self, copies: Iterable[Copy]) -> Held:
        """The same where somebody has read these copies."""
        unread = {copy for copy in copies if not copy.is_read}
        if not unread:
            return self
        found = (copy._replace(is_read=True) if copy in unread else copy for copy in self.copies)
        return self._replace(copies=tuple(found))

    def read_by(self, engine: Engine, tensors: Sequence[Copy]) -> Held | None:
        """Promises kept where it reads GPU memory alone; None where a copy lies where the engine cannot read it."""
        if any(space_of(copy.buffer) not in engine.reads for copy in tensors):
            return None
        if HOST in engine.reads:
            return self
        names = {copy.buffer.name for copy in tensors}
        copies = (
            copy._replace(buffer=copy.buffer._replace(place="gpu")) if copy.buffer.name in names else copy
            for copy in self.copies
        )
        return self._replace(copies=tuple(copies))

    def bytes_in(self, *places: Place) -> int:
        """Bytes of the distinct buffers in those places; in GPU memory with the gaps between them."""
        seen: set[Buffer] = set()
        total = 0
        for copy in self.copies:
            buffer = copy.buffer
            if buffer.place in places and buffer not in seen:
                seen.add(buffer)
                total += _gpu_bytes(buffer.size_bytes) if space_of(buffer) == GPU else buffer.size_bytes
        return total


@cache
def _gpu_bytes(size_bytes: int) -> int:
    return memories()[GPU].taken_bytes(size_bytes)


def space_of(buffer: Buffer) -> str:
    """The name of the memory that a buffer lies in."""
    return GPU if buffer.place in ("gpu", "promised") else HOST
