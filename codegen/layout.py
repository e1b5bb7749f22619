"""What a memory layout of activations is, and row-major, which every engine can be asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen.tensor import TensorType

Element = TypeVar("Element", bound=np.generic)


class Layout(ABC):
    """How the elements of an (N, C, H, W) or (N, C) tensor lie in memory; arrays keep their element type.

    `part_channels`: of the channels of every part of a whole but the last, what they must be a multiple of so that the
    parts lie in the whole one behind the other. `spreads_parts`: parts are spread over the whole's blocks, so that they
    are written with its stride from block to block, and read as the whole alone; otherwise each lies in one piece.
    """

    name: str
    part_channels: int = 1
    spreads_parts: bool = False

    @abstractmethod
    def elements(self, tensor: TensorType) -> int:
        """Elements of the packed tensor, padding included."""

    @abstractmethod
    def pack(self, value: NDArray[Element]) -> NDArray[Element]:
        """The flat memory image; padding elements are zero."""

    @abstractmethod
    def unpack(self, memory: NDArray[Element], tensor: TensorType) -> NDArray[Element]:
        """The tensor of the given type read back from a flat memory image; inverse of `pack`."""

    def size_bytes(self, tensor: TensorType) -> int:
        """Bytes of the packed tensor, padding included."""
        return self.elements(tensor) * tensor.element_type.size_bytes

    def part_bytes(self, part: TensorType) -> int:
        """Bytes from where a part of a whole begins to where the next one does."""
        return self.size_bytes(part)

    def part_lines(self, whole: TensorType) -> int | None:
        """Lines from one of the whole's blocks to the next where it spreads parts, else None."""
        return None


def plane(tensor: TensorType) -> tuple[int, int, int]:
    """(batch, channels, pixels) of an (N, C, H, W) or (N, C) tensor."""
    batch, channels, *rest = tensor.shape
    return batch, channels, int(np.prod(rest, dtype=np.int64))


class Nchw(Layout):
    """Row-major, as ONNX has it: what CPU code and the world outside use.

    Formulas:
        place: (n * C + c) * P + p
        elements: N * C * P
    """

    name = "nchw"

    def elements(self, tensor: TensorType) -> int:
        return tensor.elements

    def pack(self, value: NDArray[Element]) -> NDArray[Element]:
        return np.ascontiguousarray(value).reshape(-1)

    def unpack(self, memory: NDArray[Element], tensor: TensorType) -> NDArray[Element]:
        return memory[: tensor.elements].reshape(tensor.shape)
