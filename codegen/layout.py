"""Memory layouts of activations, and the exact conversion of numpy arrays to and from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen.errors import ScheduleError
from codegen.tensor import TensorType

LANES, LANE_BYTES = 16, 4
LINE_BYTES = LANES * LANE_BYTES
SPREAD_LINES, SPREAD_PERIOD = 17, 32


Element = TypeVar("Element", bound=np.generic)


class Layout(ABC):
    """How the elements of an (N, C, H, W) or (N, C) tensor lie in memory; arrays keep their element type."""

    name: str

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


def plane(tensor: TensorType) -> tuple[int, int, int]:
    """(batch, channels, pixels) of an (N, C, H, W) or (N, C) tensor."""
    batch, channels, *rest = tensor.shape
    return batch, channels, int(np.prod(rest, dtype=np.int64))


class Nchw(Layout):
    """Row-major, as ONNX has it: what CPU code and the world outside use."""

    name = "nchw"

    def elements(self, tensor: TensorType) -> int:
        return tensor.elements

    def pack(self, value: NDArray[Element]) -> NDArray[Element]:
        return np.ascontiguousarray(value).reshape(-1)

    def unpack(self, memory: NDArray[Element], tensor: TensorType) -> NDArray[Element]:
        return memory[: tensor.elements].reshape(tensor.shape)


def block_lines(channels: int) -> int:
    """Lines from one pixel16 block to the next: at least one for each channel, and 17 modulo 32 for 32 and more.

    Windows read the same few channels of neighbouring blocks. The caches have 64 and 128 sets of 64-byte lines: a
    stride of a power of two would put those lines into the same sets, and a stride just beside one would put them
    into neighbouring sets; with this one, 16 channels of 16 blocks spread over all sets.
    """
    if channels < SPREAD_PERIOD:
        return channels | 1
    return channels + (SPREAD_LINES - channels) % SPREAD_PERIOD


class Pixel16(Layout):
    """[N][ceil(H*W / 16)][block_lines(C)][16 pixels]: a 64-byte line holds 16 neighbouring pixels of a channel.

    The QPUs' layout: a lane is a pixel, a line a vector, and a tile of channels one contiguous DMA block. Lines
    beyond the channels are padding that nobody reads or writes.
    """

    name = "pixel16"

    def elements(self, tensor: TensorType) -> int:
        batch, channels, pixels = plane(tensor)
        return batch * -(-pixels // LANES) * block_lines(channels) * LANES

    def size_bytes(self, tensor: TensorType) -> int:
        self._check_lane(tensor.dtype, tensor.element_type.size_bytes)
        return super().size_bytes(tensor)

    def _check_lane(self, name: str, size_bytes: int) -> None:
        if size_bytes != LANE_BYTES:
            raise ScheduleError(
                f"layout {self.name} has lanes of {LANE_BYTES} bytes, which elements of {name} do not fill; "
                "take another layout"
            )

    def pack(self, value: NDArray[Element]) -> NDArray[Element]:
        self._check_lane(str(value.dtype), value.dtype.itemsize)
        batch, channels, pixels = plane(TensorType(value.shape))
        blocks = -(-pixels // LANES)
        padded = np.zeros((batch, block_lines(channels), blocks * LANES), dtype=value.dtype)
        padded[:, :channels, :pixels] = value.reshape(batch, channels, pixels)
        image = padded.reshape(batch, -1, blocks, LANES).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(image).reshape(-1)

    def unpack(self, memory: NDArray[Element], tensor: TensorType) -> NDArray[Element]:
        batch, channels, pixels = plane(tensor)
        blocks, lines = -(-pixels // LANES), block_lines(channels)
        image = memory[: batch * blocks * lines * LANES].reshape(batch, blocks, lines, LANES)
        planes = image.transpose(0, 2, 1, 3).reshape(batch, lines, blocks * LANES)
        return np.ascontiguousarray(planes[:, :channels, :pixels]).reshape(tensor.shape)


class ChannelBlocked(Layout):
    """[N][ceil(C / lanes)][H*W][lanes]: neighbouring channels of a pixel fill one vector register of the CPU.

    The last block's lanes beyond the channels are padding: kernels may write any finite value there, and what they
    compute from it stays in such lanes.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.name = f"channel{lanes}"

    def elements(self, tensor: TensorType) -> int:
        batch, channels, pixels = plane(tensor)
        return batch * -(-channels // self.lanes) * pixels * self.lanes

    def pack(self, value: NDArray[Element]) -> NDArray[Element]:
        batch, channels, pixels = plane(TensorType(value.shape))
        blocks = -(-channels // self.lanes)
        padded = np.zeros((batch, blocks * self.lanes, pixels), dtype=value.dtype)
        padded[:, :channels] = value.reshape(batch, channels, pixels)
        image = padded.reshape(batch, blocks, self.lanes, pixels).transpose(0, 1, 3, 2)
        return np.ascontiguousarray(image).reshape(-1)

    def unpack(self, memory: NDArray[Element], tensor: TensorType) -> NDArray[Element]:
        batch, channels, pixels = plane(tensor)
        blocks = -(-channels // self.lanes)
        image = memory[: batch * blocks * pixels * self.lanes].reshape(batch, blocks, pixels, self.lanes)
        channels_first = image.transpose(0, 1, 3, 2).reshape(batch, blocks * self.lanes, pixels)
        return np.ascontiguousarray(channels_first[:, :channels]).reshape(tensor.shape)


CHANNEL_LAYOUTS: dict[str, ChannelBlocked] = {
    layout.name: layout for layout in map(ChannelBlocked, (4, 8, 16))
}
_ALL: tuple[Layout, ...] = (Nchw(), Pixel16(), *CHANNEL_LAYOUTS.values())
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in _ALL}


def layout_named(name: str) -> Layout:
    """The layout of that name; raises ScheduleError naming the known ones."""
    if name not in LAYOUTS:
        raise ScheduleError(f"unknown layout {name!r}; known: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[name]
