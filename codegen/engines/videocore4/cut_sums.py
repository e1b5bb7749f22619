"""What the QPUs' rounding takes from long sums, given back by the weights.

Adders and multipliers round towards zero. A number that is cut loses half of its last place on average, so that a sum
shrinks by as much with every term that is added: after a thousand terms by more than float32 is off otherwise, all to
one side. Where a layer's weights are constants, each is made larger by what its product is going to lose, at no cost.
What is left is about a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from codegen.graph import LayerSpec
from codegen.schedule import Choice
from codegen.tensor import FloatArray

SHORT = 16  # terms: fewer lose less than float32 rounds
LOST = 2.0**-25 / math.log(2.0)  # of a number that is cut: half of 2**-23 over its mantissa, on average


@runtime_checkable
class SumsInOrder(Protocol):
    """An algorithm whose first weights, of shape (outputs, ...), are multiplied and added to the second, one by one."""

    def order_of_sums(self, spec: LayerSpec, choice: Choice) -> NDArray[np.intp]:
        """The place in an output's sum, from 0, of each of its weights."""
        ...


@runtime_checkable
class BiasLast(SumsInOrder, Protocol):
    """The same where the second are added to the finished sums and lose nothing."""

    adds_bias_last: bool


def mended(
    algorithm: SumsInOrder, spec: LayerSpec, choice: Choice, weights: Sequence[FloatArray], filled: float
) -> list[FloatArray]:
    """The weights that an algorithm computes with: see `made_up_for`."""
    larger = made_up_for(weights, algorithm.order_of_sums(spec, choice), filled)
    return [larger[0], *weights[1:]] if isinstance(algorithm, BiasLast) else larger


def made_up_for(weights: Sequence[FloatArray], order: NDArray[np.intp], filled: float) -> list[FloatArray]:
    """Weights and biases, which sums begin with, so much larger that cut sums are right on average; those of short sums
    as they are.

    `filled`: the share of the inputs that are not zero, for zeros are added without a loss, as are products with
    weights that are zero.
    """
    factors, biases, *others = weights
    in_order = np.argsort(order, axis=None)
    rows = factors.reshape(len(factors), -1)
    terms = (rows if not np.all(rows) else rows[:1])[
        :, in_order
    ] != 0.0  # without zeros all outputs are alike
    sums = filled * np.cumsum(terms[:, ::-1], axis=1)[:, ::-1]  # from each term's own on
    is_long = sums[:, :1] >= SHORT
    larger = np.empty(terms.shape)
    larger[:, in_order] = LOST * (1.0 + sums) * is_long
    return [
        _enlarged(factors, larger.reshape(-1, *factors.shape[1:])),
        _enlarged(
            biases, np.broadcast_to(LOST * sums[:, :1] * is_long, (len(rows), 1)).reshape(biases.shape)
        ),
        *others,
    ]


def _enlarged(values: FloatArray, by: NDArray[np.float64]) -> FloatArray:
    """Numbers that would leave float32 stay as they are."""
    with np.errstate(over="ignore"):
        larger = (values * (1.0 + by)).astype(np.float32)
    return np.where(np.isfinite(larger), larger, values)
