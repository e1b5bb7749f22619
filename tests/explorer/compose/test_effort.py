from __future__ import annotations

from explorer.compose.compose import Limits, compose
from explorer.compose.effort import UNITS_PER_SECOND, Effort
from explorer.compose.held import Caps
from explorer.studies.composition_graphs import OVERHEADS, inception, synthetic_times


def test_effort_is_counted() -> None:
    effort = Effort(1.0)
    effort.spend(UNITS_PER_SECOND)
    assert not effort.is_spent()
    effort.spend(1)
    assert effort.is_spent()


def test_no_time_by_the_clock_ends_it_too() -> None:
    assert Effort(1.0, wall_s=-1.0).is_spent()


def test_what_little_effort_finds_is_the_same_every_time_and_not_proven() -> None:
    graph = inception(3)
    times = synthetic_times(graph, 0)
    caps = Caps(gpu_bytes=0.5 * compose(graph, times, OVERHEADS).gpu_bytes)
    limits = Limits(caps=caps, seconds=1e-3)
    found = compose(graph, times, OVERHEADS, limits)
    assert found == compose(graph, times, OVERHEADS, limits)
    assert found.gap > 0
    better = compose(graph, times, OVERHEADS, Limits(caps=caps, seconds=1.0))
    assert better.total_s * (1 - better.gap) >= found.total_s * (1 - found.gap)
    assert better.total_s <= found.total_s
