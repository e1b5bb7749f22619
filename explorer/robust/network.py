"""Times a searched network's candidates under further profiles and takes the plan with the least regret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from codegen.schedule import Candidate
from explorer.compose.compose import compose
from explorer.compose.timed_candidates import launchable
from explorer.plans.searched_network import SearchedNetwork
from explorer.robust.candidates import common, contenders, timed_anew, with_samples
from explorer.robust.minimax import Scenario, least_regret
from microbench.store import Sample

OWN = "as in the profile"

# Times candidates under the profile of that name: one sample each, in order.
TimeUnder = Callable[[str, Sequence[Candidate]], Sequence[Sample]]


def with_least_regret(found: SearchedNetwork, names: Sequence[str], time_under: TimeUnder) -> SearchedNetwork:
    """The searched network with the plan whose worst ratio to the best, over its profile and those named, is least.

    Overheads of launches are taken to be the same under all. Raises as `time_under` and `compose`.
    """
    taken = contenders(launchable(found.expected, found.target))
    candidates = timed_anew(taken)
    times = {OWN: taken}
    for name in names:
        samples = time_under(name, candidates)
        times[name] = launchable(with_samples(taken, samples), found.target)
    scenarios = [
        Scenario(name, timed, found.overheads)
        for name, timed in zip(times, common(times.values()), strict=True)
    ]
    composition, regret = least_regret(scenarios, partial(compose, found.network.graph))
    return replace(found, best=composition, regret=replace(regret, retimed=len(candidates)))
