"""MobileNet v1 (Howard et al. 2017, "MobileNets", table 1)."""

from __future__ import annotations

from onnx import ModelProto

from codegen.zoo.registry import Options, network
from codegen.zoo.writer import NetworkWriter

STEM_CHANNELS = 32
# Each block is a depthwise 3x3 convolution with this stride, and a pointwise one to this many channels.
BLOCKS = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *((1, 512),) * 5,
    (2, 1024),
    (1, 1024),
)
MIN_CHANNELS = 8


@network("mobilenet_v1")
def mobilenet_v1(options: Options) -> ModelProto:
    """A 3x3 stem, 13 depthwise separable blocks, the mean and a classifier; channels scale with `width`."""
    writer = NetworkWriter("mobilenet_v1", options)
    writer.conv_bn_relu6("stem", _channels(STEM_CHANNELS, options), kernel=3, stride=2)
    for index, (stride, channels) in enumerate(BLOCKS, start=1):
        depth = writer.channels
        writer.conv_bn_relu6(f"block{index}.depthwise", depth, kernel=3, stride=stride, groups=depth)
        writer.conv_bn_relu6(f"block{index}.pointwise", _channels(channels, options), kernel=1)
    writer.global_average_pool("pool")
    writer.classifier("classifier")
    return writer.model()


def _channels(channels: int, options: Options) -> int:
    return max(MIN_CHANNELS, int(channels * options.width))
