"""Tenants that meet lie apart, with their guards; others share."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.allocation import Allocation, Tenant, allocate

lives = st.tuples(st.integers(0, 2000), st.integers(-1, 20), st.integers(0, 12))
tenants = st.lists(lives, max_size=14).map(
    lambda rows: [Tenant(f"t{i}", size, first, first + age) for i, (size, first, age) in enumerate(rows)]
)


def most_alive(found: list[Tenant], guard_bytes: int) -> int:
    sizes = {t.name: -(-t.size_bytes // 64) * 64 + guard_bytes for t in found}
    moments = [sum(sizes[t.name] for t in found if t.first <= m <= t.last) for m in range(-1, 100)]
    return max(moments)


@given(tenants, st.sampled_from([0, 512]))
def test_tenants_that_meet_lie_apart_by_the_guard(found: list[Tenant], guard_bytes: int) -> None:
    allocation = allocate(found, 64, guard_bytes)
    assert set(allocation.offsets) == {t.name for t in found}
    spans = {t: (s := allocation.offsets[t.name], s + t.size_bytes + guard_bytes) for t in found}
    for number, (tenant, (start, end)) in enumerate(spans.items()):
        assert start >= 0 and start % 64 == 0 and end <= allocation.size_bytes
        for other, (other_start, other_end) in list(spans.items())[:number]:
            apart = end <= other_start or other_end <= start or not tenant.size_bytes or not other.size_bytes
            assert apart or tenant.last < other.first or other.last < tenant.first
    assert allocation.size_bytes >= most_alive(found, guard_bytes)


def test_a_chain_needs_the_two_largest_neighbours_only() -> None:
    sizes = [640, 1280, 64, 1920, 640, 128]
    chain = [Tenant(str(i), size, i, i + 1) for i, size in enumerate(sizes)]
    assert allocate(chain, 64).size_bytes == 1920 + 640
    assert allocate(chain, 64, 512).size_bytes == 1920 + 640 + 2 * 512


def test_tenants_of_one_moment_keep_their_order() -> None:
    together = [Tenant(name, size, 3, 3) for name, size in (("a", 10), ("b", 640), ("c", 64))]
    assert allocate(together, 64, 512) == Allocation({"a": 0, "b": 576, "c": 576 + 1152}, 576 + 1152 + 576)
    assert allocate([], 64) == Allocation({}, 0)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_of_many_is_wasted_beyond_a_fifth(seed: int) -> None:
    source = random.Random(seed)
    found = [Tenant(f"t{i}", source.randrange(64, 1 << 18), i, i + source.randrange(1, 8)) for i in range(80)]
    assert most_alive(found, 0) <= allocate(found, 64).size_bytes <= 1.2 * most_alive(found, 0)
