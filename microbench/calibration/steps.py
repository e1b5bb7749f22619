"""Sizes read off the measurements themselves: where a time leaves a plateau as a footprint grows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

STEP = 0.01  # share of a time that counts as a step
_FILLED = 0.75  # of a power of two: what the footprints are


def cache_sizes(measured: Mapping[str, float]) -> dict[str, float]:
    """Bytes and ways of the caches that show steps, by constant's name."""
    latency = _curve(measured, r"tmu\.latency\.footprint=(\d+)")
    conflicts = _curve(measured, r"tmu\.latency\.conflicts=(\d+)")
    loops = _curve(measured, r"icache\.lines=(\d+)\.qpus=1$")
    per_line = [(lines, time_s / lines) for lines, time_s in loops if lines % 3 == 0]
    found = {
        "tmu_l1_bytes": _power(_end_of_first_plateau(latency)),
        "l2_bytes": _power(_begin_of_last_plateau(latency)),
        "l2_ways": _begin_of_last_plateau(conflicts),
        "icache_bytes": _power(_end_of_first_plateau([(64 * lines, time_s) for lines, time_s in per_line])),
    }
    return {name: value for name, value in found.items() if value is not None}


def pause_instructions(measured: Mapping[str, float]) -> float | None:
    """The pause after which a burst of uniforms runs ahead: where a longer gap between bursts takes less time.

    Between bursts lie the gap and the loop's counter, which is the one instruction more. None without such a gap.
    """
    curve = _curve(measured, r"uniform\.burst\.words=064\.gap=(\d+)\.qpus=1$")
    drops = [
        (after / before, gap) for (_, before), (gap, after) in pairwise(curve) if after < before * (1 - STEP)
    ]
    return min(drops)[1] + 1 if drops else None


def _curve(measured: Mapping[str, float], pattern: str) -> list[tuple[float, float]]:
    """(what the name's number says, seconds), ascending."""
    matches = ((re.match(pattern, name), time_s) for name, time_s in measured.items())
    return sorted((float(match[1]), time_s) for match, time_s in matches if match)


def _end_of_first_plateau(curve: Iterable[tuple[float, float]]) -> float | None:
    """The largest place as fast as the first; None where there is no step."""
    points = list(curve)
    flat = [place for place, time_s in points if time_s <= points[0][1] * (1 + STEP)]
    return max(flat) if 0 < len(flat) < len(points) else None


def _begin_of_last_plateau(curve: Iterable[tuple[float, float]]) -> float | None:
    """The largest place faster than the last; None where there is no step."""
    points = list(curve)
    faster = [place for place, time_s in points if time_s < points[-1][1] * (1 - STEP)]
    return max(faster) if faster else None


def _power(footprint: float | None) -> float | None:
    return None if footprint is None else footprint / _FILLED
