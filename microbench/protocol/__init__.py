"""How times that a running clock gave are taken, and what they are worth."""

from __future__ import annotations

from microbench.protocol.drift import Limits, moved, throttle_advice
from microbench.protocol.order import Turn, turns
from microbench.protocol.repeats import (
    FEWEST_REFERENCES,
    Estimate,
    ReferenceTimes,
    estimate,
    noise_floor,
    outliers,
)
from microbench.protocol.timing import MODELLED, STANDARD, Timing, repeats_of

__all__ = [
    "FEWEST_REFERENCES",
    "MODELLED",
    "STANDARD",
    "Estimate",
    "Limits",
    "ReferenceTimes",
    "Timing",
    "Turn",
    "estimate",
    "moved",
    "noise_floor",
    "outliers",
    "repeats_of",
    "throttle_advice",
    "turns",
]
