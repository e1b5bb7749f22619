"""Planes resized: each element is a weighted sum of few elements, by weights for rows times weights for columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen.errors import GraphSpecError
from codegen.interval import ANYTHING, Interval
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.tensor import Doubles, TensorType
from codegen.windows import require_planes

Places = tuple[tuple[int, ...], ...]
Weights = tuple[tuple[float, ...], ...]
MOST_TAPS = 4  # along an axis: of a cubic kernel


@dataclass(frozen=True)
class Interpolation(Operator):
    """Row y of the result is the sum of the rows `row_places[y]`, each times its weight; so are its columns.

    Every row has as many places; of those that it does not need the weight is 0.

    Fields:
        row_places: for each row of the result, the rows of the input that it is made of
        row_weights: the factor of each of these
        column_places: for each column of the result, the columns of the input that it is made of
        column_weights: the factor of each of these
    """

    row_places: Places
    row_weights: Weights
    column_places: Places
    column_weights: Weights

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        require_planes(self, source.shape)
        axes = (self.row_places, self.row_weights), (self.column_places, self.column_weights)
        for (places, own), size in zip(axes, source.shape[2:], strict=True):
            taps = {len(row) for row in (*places, *own)}
            if not places or len(places) != len(own) or len(taps) != 1 or 0 in taps:
                raise GraphSpecError(f"Interpolation with {len(places)} places and {len(own)} weights")
            if not all(0 <= place < size for row in places for place in row):
                raise GraphSpecError(f"Interpolation reads beyond an axis of {size} elements")
        return (replace(source, shape=(*source.shape[:2], len(self.row_places), len(self.column_places))),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        rows = np.einsum(
            "ncytx,yt->ncyx", inputs[0][:, :, np.array(self.row_places)], np.array(self.row_weights)
        )
        columns = rows[..., np.array(self.column_places)]
        return (np.einsum("ncyxt,xt->ncyx", columns, np.array(self.column_weights)),)

    def describe(self) -> str:
        return f"Interpolation {len(self.row_places[0])}x{len(self.column_places[0])}"

    def range(self, inputs: Sequence[Interval]) -> Interval:
        every = [weight for row in (*self.row_weights, *self.column_weights) for weight in row]
        return inputs[0] if min(every) >= 0.0 and self._sums_to_one else ANYTHING

    @property
    def _sums_to_one(self) -> bool:
        return all(sum(row) <= 1.0 + 1e-9 for row in (*self.row_weights, *self.column_weights)) and all(
            sum(row) >= 1.0 - 1e-9 for row in (*self.row_weights, *self.column_weights)
        )


def axis_taps(matrix: Doubles) -> tuple[Places, Weights] | None:
    """Places and weights of a matrix's rows; None where one has more than MOST_TAPS elements that are not 0."""
    used = matrix != 0.0
    count = max(1, int(used.sum(axis=1).max()))
    if count > MOST_TAPS:
        return None
    places = np.argsort(~used, axis=1, kind="stable")[:, :count]
    weights = np.take_along_axis(matrix, places, axis=1)
    return (
        tuple(tuple(map(int, row)) for row in places),
        tuple(tuple(map(float, row)) for row in weights),
    )
