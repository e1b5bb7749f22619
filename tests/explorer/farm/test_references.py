"""Between the boards of a class reference kernels tell how much slower one is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.errors import FarmError
from explorer.farm.references import References
from microbench.store import Sample
from tests.microbench.measured import FINGERPRINT, sample


def reference(number: int, serial: str, time_s: float, elements: int = 16) -> Sample:
    own = sample(elements, replace(FINGERPRINT, serial_hash=serial), times_s=(time_s,))
    return replace(own, role="reference", id=number)


def taken(serial: str, time_s: float = 6.0) -> Sample:
    return sample(3, replace(FINGERPRINT, serial_hash=serial), times_s=(time_s,))


def test_the_factor_is_the_geometric_mean_over_the_references() -> None:
    found = References(
        [
            *(reference(1, "a", 1.0), reference(2, "a", 8.0, 8)),
            *(reference(3, "b", 2.0), reference(4, "b", 4.0, 8), reference(5, "b", 3.0, 4)),
        ]
    )
    assert found.base == "a"
    normalised = found.normalised(taken("b"))
    assert normalised.times_s == pytest.approx((6.0 * (0.5 * 2.0) ** 0.5,))
    assert normalised.normalisation is not None
    assert sorted(normalised.normalisation.reference_ids) == [1, 2, 3, 4]
    assert found.normalised(taken("a")) == taken("a")


def test_of_the_base_the_oldest_count_and_of_a_board_the_newest() -> None:
    times_s = [1.0, 1.0, 1.0, 9.0, 9.0, 9.0]
    found = References(
        reference(number, serial, time_s)
        for serial, first in (("a", 1), ("b", 11))
        for number, time_s in enumerate(times_s, first)
    )
    normalised = found.normalised(taken("b"))
    assert normalised.normalisation is not None
    assert normalised.normalisation.factor == pytest.approx(1 / 9)
    assert normalised.normalisation.reference_ids == (1, 2, 3, 14, 15, 16)


def test_a_board_without_a_common_reference_is_not_compared() -> None:
    found = References([reference(1, "a", 1.0), reference(2, "b", 1.0, 8)])
    for serial in ("b", "c"):
        with pytest.raises(FarmError, match="cannot be compared"):
            found.normalised(taken(serial))


def test_only_times_of_the_base_are_comparable() -> None:
    found = References([reference(1, "a", 1.0), reference(2, "b", 2.0)])
    assert found.is_comparable(taken("a"))
    assert found.is_comparable(found.normalised(taken("b")))
    assert not found.is_comparable(taken("b"))
    assert not found.is_comparable(taken("b").normalised(0.5, (1, 2), "c"))


def test_without_references_all_boards_of_a_class_are_the_same() -> None:
    found = References([taken("a"), replace(reference(1, "a", 1.0), status="failed", times_s=())])
    assert found.base is None
    assert found.normalised(taken("b")) == taken("b") and found.is_comparable(taken("b"))
