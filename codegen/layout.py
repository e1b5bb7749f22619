"""Memory layouts of activations, and the exact conversion of numpy arrays to and from them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from codegen.errors import ScheduleError
from codegen.graph import FloatArray, TensorType

LANES = 16


class Layout(Protocol):
    """How the elements of an (N, C, H, W) or (N, C) tensor lie in memory, float32."""

    name: str

    def size_bytes(self, tensor: TensorType) -> int:
        """Bytes of the packed tensor, padding included."""
        ...

    def pack(self, value: FloatArray) -> FloatArray:
        """The flat memory image; padding elements are zero."""
        ...

    def unpack(self, memory: FloatArray, tensor: TensorType) -> FloatArray:
        """The tensor of the given type read back from a flat memory image; inverse of `pack`."""
        ...


def plane(tensor: TensorType) -> tuple[int, int, int]:
    """(batch, channels, pixels) of an (N, C, H, W) or (N, C) tensor."""
    batch, channels, *rest = tensor.shape
    return batch, channels, int(np.prod(rest, dtype=np.int64))


class Nchw:
    """Row-major, as ONNX has it: what CPU code and the world outside use."""

    name = "nchw"

    def size_bytes(self, tensor: TensorType) -> int:
        return tensor.size_bytes

    def pack(self, value: FloatArray) -> FloatArray:
        return np.ascontiguousarray(value, dtype=np.float32).reshape(-1)

    def unpack(self, memory: FloatArray, tensor: TensorType) -> FloatArray:
        return memory[: tensor.elements].reshape(tensor.shape)


def block_lines(channels: int) -> int:
    """Lines of one pixel16 block, always an odd number.

    With a stride of a power of two all blocks of a tensor would share few sets of the caches, and windows that
    straddle blocks would evict their own lines.
    """
    return channels | 1


class Pixel16:
    """[N][ceil(H*W / 16)][C | 1][16 pixels]: one 64-byte line holds 16 neighbouring pixels of one channel.

    The QPUs' layout: a lane is a pixel, a line a vector, and a tile of channels one contiguous DMA block. For an
    even number of channels the last line of each block is padding.
    """

    name = "pixel16"

    def size_bytes(self, tensor: TensorType) -> int:
        batch, channels, pixels = plane(tensor)
        return batch * -(-pixels // LANES) * block_lines(channels) * LANES * 4

    def pack(self, value: FloatArray) -> FloatArray:
        batch, channels, pixels = plane(TensorType(value.shape))
        blocks = -(-pixels // LANES)
        padded = np.zeros((batch, block_lines(channels), blocks * LANES), dtype=np.float32)
        padded[:, :channels, :pixels] = value.reshape(batch, channels, pixels)
        image = padded.reshape(batch, -1, blocks, LANES).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(image).reshape(-1)

    def unpack(self, memory: FloatArray, tensor: TensorType) -> FloatArray:
        batch, channels, pixels = plane(tensor)
        blocks, lines = -(-pixels // LANES), block_lines(channels)
        image = memory[: batch * blocks * lines * LANES].reshape(batch, blocks, lines, LANES)
        planes = image.transpose(0, 2, 1, 3).reshape(batch, lines, blocks * LANES)
        return np.ascontiguousarray(planes[:, :channels, :pixels]).reshape(tensor.shape)


LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (Nchw(), Pixel16())}


def layout_named(name: str) -> Layout:
    """The layout of that name; raises ScheduleError naming the known ones."""
    if name not in LAYOUTS:
        raise ScheduleError(f"unknown layout {name!r}; known: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[name]
