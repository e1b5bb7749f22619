"""Weights as programs store them: float32, or where the user asks for it what QPUs unpack and kernels in C widen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from codegen.errors import ScheduleError
from codegen.schedule import Axis, Candidate, Choice
from codegen.target import WEIGHT_TYPES, Target, WeightType
from codegen.tensor import FloatArray

if TYPE_CHECKING:
    from codegen.algorithm import Algorithm

WEIGHTS = "weights"  # the axis: without it weights are float32
STEPS = 127  # of a byte on either side of 0
CENTRE = 128  # the byte that is 0
_SMALLEST = 2.0**-14  # half floats below are not normal, and QPUs convert those wrongly

_NOTHING = 2.0**-100  # weights as small are 0


@runtime_checkable
class StoresNarrow(Protocol):
    """An engine whose programs may have narrow weights. `subnormals`: half floats below 2^-14 are read right."""

    subnormals: bool

    def stored(
        self, algorithm: Algorithm, candidate: Candidate, weights: Sequence[FloatArray], filled: float
    ) -> tuple[FloatArray, ...]:
        """A layer's constants with the values that its program computes with. `filled`: see `SectionStep`."""
        ...


class Bytes(NamedTuple):
    """Weights as bytes around `CENTRE`, and of each output what a step is worth."""

    values: NDArray[np.uint8]
    scales: FloatArray


def weights_axis(target: Target, can: Sequence[WeightType]) -> tuple[Axis, ...]:
    """How weights may be stored: as asked for where an algorithm can, which offers no such axis otherwise."""
    return (Axis(WEIGHTS, (target.weights,)),) if target.weights in can else ()


def either_axis(target: Target, can: Sequence[WeightType]) -> tuple[Axis, ...]:
    """The same where narrow weights cost instructions: float32 is offered beside them."""
    return (Axis(WEIGHTS, ("float32", target.weights)),) if target.weights in can else ()


def weight_type(choice: Choice) -> WeightType:
    """How a choice's weights are stored."""
    name = choice.tiles.get(WEIGHTS, WEIGHT_TYPES[0])
    return next(known for known in WEIGHT_TYPES if known == name)


def stored(
    weights: Sequence[FloatArray], choice: Choice, *, subnormals: bool = False
) -> tuple[FloatArray, ...]:
    """A layer's constants with the values that its program has: the first of them, (outputs, ...), may be rounded.
    `subnormals`: see `StoresNarrow`.
    """
    kind = weight_type(choice)
    if kind == "float32":
        return tuple(weights)
    first, *others = weights
    if kind == "float16":
        return ((nearest_halves if subnormals else halves)(first).astype(np.float32), *others)
    if kind == "bfloat16":
        return (widened(bfloat16s(first)), *others)
    packed = bytes_of(first)
    shape = (-1, *(1 for _ in first.shape[1:]))
    steps = packed.values.astype(np.float32) - CENTRE
    return (steps * packed.scales.reshape(shape), *others)


def nearest_halves(values: FloatArray) -> NDArray[np.float16]:
    """The nearest half floats, of two the even one. Raises ScheduleError where one is too large."""
    with np.errstate(over="ignore"):
        found = values.astype(np.float16)
    if not np.all(np.isfinite(found)):
        raise ScheduleError(
            f"a weight of {np.max(np.abs(values)):.3g} is no half float: leave out --weights float16"
        )
    return found


def halves(values: FloatArray) -> NDArray[np.float16]:
    """The nearest normal half floats, or 0. Raises ScheduleError where one is too large."""
    found = nearest_halves(values)
    small = np.abs(values) < _SMALLEST
    rounded = np.where(np.abs(values) < _SMALLEST / 2, 0.0, np.copysign(_SMALLEST, values))
    return np.where(small, rounded.astype(np.float16), found)


def bfloat16s(values: FloatArray) -> NDArray[np.uint16]:
    """The upper halves of the nearest floats whose lower halves are 0, of two the even one. Raises ScheduleError where
    one is too large.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    upper = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    if not np.all(np.isfinite(widened(upper))):
        raise ScheduleError(
            f"a weight of {np.max(np.abs(values)):.3g} is no bfloat16: leave out --weights bfloat16"
        )
    return upper


def widened(upper: NDArray[np.uint16]) -> FloatArray:
    """The floats whose upper halves are given."""
    return (upper.astype(np.uint32) << 16).view(np.float32)


def bytes_of(values: FloatArray) -> Bytes:
    """The nearest of 255 steps around 0, of a size for each output: its largest weight is the last step."""
    rows = values.reshape(len(values), -1)
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    scales = np.where(largest > _NOTHING, largest / STEPS, 1.0).astype(np.float32)
    steps = np.clip(np.rint(rows / scales[:, None]), -STEPS, STEPS)
    return Bytes((steps + CENTRE).astype(np.uint8).reshape(values.shape), scales)
