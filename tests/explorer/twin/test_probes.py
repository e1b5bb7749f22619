"""Few questions to a board that takes other times than its twin."""

from __future__ import annotations

import pytest

from codegen.schedule import Candidate
from explorer.compose.compose import Composition
from explorer.twin.search import TwinSettings
from tests.explorer.fakes import Law, law_s
from tests.explorer.twin.test_twin_search import found

EVERYTHING = TwinSettings(heavy=2.0, best=99)


def slower(candidate: Candidate) -> float:
    return (5.0 if candidate.choice.algorithm == "plain" else 1.0) * law_s(candidate)


def close(candidate: Candidate) -> float:
    """The best of an algorithm are nearly equal."""
    fastest_s = 0.5e-4 if candidate.choice.algorithm == "quick" else 1e-4
    return fastest_s * (1 + 0.05 * (law_s(candidate) / fastest_s - 1))


def taken_s(plan: Composition, law: Law) -> float:
    return sum(law(step.timed.candidate) for step in plan.steps if not step.is_free)


def test_probes_are_as_many_as_allowed_and_each_of_another_candidate() -> None:
    result = found(slower, probes=3)
    assert len(set(result.asked)) == len(result.asked) == 3
    assert len(result.corrected.compositions) == 2


def test_without_probes_the_twins_plan_stands() -> None:
    first, last = found(slower, probes=0).corrected.compositions
    assert first == last
    assert taken_s(first, law_s) == pytest.approx(
        taken_s(found(law_s, settings=EVERYTHING).corrected.compositions[-1], law_s)
    )


def test_a_few_find_a_plan_between_that_of_the_twin_and_the_best() -> None:
    """On a board where each of many that are nearly as fast takes a little more or less than its share."""

    def uneven(candidate: Candidate) -> float:
        return (1.3 + 0.1 * int(candidate.hash[:2], 16) / 255) * close(candidate)

    result = found(uneven, probes=6, twins_law=close)
    best = found(uneven, settings=EVERYTHING, twins_law=close)
    first, last = (taken_s(plan, uneven) for plan in result.corrected.compositions)
    assert len(result.asked) == 6 < len(best.asked)
    assert taken_s(best.corrected.compositions[-1], uneven) <= last < first


def test_what_fails_on_the_board_is_in_no_plan() -> None:
    result = found(law_s, fails=lambda candidate: candidate.choice.algorithm == "plain", probes=6)
    last = result.corrected.compositions[-1]
    assert {step.timed.candidate.choice.algorithm for step in last.steps if step.node} == {"quick"}
