"""The virtual VideoCore IV: a simulator in C that executes real QPU instruction words in simulated time."""

from __future__ import annotations

from microbench.virtual.execution import Execution, InstructionProfile, StaleRead, StaleReads, Warned
from microbench.virtual.gpu import Allocation, VirtualV3D
from microbench.virtual.trace import Interval, Trace

__all__ = [
    "Allocation",
    "Execution",
    "InstructionProfile",
    "Interval",
    "StaleRead",
    "StaleReads",
    "Trace",
    "VirtualV3D",
    "Warned",
]
