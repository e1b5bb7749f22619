"""Types of tensors, and the arrays that hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
FloatArray = NDArray[np.float32]
Doubles = NDArray[np.float64]
Shape = tuple[int, ...]


@dataclass(frozen=True, order=True)
class TensorType:
    """Shape (outermost first, activations NCHW or NC) and element type of a tensor."""

    shape: Shape
    dtype: str = "float32"

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def size_bytes(self) -> int:
        return self.elements * int(np.dtype(self.dtype).itemsize)
