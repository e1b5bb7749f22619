"""Forms of the Winograd convolutions of 3x3 filters: what a tile is, and how its elements lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen.winograd import TAPS, Points

POINTS: Points = (0.5, 1.0)


class Form(NamedTuple):
    """Rows and columns of outputs of a tile, and the convolution's stride along both."""

    tile: int
    stride: int = 1

    @property
    def side(self) -> int:
        """Rows and columns of inputs of a tile, and of its elements."""
        return (self.tile - 1) * self.stride + TAPS

    @property
    def summed(self) -> tuple[tuple[int, ...], ...]:
        """Of a row of elements those that are summed up to each of the products."""
        return ((0, 1), (2,), (3, 4)) if self.stride > 1 else tuple((i,) for i in range(self.side))

    @property
    def products(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Of each product the (row, column) of its elements, in the order in which they lie in memory."""
        return tuple(
            tuple((row, column) for column in self.summed[across] for row in self.summed[down])
            for columns in COLUMNS[self]
            for across in columns
            for down in ROWS[self]
        )


STRIDED = Form(2, 2)
# Of the products, in order: the rows of a column, and the columns that are in registers at a time.
ROWS = {Form(2): (1, 2, 0, 3), Form(4): (1, 2, 3, 4, 0, 5), STRIDED: (0, 1, 2)}
COLUMNS = {Form(2): ((0, 1, 2, 3),), Form(4): ((0, 1, 2), (3, 4, 5)), STRIDED: ((0, 1, 2),)}
# Of a line, in order.
READ = {Form(2): ((0, 2, 1, 3),), Form(4): ((2, 4, 0, 1, 3), (2, 4, 1, 3, 5)), STRIDED: ((0, 2, 4, 1, 3),)}


def row_coefficients(form: Form) -> NDArray[np.float64]:
    """[column of products][column of outputs]: what outputs are sums with."""
    tile = form.tile
    if form == STRIDED:
        return np.array([[1, 0], [1, 1], [0, 1]], np.float64)
    powers = np.arange(tile)
    points = (1.0, -1.0) if tile == 2 else tuple(sign * point for point in POINTS for sign in (1.0, -1.0))
    rows = [powers == 0, *(np.power(point, powers) for point in points), powers == tile - 1]
    return np.array(rows, np.float64)


def element_order(form: Form) -> tuple[tuple[int, int], ...]:
    """(row, column) of each element of a transformed tile."""
    return tuple(element for product in form.products for element in product)
