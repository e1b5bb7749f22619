"""What kernels on the channel-blocked layout share."""

from __future__ import annotations

from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.layout import ChannelBlocked
from codegen.engines.cpu.machine import TileRegisters, block_lanes, tile_registers
from codegen.graph import LayerSpec
from codegen.schedule import Axis, AxisNames, Point
from codegen.target import Target

# What the axis `input` says of the first input of kernels that take it either way.
IN_BLOCKS, ROW_MAJOR = "blocks", "row_major"
INPUT_NAMES: AxisNames = {"input": (IN_BLOCKS, ROW_MAJOR)}


class BlockedKernel(CpuKernel):
    """Base of the kernels whose activations lie in blocks of `lanes` channels; None: of as many as fit the target.

    Blocks of one channel are the row-major layout: for kernels of products and windows, and concatenation.

    Axes:
        lanes: channels of a block, whose layout is channel<lanes>; 1 is nchw
        threads: how many threads of the CPU share the layer
    """

    def __init__(self, lanes: int | None = None) -> None:
        self._lanes = lanes

    @property
    def by_registers(self) -> bool:
        """Whether blocks are what the target's registers hold."""
        return self._lanes is None

    def lanes(self, target: Target) -> int:
        """Channels of a block."""
        return self._lanes or block_lanes(target)

    def lanes_axis(self, target: Target) -> Axis:
        """The one size of blocks."""
        return Axis("lanes", (self.lanes(target),))

    def registers(self, target: Target) -> TileRegisters:
        """What holds tiles of blocks of channels."""
        return tile_registers(target, self.lanes(target))

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        name = blocked_layout(point["lanes"])
        return (name,) * len(spec.inputs), name


def blocked_layout(lanes: int) -> str:
    """The layout's name."""
    return ChannelBlocked(lanes).name if lanes > 1 else "nchw"


def blocks_of(channels: int, lanes: int) -> int:
    """Blocks that so many channels take."""
    return -(-channels // lanes)
