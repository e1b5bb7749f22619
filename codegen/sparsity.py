"""How sparse a layer's weights are: what algorithms that skip zeros, their costs and trial runs know of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.tensor import AnyArray, Shape

QUAD, SIXTEEN = 4, 16
SIGNIFICANT_BITS = (
    6  # of counts: layers pruned alike share their measurements, a few zeros make no layer sparse
)
Pattern = NDArray[np.bool_]


@dataclass(frozen=True)
class Sparsity:
    """Numbers of weights, and of blocks of them, that are not all zero, rounded up to six significant bits.

    A block is of neighbouring outputs, of the same input and tap; the last may be of fewer.

    Fields:
        weights: single weights that are not zero
        quads: blocks of 4 outputs in which a weight is not zero
        sixteens: blocks of 16 outputs in which a weight is not zero
    """

    weights: int
    quads: int
    sixteens: int


def sparsity_of(weights: AnyArray) -> Sparsity | None:
    """Of weights whose first axis is that of outputs; None where so few are zero that the rounded count is all."""
    count = _rounded(int(np.count_nonzero(weights)))
    if weights.ndim < 2 or count >= weights.size:
        return None
    pattern = weights != 0
    blocks = [blocks_of(pattern, outputs) for outputs in (QUAD, SIXTEEN)]
    return Sparsity(count, *(min(_rounded(int(np.count_nonzero(one))), one.size) for one in blocks))


def blocks_of(pattern: Pattern, outputs: int) -> Pattern:
    """Which blocks of so many outputs have any weight: (blocks, ...) of a pattern (outputs, ...)."""
    return np.logical_or.reduceat(pattern, np.arange(0, pattern.shape[0], outputs), axis=0)


def drawn_pattern(shape: Shape, sparsity: Sparsity, random: np.random.Generator) -> Pattern:
    """A pattern of weights of that sparsity, evenly at random: as many weights, quads and sixteens, or where cut blocks
    hold no more, nearly as many.
    """
    sixteens = _drawn(np.ones((-(-shape[0] // SIXTEEN), *shape[1:]), bool), None, sparsity.sixteens, random)
    quads = _drawn(
        _spread(sixteens, SIXTEEN // QUAD, -(-shape[0] // QUAD)), SIXTEEN // QUAD, sparsity.quads, random
    )
    return _drawn(_spread(quads, QUAD, shape[0]), QUAD, sparsity.weights, random)


def _drawn(allowed: Pattern, group: int | None, count: int, random: np.random.Generator) -> Pattern:
    """`count` of the allowed places: one in each group of neighbours along the first axis that has any, then others."""
    order = random.random(allowed.shape, dtype=np.float32)
    order[~allowed] = np.inf
    if group is not None:
        for first in range(0, allowed.shape[0], group):
            part = order[first : first + group]
            least = np.expand_dims(part.argmin(axis=0), 0)
            np.put_along_axis(part, least, np.take_along_axis(part, least, 0) - 1, 0)
    count = min(count, int(np.count_nonzero(allowed)))
    chosen = np.zeros(allowed.shape, dtype=bool)
    chosen.flat[np.argsort(order, axis=None, kind="stable")[:count]] = True
    return chosen


def _spread(blocks: Pattern, outputs: int, size: int) -> Pattern:
    return blocks.repeat(outputs, axis=0)[:size]


def _rounded(count: int) -> int:
    step = 1 << max(0, count.bit_length() - SIGNIFICANT_BITS)
    return -(-count // step) * step
