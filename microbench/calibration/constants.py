"""What kind of number each constant of a GPU is, and which values of it a fit may take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from microbench.profile import Constants
from microbench.suite.gpu import TOLD


class Kind(Enum):
    """How a constant varies."""

    REAL = "real"
    WHOLE = "whole number"
    POWER = "power of two"
    TOLD = "stated by the board"
    FIXED = "the simulator knows no other value"
    HIDDEN = "at one clock nothing tells it from memory_bytes_per_cycle"


NOT_FITTED = (Kind.TOLD, Kind.FIXED, Kind.HIDDEN)


SWITCHES = frozenset({"fmul_rounds_to_nearest", "lowest_qpu_first"})

_WHOLE = frozenset(
    {
        "issue_cycles",
        "icache_extra_cycles",
        "sfu_cycles",
        "sfu_recip_bits",
        "sfu_recipsqrt_bits",
        "sfu_exp_bits",
        "sfu_log_bits",
        "uniform_fifo_words",
        "uniform_l2_extra_cycles",
        "uniform_burst_words",
        "uniform_pause_instructions",
        "tmu_cycles_per_request",
        "tmu_hit_latency_cycles",
        "tmu_queue_depth",
        "l2_latency_cycles",
        "vpm_vector_cycles",
        "vpm_read_latency_cycles",
        "vpm_write_fifo_vectors",
    }
)
# The simulator's own bounds of what a machine may be.
_LARGEST = {
    "tmu_queue_depth": 8,
    "vpm_write_fifo_vectors": 8,
    "uniform_fifo_words": 15,
    **dict.fromkeys(SWITCHES, 1),
}
_SMALLEST = {**dict.fromkeys(SWITCHES, 0), "uniform_fifo_words": 0}
_FACTOR = 8.0  # how far from the start a fit may go


@dataclass(frozen=True)
class Range:
    """A constant's kind and the values it may take."""

    name: str
    kind: Kind
    start: float
    low: float
    high: float

    def nearest(self, value: float) -> float:
        """The possible value next to one (on a logarithmic scale for powers of two)."""
        bounded = min(max(value, self.low), self.high)
        if self.kind is Kind.WHOLE:
            return float(round(bounded))
        if self.kind is Kind.POWER:
            return float(2.0 ** round(float(np.log2(bounded))))
        return bounded

    def neighbours(self, value: float) -> tuple[float, ...]:
        """The possible values beside a discrete one."""
        if self.kind is Kind.POWER:
            beside = (value / 2, 2 * value)
        elif self.kind is Kind.WHOLE:
            beside = (value - 1, value + 1)
        else:
            return ()
        return tuple(v for v in beside if self.low <= v <= self.high)

    def varied(self, value: float, share: float) -> tuple[float, ...]:
        """The value less and more by a share; for discrete ones at least by a step."""
        if self.kind is Kind.POWER:
            return self.neighbours(value)
        less, more = self.nearest(value * (1 - share)), self.nearest(value * (1 + share))
        if self.kind is Kind.WHOLE:
            less, more = min(less, max(value - 1, self.low)), max(more, min(value + 1, self.high))
        return tuple(v for v in (less, more) if v != value)


def ranges(constants: Constants) -> dict[str, Range]:
    """Of every constant in a profile's table [v3d], in its order. Those not listed here are real numbers."""
    return {name: _range(name, constant.value) for name, constant in constants.items()}


def _range(name: str, start: float) -> Range:
    kind = _kind(name)
    smallest = 1.0 if kind in (Kind.WHOLE, Kind.POWER) else start / _FACTOR
    lowest = math.ceil(start / _FACTOR) if kind is Kind.WHOLE else start / _FACTOR
    low = _SMALLEST.get(name, max(smallest, lowest))
    return Range(name, kind, start, low, _LARGEST.get(name, start * _FACTOR))


def _kind(name: str) -> Kind:
    if name in TOLD:
        return Kind.TOLD
    if name == "vpm_rows":
        return Kind.FIXED
    if name == "sdram_bytes_per_s":
        return Kind.HIDDEN
    if name in _WHOLE | SWITCHES:
        return Kind.WHOLE
    if name.endswith(("_bytes", "_ways")):
        return Kind.POWER
    return Kind.REAL
