"""How times that a running clock gave are taken, and what they are worth."""

from __future__ import annotations

from microbench.protocol.drift import Limits, moved, throttle_advice
from microbench.protocol.order import Turn, turns
from microbench.protocol.statistics import Estimate, estimate, noise_floor, outliers

__all__ = [
    "Estimate",
    "Limits",
    "Turn",
    "estimate",
    "moved",
    "noise_floor",
    "outliers",
    "throttle_advice",
    "turns",
]
