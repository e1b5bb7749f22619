"""The networks of the zoo by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from onnx import ModelProto

from codegen.errors import ModelError
from codegen.suggestion import unknown

Style = Literal["pytorch", "tensorflow"]


@dataclass(frozen=True)
class Options:
    """What a network is built to: `width` multiplies the channels, `resolution` is in pixels.

    `style` is whose exporter it is written like: for PyTorch as torch.onnx does, with input (1, 3, R, R); for
    TensorFlow as tf2onnx does, with input (1, R, R, 3), Transpose, Pad and ReduceMean. The function is the same.
    """

    width: float = 1.0
    resolution: int = 224
    classes: int = 1000
    seed: int = 0
    softmax: bool = False
    style: Style = "pytorch"


Builder = Callable[[Options], ModelProto]

_BUILDERS: dict[str, Builder] = {}


def network(name: str) -> Callable[[Builder], Builder]:
    """Registers a function as the builder of a network."""

    def register(builder: Builder) -> Builder:
        _BUILDERS[name] = builder
        return builder

    return register


def networks() -> tuple[str, ...]:
    """The names of all networks, in alphabetical order."""
    return tuple(sorted(_BUILDERS))


def build(
    name: str,
    *,
    width: float = 1.0,
    resolution: int = 224,
    classes: int = 1000,
    seed: int = 0,
    softmax: bool = False,
    style: Style = "pytorch",
) -> ModelProto:
    """The network of that name as an ONNX model with one input and one output; equal arguments, equal bytes.

    Raises ModelError for an unknown name or options outside what a network can have.
    """
    if name not in _BUILDERS:
        raise ModelError(f"the zoo has no network {unknown(name, networks())} it has {', '.join(networks())}")
    if not 0.0 < width <= 4.0 or not 32 <= resolution <= 2048 or not 1 <= classes <= 1_000_000:
        raise ModelError(
            f"network {name!r} cannot have width {width}, resolution {resolution} and {classes} classes; "
            "width is above 0 and at most 4, resolution 32 to 2048, classes 1 to a million"
        )
    if not 0 <= seed < 2**32:
        raise ModelError(f"seed {seed} of network {name!r} is outside 0 to 2**32 - 1")
    if style not in get_args(Style):
        raise ModelError(f"network {name!r} has no style {style!r}; it has {', '.join(get_args(Style))}")
    return _BUILDERS[name](Options(width, resolution, classes, seed, softmax, style))
