"""The memories that a bundle has, by name: the host's, and one that it shares with a GPU."""

from __future__ import annotations

from dataclasses import dataclass

HOST, GPU = "host", "gpu"


@dataclass(frozen=True)
class MemorySpace:
    """A memory in which activations lie. Buffers begin at multiples of `alignment_bytes`; the `guard_bytes` behind one
    belong to nothing that lives with it.
    """

    name: str
    alignment_bytes: int
    guard_bytes: int = 0

    def taken_bytes(self, size_bytes: int) -> int:
        """What a buffer takes: whole lines and its guard."""
        return -(-size_bytes // self.alignment_bytes) * self.alignment_bytes + self.guard_bytes


HOST_MEMORY = MemorySpace(HOST, 64)
