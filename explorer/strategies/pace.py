"""How much strategy `expected_gain` measures of what its predictions do not favour.

Where times are exact, whatever is found is gained. Where a clock is read, they are off by a few per cent, alone and
even more so against what a layer takes in its network, which rehearsals tell in the end: the fastest of many candidates
that are about equal owes most of its lead to chance. There a search keeps to what is predicted to be fast, more of one
kind at a time, and ends sooner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

TAILS = 1.12  # of deviations: errors of predictions fall further off than a normal distribution's


@dataclass(frozen=True)
class Pace:
    """`stop`: of the network's time, what all layers together may still gain. `least`: measurements of a layer, where
    there are so many programs; `dealt`: measurements that layers have at least, by their parts of the network's time.
    `alike`: of one layer, algorithm and lane in a batch. `tried`: layers that an algorithm is measured in, however
    little it promises: until then little is known of it. `interval`: deviations that are believed to lie from the
    centre to the end of an interval that holds eight of ten. `patience`: measurements after which a search whose
    plan changed by less than `worth` of its time with them believes no more promises; it gets slower where something
    was not as fast as it was believed to be, and there is more to find then.
    """

    stop: float
    least: int
    dealt: int
    alike: int
    tried: int
    interval: float
    patience: float = math.inf
    worth: float = 0.0

    def is_over(self, course: Sequence[tuple[int, float]]) -> bool:
        """Whether patience is over, by measurements so far and seconds of the plan before each round."""
        if not course:
            return False
        count, best_s = course[-1]
        before = [time_s for earlier, time_s in course if earlier <= count - self.patience]
        return bool(before) and abs(best_s / before[-1] - 1) < self.worth


EXACT = Pace(stop=0.003, least=12, dealt=240, alike=2, tried=3, interval=NormalDist().inv_cdf(0.9) / TAILS)
CLOCKED = Pace(stop=0.005, least=1, dealt=200, alike=4, tried=1, interval=2.0, patience=100, worth=0.005)
