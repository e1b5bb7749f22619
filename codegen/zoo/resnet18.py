"""ResNet-18 (He et al. 2016, "Deep Residual Learning for Image Recognition", table 1)."""

from __future__ import annotations

from onnx import ModelProto

from codegen.zoo.registry import Options, network
from codegen.zoo.writer import NetworkWriter

STEM_CHANNELS = 64
# Channels and stride of the first of the two blocks of a stage.
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
BLOCKS = 2
MIN_CHANNELS = 8


@network("resnet18")
def resnet18(options: Options) -> ModelProto:
    """A 7x7 stem, a pool, eight blocks of two 3x3 convolutions, the mean and a classifier."""
    writer = NetworkWriter("resnet18", options)
    writer.conv_bn("stem", _channels(STEM_CHANNELS, options), kernel=7, stride=2)
    writer.relu("stem.relu")
    writer.max_pool("stem.pool", kernel=3, stride=2, pad=1)
    for stage, (channels, stride) in enumerate(STAGES, start=1):
        for block in range(BLOCKS):
            name = f"layer{stage}.{block}"
            _basic_block(writer, name, _channels(channels, options), stride if block == 0 else 1)
    writer.global_average_pool("pool")
    writer.classifier("classifier")
    return writer.model()


def _basic_block(writer: NetworkWriter, name: str, channels: int, stride: int) -> None:
    """The input is added to two convolutions; a pointwise one brings it to their shape where that is another."""
    start, projected = writer.here, stride != 1 or writer.channels != channels
    writer.conv_bn(f"{name}.first", channels, kernel=3, stride=stride)
    writer.relu(f"{name}.first.relu")
    writer.conv_bn(f"{name}.second", channels, kernel=3)
    shortcut = start
    if projected:
        end = writer.here
        writer.go_to(start)
        writer.conv_bn(f"{name}.shortcut", channels, kernel=1, stride=stride)
        shortcut = writer.here
        writer.go_to(end)
    writer.add(f"{name}.add", shortcut)
    writer.relu(f"{name}.relu")


def _channels(channels: int, options: Options) -> int:
    return max(MIN_CHANNELS, int(channels * options.width))
