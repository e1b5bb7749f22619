"""The layouts of blocks of channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codegen.layout import Element, Layout, plane
from codegen.tensor import TensorType


class ChannelBlocked(Layout):
    """[N][ceil(C / lanes)][H*W][lanes]: neighbouring channels of a pixel fill one vector register of the CPU.

    The last block's lanes beyond the channels are padding: kernels may write anything there, and what they compute
    from it stays in such lanes.

    Formulas:
        blocks: (C + lanes - 1) // lanes
        place: ((n * blocks + c // lanes) * P + p) * lanes + c % lanes
        elements: N * blocks * P * lanes
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.name = f"channel{lanes}"
        self.part_channels = lanes

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


BLOCKED_TYPES = frozenset({"float32", "int32", "uint8", "int8"})
"""Names of the element types of tensors in blocks of channels."""

CHANNEL_LAYOUTS: dict[str, ChannelBlocked] = {
    layout.name: layout for layout in map(ChannelBlocked, (4, 8, 16))
}
