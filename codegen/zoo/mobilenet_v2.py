"""MobileNet v2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2)."""

from __future__ import annotations

from onnx import ModelProto

from codegen.zoo.registry import Options, network
from codegen.zoo.writer import NetworkWriter

STEM_CHANNELS, LAST_CHANNELS = 32, 1280
# Expansion, channels, blocks, stride of the first block.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
MULTIPLE = 8  # channels come in multiples of this


@network("mobilenet_v2")
def mobilenet_v2(options: Options) -> ModelProto:
    """A 3x3 stem, 17 inverted residuals, a wide pointwise layer, the mean and a classifier.

    Channels scale with `width`; those of the last layer do not shrink.
    """
    writer = NetworkWriter("mobilenet_v2", options)
    writer.conv_bn_relu6("stem", _channels(STEM_CHANNELS * options.width), kernel=3, stride=2)
    index = 1
    for expansion, channels, blocks, stride in STAGES:
        for block in range(blocks):
            width = _channels(channels * options.width)
            _inverted_residual(writer, f"block{index}", expansion, width, stride if block == 0 else 1)
            index += 1
    writer.conv_bn_relu6("last", _channels(LAST_CHANNELS * max(1.0, options.width)), kernel=1)
    writer.global_average_pool("pool")
    writer.classifier("classifier")
    return writer.model()


def _inverted_residual(writer: NetworkWriter, name: str, expansion: int, channels: int, stride: int) -> None:
    """Wide between two narrow ends; these are linear, and added where they have the same shape."""
    start, depth = writer.here, writer.channels * expansion
    residual = stride == 1 and writer.channels == channels
    if expansion > 1:
        writer.conv_bn_relu6(f"{name}.expand", depth, kernel=1)
    writer.conv_bn_relu6(f"{name}.depthwise", depth, kernel=3, stride=stride, groups=depth)
    writer.conv_bn(f"{name}.project", channels, kernel=1)
    if residual:
        writer.add(f"{name}.add", start)


def _channels(wanted: float) -> int:
    """The nearest multiple, one higher where that would lose more than a tenth."""
    nearest = max(MULTIPLE, int(wanted + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return nearest + MULTIPLE if nearest < 0.9 * wanted else nearest
