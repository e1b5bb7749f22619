"""The virtual VideoCore IV: a simulator in C that executes real QPU instruction words in simulated time."""

from __future__ import annotations

from microbench.virtual.gpu import Allocation, Execution, StaleRead, VirtualV3D

__all__ = ["Allocation", "Execution", "StaleRead", "VirtualV3D"]
