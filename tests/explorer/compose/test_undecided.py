"""Where nothing that fits is found in time, that is said; it is not said that nothing fits."""

from __future__ import annotations

import pytest

from codegen.bundle.memory import MemoryUse
from explorer.compose.compose import Composition, Limits, compose
from explorer.compose.held import Caps
from explorer.compose.memory_cap import compose_within
from explorer.compose.steps import Overheads
from explorer.errors import CompositionError, UndecidedError
from explorer.objectives.usage import Usage
from explorer.studies.composition_graphs import SHAPES, synthetic_times


def test_a_search_that_finds_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.compose.effort.FIRST_ANSWER_S", 0.01)
    graph = SHAPES["unet-16"]()
    times = synthetic_times(graph, 0, False)
    free = compose(graph, times, Overheads(), Limits(seconds=0.01))
    with pytest.raises(UndecidedError, match="not all were looked at"):
        compose(
            graph, times, Overheads(), Limits(caps=Caps(arena_bytes=free.arena_bytes * 3 // 4), seconds=0.01)
        )


@pytest.mark.parametrize("known", [True, False])
def test_what_is_not_known_counts_in_the_gap(known: bool) -> None:
    cheap = Composition((), Usage(latency_s=8.0, gpu_bytes=10, arena_bytes=10), 0)
    dear = Composition((), Usage(latency_s=10.0, gpu_bytes=10, arena_bytes=4), 0)

    def composed(caps: Caps) -> Composition:
        if caps.gpu_bytes < 10:
            raise CompositionError("none") if known else UndecidedError("unknown")
        return cheap if caps.arena_bytes >= 10 else dear

    found = compose_within(16, composed, lambda c: MemoryUse(c.gpu_bytes, c.arena_bytes), lambda c: c.total_s)
    assert found.total_s == 10.0
    assert found.gap == pytest.approx(0.0 if known else 0.2)


def test_a_cap_of_which_nothing_is_known_is_not_said_to_be_too_small() -> None:
    def composed(caps: Caps) -> Composition:
        raise UndecidedError("unknown")

    with pytest.raises(UndecidedError):
        compose_within(16, composed, lambda _: MemoryUse(0, 0), lambda c: c.total_s)
