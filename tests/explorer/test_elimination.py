from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.elimination import Factor, minimise
from explorer.errors import CompositionError


@st.composite
def factor_graphs(draw: st.DrawFn) -> tuple[list[int], list[Factor]]:
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=6))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scopes = draw(
        st.lists(
            st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=3, unique=True),
            min_size=1,
            max_size=8,
        )
    )
    factors = []
    for scope in scopes:
        table = random.integers(0, 9, tuple(sizes[v] for v in scope)).astype(np.float64)
        table[random.random(table.shape) < 0.1] = np.inf
        factors.append(Factor(tuple(scope), table))
    return sizes, factors


def cost(factors: list[Factor], values: tuple[int, ...]) -> float:
    return float(sum(factor.table[tuple(values[v] for v in factor.scope)] for factor in factors))


@settings(max_examples=200, deadline=None)
@given(factor_graphs())
def test_it_finds_the_least_sum(problem: tuple[list[int], list[Factor]]) -> None:
    sizes, factors = problem
    least = min(cost(factors, values) for values in product(*(range(size) for size in sizes)))
    if least == float("inf"):
        with pytest.raises(CompositionError):
            minimise(sizes, factors)
        return
    found = minimise(sizes, factors)
    assert found.cost == least == cost(factors, found.values)


def test_a_chain_of_two_hundred_layers_is_exact_and_small() -> None:
    random = np.random.default_rng(3)
    tables = [random.integers(0, 99, (4, 4)).astype(np.float64) for _ in range(199)]
    found = minimise([4] * 200, [Factor((i, i + 1), table) for i, table in enumerate(tables)])
    forward = np.zeros(4)
    for table in tables:
        forward = (forward[:, None] + table).min(axis=0)
    assert found.cost == forward.min()


def test_a_problem_that_needs_a_huge_table_is_refused() -> None:
    count = 12
    factors = [
        Factor((i, j), np.ones((6, 6))) for i in range(count) for j in range(i + 1, count)
    ]  # fmt: skip
    with pytest.raises(CompositionError, match="densely"):
        minimise([6] * count, factors)


def test_a_table_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(CompositionError, match="shape"):
        minimise([2, 3], [Factor((0, 1), np.ones((3, 2)))])
