"""Probabilities of classes from those of pairs of classes, as support vector machines have them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codegen.errors import GraphSpecError
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.tensor import Doubles, TensorType

MOST_ROUNDS = 100
NEAR = 0.005  # over the classes: what the gradient's parts may differ by in the end


@dataclass(frozen=True)
class PairwiseCoupling(Operator):
    """(rows, classes, classes) to (rows, classes): that in row i and column j is the probability of class i where it is
    i or j, and the diagonal is not read.

    Algorithm 2 of Wu, Lin and Weng, Probability Estimates for Multi-class Classification by Pairwise Coupling, 2004:
    the least p'Qp by one class after another, until the parts of its gradient are near each other. As libsvm and
    onnxruntime it ends early, and its results are theirs rather than the optimum.
    """

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        source = sole_input(self, inputs, weights, 0)
        shape = source.shape
        if len(shape) != 3 or shape[1] != shape[2] or not source.element_type.is_floating:
            raise GraphSpecError(f"PairwiseCoupling of a tensor of {source.dtype} of shape {shape}")
        return (TensorType(shape[:2], source.dtype),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        return (np.stack([_coupled(np.asarray(pairs, np.float64)) for pairs in inputs[0]]),)


def _coupled(pairs: Doubles) -> Doubles:
    count = len(pairs)
    off = pairs * (1.0 - np.eye(count))
    matrix = np.diag((off**2).sum(0)) - off * off.T
    found = np.full(count, 1.0 / count)
    for _ in range(MOST_ROUNDS):
        slope = matrix @ found
        value = float(found @ slope)
        if np.abs(slope - value).max() < NEAR / count:
            break
        for index in range(count):
            change = (value - slope[index]) / matrix[index, index]
            whole = 1.0 + change
            found[index] += change
            value = (value + change * (change * matrix[index, index] + 2.0 * slope[index])) / whole**2
            slope = (slope + change * matrix[index]) / whole
            found /= whole
    return found
