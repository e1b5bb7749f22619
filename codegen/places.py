"""Where elements come from, of operators that only move them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen.tensor import TensorType

Places = NDArray[np.int64]
NOWHERE = -1


class Piece(NamedTuple):
    """A part of an output: of one sample some channels, or the whole.

    `places` has the part's shape and holds places of the input in row-major order, or NOWHERE for `fill`.
    """

    input: int
    output: int
    places: Places
    sample: int = 0
    channel: int = 0
    fill: float = 0.0


def in_order(tensor: TensorType) -> Places:
    """The place of each element of a tensor in itself."""
    return np.arange(tensor.elements).reshape(tensor.shape)
