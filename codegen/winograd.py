"""Winograd's minimal filtering F(m x m, 3 x 3): the filters' side, which is the same for every engine.

F(4 x 4) is interpolated at 0, two pairs of points and infinity; each engine has points that suit it, and code of its
own for inputs and products (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016, and the Toom-Cook
interpolation that they take it from).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codegen.tensor import FloatArray

TAPS = 3
TILES = (2, 4)
Points = tuple[float, float]  # of which both signs count; F(2 x 2) has 0, 1, -1 and infinity


def filter_matrix(tile: int, points: Points) -> NDArray[np.float64]:
    """G of shape (tile + 2, 3)."""
    if tile == 2:
        return np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    near, far = points
    rows = [[1 / (near * far) ** 2, 0.0, 0.0]]
    for point, other in ((near, far), (far, near)):
        scale = 1 / (2 * point**2 * (point**2 - other**2))
        rows += [[scale, sign * scale * point, scale * point**2] for sign in (1, -1)]
    return np.array([*rows, [0.0, 0.0, 1.0]])


def transformed_filters(filters: FloatArray, tile: int, points: Points) -> NDArray[np.float64]:
    """(out, in, 3, 3) as (tile + 2, tile + 2, out, in), in float64: rounded once, by the caller."""
    matrix = filter_matrix(tile, points)
    half = np.tensordot(matrix, filters.astype(np.float64), axes=(1, 2))  # row, out, in, kx
    return np.moveaxis(np.tensordot(half, matrix, axes=(3, 1)), 3, 1)
