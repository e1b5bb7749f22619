"""Zeros in the made-up weights of trial runs, where a layer's own weights have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.sparsity import drawn_pattern
from codegen.tensor import AnyArray


def with_zeros(
    spec: LayerSpec, weights: Sequence[AnyArray], random: np.random.Generator
) -> tuple[AnyArray, ...]:
    """The same weights, as sparse as the spec, or each member of a chain, says."""
    if isinstance(spec.op, Chain):
        members = spec.op.with_weights(weights)
        return tuple(value for member, _, own in members for value in with_zeros(member, own, random))
    if spec.sparsity is None:
        return tuple(weights)
    first, *others = weights
    return (first * drawn_pattern(first.shape, spec.sparsity, random), *others)
