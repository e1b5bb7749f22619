"""How the kernels of lines read the operands of an expression: which shapes broadcast, and where a tile finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen.engine_registry import layout_named
from codegen.engines.videocore4.kernels.lines import (
    CHANNEL_LINES,
    CHANNEL_NUMBERS,
    LINES,
    MAXIMUM_OPERANDS,
    ONE_LINE,
    ONE_NUMBER,
    Access,
)
from codegen.engines.videocore4.layer import Address
from codegen.engines.videocore4.layout import LANES, LINE_BYTES, block_lines
from codegen.graph import LayerSpec
from codegen.tensor import FloatArray, Shape, TensorType

Kind = Literal["lines", "channels", "plane", "number"]


class Place(NamedTuple):
    """Where a tile begins: bytes in operands of the output's layout, block and channel, bytes in the output."""

    line_bytes: int
    block: int
    channel: int
    output_bytes: int


@dataclass(frozen=True)
class Read:
    """An operand: its kind, the layout it is read in, and its first byte."""

    kind: Kind
    layout: str
    start: Address

    @staticmethod
    def of_lines(start: Address) -> Read:
        return Read("lines", "pixel16", start)

    @property
    def access(self) -> Access:
        if self.kind == "channels":
            return CHANNEL_NUMBERS if self.layout == "nchw" else CHANNEL_LINES
        return {"lines": LINES, "plane": ONE_LINE, "number": ONE_NUMBER}[self.kind]

    @property
    def by_block(self) -> bool:
        """Whether a tile must keep to one block."""
        return self.kind in ("channels", "plane")

    def address(self, place: Place) -> Address:
        """Where a tile's first line or number is."""
        offset = {
            "lines": place.line_bytes,
            "channels": self.access.step_bytes * place.channel,
            "plane": LINE_BYTES * block_lines(1) * place.block,
            "number": 0,
        }[self.kind]
        return Address(self.start.base, self.start.offset_bytes + offset, self.start.index)


def is_image(tensor: TensorType) -> bool:
    """Whether a tensor is planes of one image, which are stored in blocks of pixels."""
    return len(tensor.shape) == 4 and tensor.shape[0] == 1


def _kind(shape: Shape, output: Shape) -> Kind | None:
    """How an operand of a shape broadcasts; None: in no way that lines allow."""
    aligned = (1,) * (len(output) - len(shape)) + tuple(shape)
    if aligned == output:
        return "lines"
    if all(size == 1 for size in aligned):
        return "number"
    if len(output) != 4:
        return None
    if aligned == (1, output[1], 1, 1):
        return "channels"
    return "plane" if aligned == (1, 1, *output[2:]) else None


def reads(spec: LayerSpec, *, planar: bool) -> tuple[Read, ...] | None:
    """By operand, inputs before weights; None where one does not broadcast, none has the output's shape, or there are
    more than the TMUs take requests.

    `planar`: inputs with a number for each channel are nchw, as layers without planes write them.
    """
    image, output = is_image(spec.output), spec.output.shape
    found: list[Read] = []
    for index, tensor in enumerate(spec.inputs):
        kind = _kind(tensor.shape, output)
        if kind is None or (not image and kind not in ("lines", "number")):
            return None
        if kind in ("lines", "plane") and image and not is_image(tensor):
            return None
        blocked = image and (
            kind in ("lines", "plane") or (kind == "channels" and is_image(tensor) and not planar)
        )
        found.append(Read(kind, "pixel16" if blocked else "nchw", Address("input", 0, index)))
    offset = 0
    for tensor in spec.weights:
        kind = _kind(_stored(tensor.shape, output), output)
        if kind is None:
            return None
        layout = "pixel16" if image and kind in ("lines", "plane") else "nchw"
        found.append(Read(kind, layout, Address("weights", offset)))
        offset += _padded_bytes(tensor.shape, spec, layout)
    asked = sum(read.access.step_bytes > 0 for read in found)
    by_lines = any(read.kind == "lines" for read in found)
    return tuple(found) if by_lines and asked <= MAXIMUM_OPERANDS else None


def has_numbers_of_channels(spec: LayerSpec) -> bool:
    """Whether an input may come in either layout."""
    return any(is_image(t) and _kind(t.shape, spec.output.shape) == "channels" for t in spec.inputs)


def _stored(shape: Shape, output: Shape) -> Shape:
    """The shape that a weight is stored in: its own where lines can broadcast it, else repeated as far as needed."""
    if _kind(shape, output) is not None:
        return shape
    aligned = (1,) * (len(output) - len(shape)) + tuple(shape)
    if len(output) == 4 and aligned[:2] == (1, 1):
        return (1, 1, *output[2:])
    return output


def _padded_bytes(shape: Shape, spec: LayerSpec, layout: str) -> int:
    size = layout_named(layout).size_bytes(_four_axes(_stored(shape, spec.output.shape)))
    return -(-size // LINE_BYTES) * LINE_BYTES


def _four_axes(shape: Shape) -> TensorType:
    return TensorType((1,) * (4 - len(shape)) + tuple(shape))


def packed(spec: LayerSpec, weights: Sequence[FloatArray]) -> NDArray[np.uint32]:
    """The weights one behind the other, each from the start of a line."""
    found = reads(spec, planar=False) or ()
    parts = [np.zeros(0, np.float32)]
    for weight, read in zip(weights, found[len(spec.inputs) :], strict=True):
        stored = np.broadcast_to(weight, _stored(weight.shape, spec.output.shape)).astype(np.float32)
        flat = layout_named(read.layout).pack(stored.reshape(_four_axes(stored.shape).shape))
        parts.append(np.pad(flat, (0, -len(flat) % LANES)))
    return np.concatenate(parts).view(np.uint32)
