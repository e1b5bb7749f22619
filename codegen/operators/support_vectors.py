"""Support vector machines from ONNX's classical operator set, said by operators of the default set."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operators.classical import DOMAIN, NONE, features, labels, rows_of, transformed
from codegen.operators.pairwise_coupling import PairwiseCoupling
from codegen.tensor import Array

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

LEAST = 1e-7  # of a probability of two classes, as onnxruntime and libsvm have it


@handles("SVMRegressor", "all but PROBIT", DOMAIN)
def svm_regressor(node: OnnxNode, builder: GraphBuilder) -> None:
    """Kernels of the rows and the support vectors, weighted; without such the rows' own products. `one_class`: 1 where
    that is above 0, else -1.
    """
    steps = Steps(node, builder)
    x, count = features(node, steps), node.integer("n_supports", 0)
    dtype = steps.type(x).dtype
    weights = np.array(node.reals("coefficients"), dtype).reshape(-1, 1)
    if count:
        vectors = np.array(node.reals("support_vectors"), dtype).reshape(count, -1)
        x = _kernel(node, steps, x, vectors)
    if len(weights) != steps.shape(x)[-1]:
        raise node.malformed(f"it has {len(weights)} coefficients for {steps.shape(x)[-1]} columns")
    rho = steps.constant(np.array(node.reals("rho")[:1] or (0.0,), dtype))
    y = steps("Add", steps("MatMul", x, steps.constant(weights)), rho)
    if node.flag("one_class"):
        above = steps("Greater", y, steps.constant(0, dtype))
        y = steps("Where", above, steps.constant(1, dtype), steps.constant(-1, dtype))
    transformed(node, steps, y, to=node.output)


@handles(
    "SVMClassifier",
    "all but PROBIT; classes that are texts as their places, `explorer.backend` gives these",
    DOMAIN,
)
def svm_classifier(node: OnnxNode, builder: GraphBuilder) -> None:
    """Labels, and scores: probabilities of classes where it has parameters for them, else a score of each pair of
    classes, of two classes its negative beside it; without support vectors a score of each class. The class with most
    pairs won is the label.
    """
    steps, known = Steps(node, builder), labels(node, "classlabels_ints")
    x = rows_of(steps.cast(node.input(0), "float32"), steps)
    wanted = node.outputs[1] if len(node.outputs) > 1 else ""
    if not node.integers("vectors_per_class"):
        _by_planes(node, steps, x, known, wanted)
        return
    scores = _of_pairs(node, steps, x, len(known))
    if node.outputs[0]:
        best = steps("ArgMax", _won(steps, scores, len(known)), axis=1, keepdims=0)
        steps("Gather", steps.constant(known), best, axis=0, to=node.outputs[0])
    if not wanted:
        return
    if node.reals("prob_a"):
        transformed(node, steps, _probabilities(node, builder, steps, scores, len(known)), to=wanted)
    elif len(known) > 2:
        transformed(node, steps, scores, to=wanted)
    elif node.text("post_transform", NONE) == NONE:
        steps("Concat", steps("Neg", scores), scores, axis=1, to=wanted)
    else:
        raise node.unsupported("it transforms one score of two classes", "export it with probabilities")


def _by_planes(node: OnnxNode, steps: Steps, x: str, known: Array, wanted: str) -> None:
    """A score of each class, linear in the features. Of two classes onnxruntime takes the second wherever a score is
    above 0, or 1/2 where no coefficient is negative.
    """
    values = np.array(node.reals("coefficients"), np.float32)
    columns = steps.shape(x)[-1]
    if values.size != len(known) * columns or not node.reals("rho"):
        raise node.malformed(f"it has {values.size} coefficients for {len(known)} times {columns} columns")
    plane = steps.constant(values.reshape(len(known), columns).T)
    scores = steps("Add", steps("MatMul", x, plane), steps.constant(np.float32(node.reals("rho")[0])))
    if node.outputs[0]:
        best = steps("ArgMax", scores, axis=1, keepdims=0)
        if len(known) == 2:
            most = steps("ReduceMax", scores, steps.integers(1), keepdims=0)
            positive = bool((values >= 0).all())
            least = steps.constant(0.5 if positive else 0.0, "float32")
            above = steps("GreaterOrEqual" if positive else "Greater", most, least)
            best = steps("Where", above, steps.constant(1, "int64"), best)
        steps("Gather", steps.constant(known), best, axis=0, to=node.outputs[0])
    if wanted:
        transformed(node, steps, scores, to=wanted)


def _of_pairs(node: OnnxNode, steps: Steps, x: str, classes: int) -> str:
    """The score of each pair of classes, (rows, pairs): above 0 the first of them wins. A pair weighs the vectors of
    its two classes by its own coefficients.
    """
    counts = node.integers("vectors_per_class") or ()
    vectors = sum(counts)
    pairs = list(combinations(range(classes), 2))
    coefficients = np.array(node.reals("coefficients"), np.float32)
    support, rho = (np.array(node.reals(name), np.float32) for name in ("support_vectors", "rho"))
    if (
        len(counts) != classes
        or min(counts) < 0
        or coefficients.size != (classes - 1) * vectors
        or rho.size != len(pairs)
        or support.size != vectors * steps.shape(x)[-1]
    ):
        raise node.malformed("its lists do not fit its classes, vectors and columns")
    ends = np.cumsum((0, *counts))
    table = coefficients.reshape(classes - 1, vectors)
    weights = np.zeros((vectors, len(pairs)), np.float32)
    for column, (first, second) in enumerate(pairs):
        for own, row in ((first, second - 1), (second, first)):
            part = slice(ends[own], ends[own + 1])
            weights[part, column] = table[row, part]
    kernel = _kernel(node, steps, x, support.reshape(vectors, -1))
    return steps("Add", steps("MatMul", kernel, steps.constant(weights)), steps.constant(rho))


def _won(steps: Steps, scores: str, classes: int) -> str:
    """How many pairs each class wins, (rows, classes)."""
    pairs = list(combinations(range(classes), 2))
    first, second = (np.array([np.eye(classes)[pair[side]] for pair in pairs], "f4") for side in (0, 1))
    above = steps.cast(steps("Greater", scores, steps.constant(0, "float32")), "float32")
    gained = steps("MatMul", above, steps.constant(first - second))
    return steps("Add", gained, steps.constant(second.sum(0)))


def _probabilities(node: OnnxNode, builder: GraphBuilder, steps: Steps, scores: str, classes: int) -> str:
    """Of each class, from a sigmoid of the score of each pair (Platt 1999)."""
    slopes, offsets = (np.array(node.reals(name), np.float32) for name in ("prob_a", "prob_b"))
    pairs = list(combinations(range(classes), 2))
    if slopes.size != len(pairs) or offsets.size != len(pairs):
        raise node.malformed(f"it has {slopes.size} and {offsets.size} numbers for {len(pairs)} pairs")
    line = steps("Add", steps("Mul", scores, steps.constant(slopes)), steps.constant(offsets))
    first = steps("Sigmoid", steps("Neg", line))
    least, most = (steps.constant(np.float32(value)) for value in (LEAST, 1.0 - LEAST))
    first = steps("Clip", first, least, most)
    second = steps("Sub", steps.constant(1, "float32"), first)
    both = steps("Concat", first, second, axis=1)
    place = np.zeros((classes, classes), np.int64)
    for index, (one, other) in enumerate(pairs):
        place[one, other], place[other, one] = index, len(pairs) + index
    table = steps("Gather", both, steps.constant(place), axis=1)
    return builder.emit(node, PairwiseCoupling(), builder.tensor_of(node, table), step="coupling")


def _kernel(node: OnnxNode, steps: Steps, x: str, vectors: Array) -> str:
    """The kernel of every row with every support vector."""
    kind, dtype = node.text("kernel_type", "LINEAR"), steps.type(x).dtype
    gamma, offset, degree = (*node.reals("kernel_params"), 0.0, 0.0, 0.0)[:3]
    if kind == "RBF":
        apart = steps("Sub", steps("Unsqueeze", x, steps.integers(1)), steps.constant(vectors[None]))
        squares = steps("ReduceSumSquare", apart, steps.integers(2), keepdims=0)
        return steps("Exp", steps("Mul", squares, steps.constant(-gamma, dtype)))
    product = steps("MatMul", x, steps.constant(vectors.T))
    if kind == "LINEAR":
        return product
    scaled = steps("Add", steps("Mul", product, steps.constant(gamma, dtype)), steps.constant(offset, dtype))
    if kind == "SIGMOID":
        return steps("Tanh", scaled)
    if kind != "POLY":
        raise node.malformed(f"kernel_type is {kind!r}")
    return steps("Pow", scaled, steps.constant(degree, dtype))
