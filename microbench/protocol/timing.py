"""How long a candidate is worked before its times count, and how long it is timed: the same for CPU and QPUs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """At least one untimed run and so many seconds of them; then at least so many seconds of timed runs in all.

    A clock that a governor lets sink while nobody works rises within `warm_up_s`; the time of one short run is little
    more than the resolution and the jitter of its clock, the mean of `minimum_total_s` of them is not. `most_runs`
    bounds how many runs one answer of a board may hold. `modelled`: a model keeps the clock, and no run goes before the
    one that it times: arrays are visited for the caches' sake.
    """

    warm_up_s: float = 0.02
    minimum_total_s: float = 0.02
    most_runs: int = 2000
    modelled: bool = False

    def warm_up_runs(self, once_s: float) -> int:
        """Untimed runs before the timed ones, given the time of one."""
        return max(1, min(self.most_runs, _times(self.warm_up_s, once_s)))

    def runs_per_repeat(self, once_s: float, repeats: int) -> int:
        """How many runs one repeat is the mean of, so that all repeats together last long enough."""
        return max(1, min(self.most_runs // repeats, _times(self.minimum_total_s / repeats, once_s)))


STANDARD = Timing()
MODELLED = Timing(warm_up_s=0.0, minimum_total_s=0.0, most_runs=1, modelled=True)


def repeats_of(runs_s: Sequence[float], repeats: int) -> tuple[float, ...]:
    """The mean time of a run of each repeat, from the runs of all of them in order.

    Raises ValueError where the runs are not as many for each.
    """
    if repeats < 1 or not runs_s or len(runs_s) % repeats:
        raise ValueError(f"{len(runs_s)} runs are not {repeats} repeats of equally many")
    return tuple(
        float(time_s) for time_s in np.asarray(runs_s, dtype=np.float64).reshape(repeats, -1).mean(axis=1)
    )


def _times(span_s: float, once_s: float) -> int:
    """How often a run of `once_s` fits, rounded up; a run that takes no time at all fits without end."""
    return math.ceil(min(span_s / once_s, 1e9)) if once_s > 0 else int(1e9)
