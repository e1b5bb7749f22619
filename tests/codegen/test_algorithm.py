from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.algorithm import check_choice
from codegen.errors import ScheduleError
from codegen.plan import Plan
from microbench.profile import load_profile
from tests.codegen.planned import qpu_plan, small_network

PI_ZERO = load_profile("pi-zero").target()


@pytest.fixture(scope="module")
def plan() -> Plan:
    return qpu_plan(small_network())


def test_choices_that_algorithms_have_made_are_theirs(plan: Plan) -> None:
    for step in plan.steps:
        check_choice(step.spec, PI_ZERO, step.choice)


def test_a_changed_choice_is_refused(plan: Plan) -> None:
    for step in plan.steps:
        for changed in (
            replace(step.choice, split=(("qpus", 99),)),
            replace(step.choice, tile=(("rows", 999),)),
            replace(step.choice, input_layouts=("zigzag",) * len(step.inputs)),
            replace(step.choice, precision="float8"),
        ):
            with pytest.raises(ScheduleError, match="does not offer"):
                check_choice(step.spec, PI_ZERO, changed)


def test_an_algorithm_of_another_layer_is_refused(plan: Plan) -> None:
    last = plan.steps[-1]
    other = next(step for step in plan.steps if step.choice.algorithm != last.choice.algorithm)
    with pytest.raises(ScheduleError, match="does not offer"):
        check_choice(last.spec, PI_ZERO, other.choice)
    with pytest.raises(ScheduleError, match=r"unknown algorithm 'magic'.*known"):
        check_choice(last.spec, PI_ZERO, replace(last.choice, algorithm="magic"))
