"""What kernels on the channel-blocked layout share."""

from __future__ import annotations

from codegen.engines.cpu.kernel import CpuKernel, Point
from codegen.engines.cpu.machine import block_lanes
from codegen.graph import LayerSpec
from codegen.layout import ChannelBlocked
from codegen.schedule import Axis
from codegen.target import Target


class BlockedKernel(CpuKernel):
    """Base of the kernels whose activations lie in blocks of `lanes` channels."""

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        name = blocked_layout(point["lanes"])
        return (name,) * len(spec.inputs), name


def blocked_layout(lanes: int) -> str:
    """The layout's name."""
    return ChannelBlocked(lanes).name


def lanes_axis(target: Target) -> Axis:
    """The one size of blocks that fits the target's registers."""
    return Axis("lanes", (block_lanes(target),))


def blocks_of(channels: int, lanes: int) -> int:
    """Blocks that so many channels take."""
    return -(-channels // lanes)
