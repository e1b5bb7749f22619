"""Concatenations whose channels are scaled as they are put behind each other, as batch normalisation does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.algorithms.lines import QpuConcat
from codegen.engines.videocore4.algorithms.operands import Read
from codegen.engines.videocore4.layer import Address
from codegen.engines.videocore4.layout import LANES
from codegen.errors import ScheduleError
from codegen.expression import Expression, Operand
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Choice
from codegen.tensor import FloatArray


class QpuScaledConcat(QpuConcat):
    """A concatenation and the depthwise 1x1 convolution that reads it, in one pass over the lines of its inputs: what
    lies between them is never stored.

    Axes:
        rows: lines of 16 elements that a QPU computes before it stores them
    """

    name = "qpu_scaled_concat"

    def _takes(self, spec: LayerSpec) -> bool:
        return _scaling(spec) is not None and self._lines_suffice(spec)

    def _order(self, spec: LayerSpec) -> Sequence[int]:
        assert isinstance(spec.op, Chain)
        return spec.op.sources[0]

    def _expression(self, spec: LayerSpec) -> Expression:
        scaling = _scaling(spec)
        if scaling is None:
            raise ScheduleError(f"{self.name} does not compute {spec.op}")
        return scaling.epilogue.substitute((Operand(0) * Operand(1) + Operand(2),))

    def _reads(self, spec: LayerSpec, choice: Choice | None = None) -> tuple[Read, ...]:
        numbers = (Read("channels", "nchw", _numbers(spec, which)) for which in (0, 1))
        return (Read.of_lines(Address("input")), *numbers)

    def _macs(self, spec: LayerSpec) -> float:
        return float(spec.output.elements)

    def _operands(self, spec: LayerSpec, source: Address, channel: int) -> tuple[Address, ...]:
        return (source, *(_numbers(spec, which, channel) for which in (0, 1)))

    def _packed(self, spec: LayerSpec, weights: Sequence[FloatArray]) -> NDArray[np.uint32]:
        padded = [np.pad(part.reshape(-1), (0, -part.size % LANES)) for part in weights]
        return np.concatenate(padded).astype(np.float32).view(np.uint32)


def _scaling(spec: LayerSpec) -> Conv2d | None:
    """The convolution of such a chain; None where the layer is none."""
    chain = spec.op
    if not isinstance(chain, Chain) or len(chain.members) != 2 or chain.sources[1:] != ((-1,),):
        return None
    joined, scaled = chain.members
    if not isinstance(joined.op, Concat) or not isinstance(scaled.op, Conv2d):
        return None
    own, channels = scaled.op, joined.output.shape[1]
    plain = own.kernel == (1, 1) and own.groups == channels and scaled.output.shape == joined.output.shape
    return own if plain else None


def _numbers(spec: LayerSpec, which: int, channel: int = 0) -> Address:
    """Where the factors (0) or biases (1) from a channel on lie: those of all channels fill whole lines."""
    channels = spec.output.shape[1]
    return Address("weights", WORD_BYTES * (which * -(-channels // LANES) * LANES + channel))
