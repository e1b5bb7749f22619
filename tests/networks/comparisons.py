"""How outputs are compared: by place, or as sets of detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from explorer.studies.foreign_networks import spread_error

AnyArray = NDArray[Any]
LEAST_OVERLAP = 0.5
"""Intersection over union from which on two boxes may be the same detection."""
MARGIN = 0.01
"""Of the spread of all corners, around boxes whose overlap is asked for."""


class Comparison(Protocol):
    """How far the outputs of one inference are from what is wanted, as `spread_error` has it."""

    @property
    def name(self) -> str: ...

    def error(self, own: Sequence[AnyArray], wanted: Sequence[AnyArray]) -> float: ...


@dataclass(frozen=True)
class ByPlace:
    """Every element with that in its place."""

    name: str = "by place"

    def error(self, own: Sequence[AnyArray], wanted: Sequence[AnyArray]) -> float:
        pairs = zip(own, wanted, strict=True)
        return max(
            (spread_error(np.asarray(mine), np.asarray(theirs)) for mine, theirs in pairs), default=0.0
        )


BY_PLACE = ByPlace()


@dataclass(frozen=True)
class AsSets:
    """Detections (boxes (N, 4) by corners, scores (N), labels (N)) as sets, for rounding changes the order of scores.

    Boxes of one label that overlap are the same detection, the nearest first: it is off by its corners, over the spread
    of all corners wanted, and by its score, over the spread of all scores wanted. What has no partner is off by the
    distance of its score from the cut of the side that lacks it, over the spread of scores: `threshold`, which scores
    exceed there, or the least score there, where that side has `most`.
    """

    threshold: float
    most: int
    name: str = "as sets"

    def error(self, own: Sequence[AnyArray], wanted: Sequence[AnyArray]) -> float:
        mine, theirs = _Side.of(own), _Side.of(wanted)
        box_spread, score_spread = _spread(theirs.boxes), _spread(theirs.scores)
        distances = np.maximum(
            np.abs(mine.boxes[:, None] - theirs.boxes[None]).max(-1, initial=0.0) / box_spread,
            np.abs(mine.scores[:, None] - theirs.scores[None]) / score_spread,
        )
        pairs = _partners(mine, theirs, distances, MARGIN * box_spread)
        errors = [float(distances[pair]) for pair in pairs]
        for side, other, paired in (
            (mine, theirs, {a for a, _ in pairs}),
            (theirs, mine, {b for _, b in pairs}),
        ):
            alone = [place for place in range(len(side.scores)) if place not in paired]
            errors += [abs(side.scores[place] - self._cut(other)) / score_spread for place in alone]
        return float(np.max(errors, initial=0.0))  # not a number, where one is

    def _cut(self, side: _Side) -> float:
        return float(side.scores.min()) if len(side.scores) >= self.most else self.threshold


@dataclass(frozen=True, eq=False)
class _Side:
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: AnyArray

    @classmethod
    def of(cls, outputs: Sequence[AnyArray]) -> _Side:
        boxes, scores, labels = outputs
        return cls(np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores, np.float64), labels)


def _partners(
    mine: _Side, theirs: _Side, distances: NDArray[np.float64], margin: float
) -> list[tuple[int, int]]:
    """Pairs of one label that overlap, the nearest first, none twice. A margin around all boxes lets those overlap that
    have no area.
    """
    grown = [side.boxes + np.array([-margin, -margin, margin, margin]) for side in (mine, theirs)]
    fits = (mine.labels[:, None] == theirs.labels[None]) & (_overlaps(*grown) >= LEAST_OVERLAP)
    left = np.where(fits & np.isfinite(distances), distances, np.inf)
    found: list[tuple[int, int]] = []
    for _ in range(min(left.shape)):
        a, b = np.unravel_index(int(left.argmin()), left.shape)
        if not np.isfinite(left[a, b]):
            break
        found.append((int(a), int(b)))
        left[a, :], left[:, b] = np.inf, np.inf
    return found


def _overlaps(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of all pairs of boxes (left, top, right, bottom): (N, M)."""
    low = np.maximum(mine[:, None, :2], theirs[None, :, :2])
    high = np.minimum(mine[:, None, 2:], theirs[None, :, 2:])
    shared = (high - low).clip(min=0.0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(min=0.0).prod(-1) for boxes in (mine, theirs)]
    whole = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0.0)


def _spread(values: NDArray[np.float64]) -> float:
    return float(values.std()) if values.size and values.std() > 0.0 else 1.0
