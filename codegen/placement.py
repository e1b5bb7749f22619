"""Where buffers lie in a memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codegen.memory_space import MemorySpace
from codegen.program import Region


@dataclass(frozen=True)
class Placement:
    """Where each buffer lies, in bytes from the start of all, and the bytes of all, the last guard included."""

    regions: Mapping[str, Region]
    size_bytes: int

    @staticmethod
    def side_by_side(sizes: Mapping[str, int], space: MemorySpace) -> Placement:
        """Buffers of which all are alive together."""
        regions: dict[str, Region] = {}
        position = 0
        for name, size in sizes.items():
            regions[name] = Region(name, position, size)
            position += space.taken_bytes(size)
        return Placement(regions, position)

    def behind(self, start: int) -> dict[str, Region]:
        """The regions in bytes from where `start` bytes lie before the first."""
        return {
            name: Region(name, start + region.offset_bytes, region.size_bytes)
            for name, region in self.regions.items()
        }
