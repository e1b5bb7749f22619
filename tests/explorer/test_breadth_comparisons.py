"""How outputs are compared in the study of breadth: by place, and detections as sets."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.networks.comparisons import BY_PLACE, AsSets, Comparison

AS_SETS = AsSets(threshold=0.1, most=6)
TOLERANCE = 1e-4


def detections() -> list[NDArray[np.float64] | NDArray[np.int64]]:
    """Five, of which the second and the third have next to the same score."""
    boxes = np.array(
        [[0, 0, 10, 10], [20, 0, 40, 30], [5, 50, 25, 70], [60, 60, 90, 80], [61, 61, 90, 80]], dtype=float
    )
    return [boxes, np.array([0.9, 0.5000001, 0.5, 0.3, 0.2]), np.array([1, 1, 2, 3, 4])]


def off(change: str) -> float:
    """The error of detections that are changed, compared as sets."""
    boxes, scores, labels = detections()
    if change == "a corner":
        boxes[0, 2] += 1.0
    elif change == "a box elsewhere":
        boxes[3] += 40.0
    elif change == "a score":
        scores[1] += 0.01
    elif change == "a label":
        labels[2] = 7
    elif change == "not a number":
        scores[2] = np.nan
    elif change == "two labels exchanged":  # of boxes that overlap
        labels[3], labels[4] = labels[4], labels[3]
    return AS_SETS.error([boxes, scores, labels], detections())


@pytest.mark.parametrize(
    "change",
    ["a corner", "a box elsewhere", "a score", "a label", "not a number", "two labels exchanged"],
)
def test_a_wrong_detection_is_no_matter_of_rounding(change: str) -> None:
    assert not off(change) <= 100 * TOLERANCE


def test_neighbours_that_change_places_are_the_same_set() -> None:
    order = [0, 2, 1, 3, 4]
    swapped = [value[order] for value in detections()]
    assert AS_SETS.error(swapped, detections()) == 0.0
    assert BY_PLACE.error(swapped, detections()) > 0.1


def test_errors_are_relative_to_the_spread_of_all() -> None:
    boxes, scores, labels = detections()
    moved = AS_SETS.error([boxes + 0.01, scores, labels], detections())
    assert moved == pytest.approx(0.01 / boxes.std())
    assert AS_SETS.error([boxes, scores + 0.001, labels], detections()) == pytest.approx(0.001 / scores.std())


def test_what_one_side_lacks_is_judged_by_the_threshold_where_that_side_has_room() -> None:
    boxes, scores, labels = detections()
    scores[4] = 0.1 + 1e-6
    whole, lacking = [boxes, scores, labels], [boxes[:4], scores[:4], labels[:4]]
    for mine, theirs in ((whole, lacking), (lacking, whole)):
        assert AS_SETS.error(mine, theirs) < TOLERANCE
    assert AS_SETS.error([value[:3] for value in whole], whole) > 0.1  # lacks one of 0.3 too


def test_what_one_side_lacks_is_judged_by_its_least_score_where_it_is_full() -> None:
    full, (boxes, scores, labels) = AsSets(threshold=0.1, most=4), detections()
    scores[4] = scores[3] - 1e-6
    first, other = [0, 1, 2, 3], [0, 1, 2, 4]
    mine, theirs = ([value[order] for value in (boxes, scores, labels)] for order in (first, other))
    assert full.error(mine, theirs) < TOLERANCE
    assert AS_SETS.error(mine, theirs) > 0.1  # there is room for both


@pytest.mark.parametrize("found", [0, 1])
def test_one_detection_or_none(found: int) -> None:
    some, none = [value[:1] for value in detections()], [value[:0] for value in detections()]
    assert AS_SETS.error(some, some) == AS_SETS.error(none, none) == 0.0
    pair = (some, none) if found else (none, some)
    assert AS_SETS.error(*pair) > 0.1


@pytest.mark.parametrize("comparison", [BY_PLACE, AS_SETS])
def test_a_comparison_says_what_it_is(comparison: Comparison) -> None:
    assert comparison.name in ("by place", "as sets")
    assert comparison.error(detections(), detections()) == 0.0


def test_boxes_without_area_are_told_apart_by_their_scores() -> None:
    line = np.array([[0.0, 0.0, 0.0, 160.0]] * 3 + [[10.0, 10.0, 50.0, 90.0]])
    wanted = [line, np.array([0.9, 0.8, 0.7, 0.6]), np.array([2, 2, 2, 1])]
    swapped = [value[[1, 0, 2, 3]] for value in wanted]
    assert AS_SETS.error(swapped, wanted) == 0.0
    assert AS_SETS.error([line, np.array([0.9, 0.8, 0.5, 0.6]), wanted[2]], wanted) > 0.1
