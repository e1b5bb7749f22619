"""Numbers as the words that kernels read."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def float_words(values: ArrayLike) -> NDArray[np.uint32]:
    """The bits of float32 numbers, row by row."""
    return np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32)
