"""SqueezeNet 1.1 (Iandola et al. 2016, "SqueezeNet", in the variant that its authors published later)."""

from __future__ import annotations

from onnx import ModelProto

from codegen.zoo.registry import Options, network
from codegen.zoo.writer import NetworkWriter

STEM_CHANNELS = 64
# Of each fire module the channels that it squeezes to, and those of each of its two expansions.
STAGES = (
    ((16, 64), (16, 64)),
    ((32, 128), (32, 128)),
    ((48, 192), (48, 192), (64, 256), (64, 256)),
)
MIN_CHANNELS = 8


@network("squeezenet")
def squeezenet(options: Options) -> ModelProto:
    """A stem, eight fire modules with pools between, a pointwise layer per class and its mean; no normalisation."""
    writer = NetworkWriter("squeezenet", options)
    writer.conv_relu("stem", _channels(STEM_CHANNELS, options), kernel=3, stride=2)
    index = 2  # as the paper counts them
    for stage in STAGES:
        writer.max_pool(f"pool{index - 1}", kernel=3, stride=2, ceil=True)
        for squeezed, expanded in stage:
            _fire(writer, f"fire{index}", _channels(squeezed, options), _channels(expanded, options))
            index += 1
    writer.conv_relu("classifier", options.classes, kernel=1)
    writer.global_average_pool("pool")
    writer.softmax("classifier.softmax")
    return writer.model()


def _fire(writer: NetworkWriter, name: str, squeezed: int, expanded: int) -> None:
    """A narrow pointwise layer, then a pointwise and a 3x3 one side by side."""
    writer.conv_relu(f"{name}.squeeze", squeezed, kernel=1)
    narrow = writer.here
    writer.conv_relu(f"{name}.expand1x1", expanded, kernel=1)
    pointwise = writer.here
    writer.go_to(narrow)
    writer.conv_relu(f"{name}.expand3x3", expanded, kernel=3, pad=1)
    writer.concat(f"{name}.concat", pointwise)


def _channels(channels: int, options: Options) -> int:
    return max(MIN_CHANNELS, int(channels * options.width))
