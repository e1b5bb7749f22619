"""The QPUs' layout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codegen.errors import ScheduleError
from codegen.layout import Element, Layout, plane
from codegen.tensor import TensorType

LANES, LANE_BYTES = 16, 4
LINE_BYTES = LANES * LANE_BYTES
SPREAD_LINES, SPREAD_PERIOD = 17, 32


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
    """[N][ceil(H*W / 16)][lines][16 pixels]: a 64-byte line holds 16 neighbouring pixels of a channel.

    The QPUs' layout: a lane is a pixel, a line a vector, and a tile of channels one contiguous DMA block. Lines
    beyond the channels are padding that nobody reads or writes. Its elements are of 4 bytes. A block has an
    odd number of `lines`: one for each channel, and one more where that is even; 17 modulo 32 from 32 channels on,
    where `many` is 1, else 0.

    Formulas:
        many: min(C // 32, 1)
        lines: many * (C + (17 + 31 * C) % 32) + (1 - many) * (C + 1 - C % 2)
        blocks: (P + 15) // 16
        place: ((n * blocks + p // 16) * lines + c) * 16 + p % 16
        elements: N * blocks * lines * 16
    """

    name = "pixel16"
    spreads_parts = True

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

    def part_bytes(self, part: TensorType) -> int:
        return part.shape[1] * LINE_BYTES

    def part_lines(self, whole: TensorType) -> int | None:
        return block_lines(whole.shape[1])
