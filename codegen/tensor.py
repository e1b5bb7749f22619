"""Types of tensors, and the arrays that hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.element_type import ElementType, element_type

Array = NDArray[np.generic]
AnyArray = NDArray[Any]  # of the element type that a tensor says
FloatArray = NDArray[np.float32]
Doubles = NDArray[np.float64]
Shape = tuple[int, ...]


@dataclass(frozen=True, order=True)
class TensorType:
    """Shape (outermost first, activations NCHW or NC) and name of the element type of a tensor.

    Fields:
        shape: sizes of its axes, outermost first
        dtype: name of the type of its elements
    """

    shape: Shape
    dtype: str = "float32"

    @property
    def elements(self) -> int:
        """Their number, however large: a hostile model's is compared with limits."""
        return math.prod(map(int, self.shape))

    @property
    def size_bytes(self) -> int:
        """Bytes of its elements, without padding; raises ElementTypeError for an unknown element type."""
        return self.elements * self.element_type.size_bytes

    @property
    def element_type(self) -> ElementType:
        """Raises ElementTypeError for an unknown name."""
        return element_type(self.dtype)
