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
    SWITCH = "0 or 1"
    TOLD = "stated by the board"
    FIXED = "the simulator knows no other value"
    CHOSEN = "chosen where memory is allocated"
    HIDDEN = "at one clock nothing tells it from memory_bytes_per_cycle"


NOT_FITTED = (Kind.TOLD, Kind.FIXED, Kind.HIDDEN, Kind.CHOSEN)


SWITCHES = frozenset({"fmul_rounds_to_nearest", "lowest_qpu_first"})
# Constants of which a board may have nothing, and about what it has else.
_OR_NOTHING = {"uniform_l2_extra_cycles": 77.0, "uniform_sdram_extra_s": 308e-9}

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
_SMALLEST = {**dict.fromkeys((*SWITCHES, *_OR_NOTHING), 0.0), "uniform_fifo_words": 0.0}
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
        if self.kind in (Kind.WHOLE, Kind.SWITCH):
            return float(round(bounded))
        if self.kind is Kind.POWER:
            return float(2.0 ** round(float(np.log2(bounded))))
        return bounded

    @property
    def may_be_absent(self) -> bool:
        """Whether a board may have nothing of it: 0, which no series of factors reaches."""
        return self.name in _OR_NOTHING

    @property
    def scale(self) -> float:
        """What the constant is where it is not 0."""
        return self.start or _OR_NOTHING.get(self.name, 0.0)

    def neighbours(self, value: float) -> tuple[float, ...]:
        """The possible values beside a discrete one."""
        if self.kind is Kind.POWER:
            beside: tuple[float, ...] = (value / 2, 2 * value)
        elif self.kind is Kind.WHOLE:
            beside = (value - 1, value + 1)
        elif self.kind is Kind.SWITCH:
            beside = (1.0 - value,)
        else:
            return ()
        return tuple(v for v in beside if self.low <= v <= self.high)

    def alternatives(self, value: float) -> tuple[float, ...]:
        """The neighbours, and nothing of it instead of something or the other way, where that may be."""
        other = (0.0 if value else self.scale,) if self.may_be_absent else ()
        return (*self.neighbours(value), *other)

    def varied(self, value: float, share: float) -> tuple[float, ...]:
        """The value less and more by a share of it, or of the scale where it is 0; discrete ones at least by a step."""
        if self.kind in (Kind.POWER, Kind.SWITCH):
            return self.neighbours(value)
        change = share * (value or self.scale)
        less, more = self.nearest(value - change), self.nearest(value + change)
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
    high = _LARGEST.get(name, (start or _OR_NOTHING.get(name, 0.0)) * _FACTOR)
    return Range(name, kind, start, low, high)


def _kind(name: str) -> Kind:
    if name in TOLD:
        return Kind.TOLD
    if name == "vpm_rows":
        return Kind.FIXED
    if name == "memory_is_cached":
        return Kind.CHOSEN
    if name == "sdram_bytes_per_s":
        return Kind.HIDDEN
    if name in SWITCHES:
        return Kind.SWITCH
    if name in _WHOLE:
        return Kind.WHOLE
    if name.endswith(("_bytes", "_ways")):
        return Kind.POWER
    return Kind.REAL
