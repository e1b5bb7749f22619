"""The memory that the QPUs share with the CPU."""

from __future__ import annotations

from codegen.memory_space import GPU, MemorySpace

GPU_MEMORY = MemorySpace(GPU, 64, 512)
"""Its guard is larger than any read ahead of the QPUs, so that no line of a buffer is touched while reading another."""
