"""Objectives: what plans are compared and priced by."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import UsageError
from explorer.objectives.objective import ENERGY, OBJECTIVES, Weights
from explorer.objectives.power import Power, power_of
from explorer.objectives.registry import objectives_for, weights_of
from explorer.objectives.usage import Usage, total
from microbench.errors import ProfileError
from microbench.profile import load_profile

PI = load_profile("pi-zero")
AMOUNTS = st.integers(0, 1000).map(float)
USAGES = st.builds(Usage, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
POWER = Power(idle_w=0.5, core_w=0.25, accelerator_w=2.0, byte_j=0.125)


@given(st.lists(USAGES, min_size=1, max_size=5))
def test_what_can_be_summed_is_the_sum_of_its_steps(parts: list[Usage]) -> None:
    for objective in OBJECTIVES:
        if objective.summed:
            assert objective.of(total(parts), POWER) == sum(objective.of(part, POWER) for part in parts)


@given(st.lists(USAGES, min_size=1, max_size=5), st.integers(0, 8), st.integers(0, 8))
def test_prices_of_steps_add_up_to_that_of_the_plan(parts: list[Usage], energy: int, cpu: int) -> None:
    weights = weights_of({"energy": energy, "cpu-time": cpu}, POWER)
    assert weights.of(total(parts)) == sum(weights.of(part) for part in parts)


@given(USAGES)
def test_energy_is_that_of_each_part_of_the_board(usage: Usage) -> None:
    parts = (
        Fraction(1, 2) * Fraction(usage.latency_s)
        + Fraction(1, 4) * Fraction(usage.cpu_s)
        + 2 * Fraction(usage.accelerator_s)
        + Fraction(1, 8) * Fraction(usage.traffic_bytes)
    )
    assert Fraction(ENERGY.of(usage, POWER)) == parts
    assert ENERGY.of(replace(usage, metered_j=7.0), POWER) == 7.0


def test_a_core_that_waits_draws_less_than_one_that_works() -> None:
    power = power_of(PI, PI.target())
    assert power is not None
    on_qpus = Usage(latency_s=0.1, accelerator_s=0.1)
    on_the_core = Usage(latency_s=0.1, cpu_s=0.1)
    idle = Usage(latency_s=0.1)
    assert power.modelled_j(idle) < power.modelled_j(on_qpus) < power.modelled_j(on_the_core)
    half = power_of(PI, PI.with_qpus(6).target())
    assert half is not None and half.accelerator_w == power.accelerator_w / 2


def test_energy_is_told_where_somebody_says_what_a_board_draws() -> None:
    host = load_profile("host")
    assert power_of(host, host.target()) is None
    assert ENERGY not in objectives_for(power_of(host, host.target()))
    assert ENERGY in objectives_for(power_of(PI, PI.target()))


def test_a_profile_that_says_half_of_it_is_refused() -> None:
    torn = type(PI).model_validate({**PI.model_dump(), "power": {"idle_w": PI.power["idle_w"]}})
    with pytest.raises(ProfileError, match=r"no constant power\.core_w"):
        power_of(torn, torn.target())
    assert torn.hash == PI.hash, "times do not depend on what a board draws"


@pytest.mark.parametrize("name", ["latency", "memory", "speed"])
def test_what_cannot_be_priced_is_refused_with_what_can(name: str) -> None:
    with pytest.raises(UsageError, match="there are cpu-time, energy"):
        weights_of({name: 1.0}, POWER)


def test_energy_has_no_price_where_nothing_is_known_of_it() -> None:
    with pytest.raises(UsageError, match="there are cpu-time "):
        weights_of({"energy": 1.0}, None)
    assert weights_of({}, None) == Weights()
