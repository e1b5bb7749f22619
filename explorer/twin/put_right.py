"""A plan that was searched on a virtual board, put right by the board that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from codegen.schedule import Candidate
from explorer.compose.compose import UNLIMITED, Composition
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidates, launchable
from explorer.plans.searched_network import SearchedNetwork
from explorer.strategies.through import times_through
from explorer.twin.probes import probed
from explorer.twin.search import Measure, TwinSettings, corrected
from explorer.twin.times import Corrected

_PROBED_PLANS = 2


@dataclass(frozen=True)
class Asking:
    """How much of a board's time it takes: a `twin` is trusted with all but the best and heaviest, or, where there are
    `probes`, the board takes so many measurements in all, the last of which are whole plans.
    """

    twin: TwinSettings = field(default_factory=TwinSettings)
    probes: int | None = None

    @property
    def plans(self) -> int:
        """Whole plans that are run at most."""
        return self.twin.plans if self.probes is None else _PROBED_PLANS


def put_right(found: SearchedNetwork, overheads: Overheads, measure: Measure, asking: Asking) -> Corrected:
    """`found` on the virtual board; `overheads` are the board's, of which `measure` asks. Raises as `measure` does, and
    CompositionError.
    """
    there = replace(found, overheads=overheads, best=None)

    def compose(timed: TimedCandidates) -> Composition:
        return replace(there, expected=timed).compose(UNLIMITED)

    if asking.probes is None:
        return corrected(found.result, found.profile, measure, compose, asking.twin)
    through = partial(_through, there)
    return probed(found.result, found.profile, measure, compose, through, asking.probes - _PROBED_PLANS)


def _through(found: SearchedNetwork, timed: TimedCandidates) -> Mapping[Candidate, float]:
    return times_through(found.network.graph, launchable(timed, found.target), found.overheads)
