"""Ensembles of decision trees from ONNX's operator set of classical machine learning: all trees are walked at once, a
level at a time, by gathers from tables of their nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operators.classical import (
    DOMAIN,
    LOGISTIC,
    NONE,
    features,
    labels,
    transformed,
    two_columns,
)
from codegen.tensor import Array

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

COMPARISONS = {
    "BRANCH_LEQ": "LessOrEqual",
    "BRANCH_LT": "Less",
    "BRANCH_GTE": "GreaterOrEqual",
    "BRANCH_GT": "Greater",
    "BRANCH_EQ": "Equal",
    "BRANCH_NEQ": "Equal",
}
LEAF, MEMBER = "LEAF", "BRANCH_MEMBER"
MOST_LEVELS = 256
AGGREGATES = {"SUM": "ReduceSum", "AVERAGE": "ReduceMean", "MIN": "ReduceMin", "MAX": "ReduceMax"}


@dataclass(frozen=True)
class Trees:
    """Tables by node, of all trees: column of the features, threshold, mode, the next node where it is met and where
    not (a leaf is its own), whether what is no number meets it; `weights` (nodes, outputs) of leaves, and `given`,
    which of these there are. `roots` and `levels` of the deepest tree. `members` (nodes, size) are the sets of nodes
    whose condition is to be in one, filled up by what is no number.
    """

    columns: Array
    thresholds: Array
    modes: tuple[str, ...]
    met: Array
    unmet: Array
    meets_missing: Array
    weights: Array
    given: Array
    roots: Array
    levels: int
    members: Array | None = None


@handles("TreeEnsembleRegressor", "all but PROBIT", DOMAIN)
def tree_ensemble_regressor(node: OnnxNode, builder: GraphBuilder) -> None:
    """What the leaves of all trees give for each target, put together."""
    steps = Steps(node, builder)
    x, aggregate = features(node, steps), node.text("aggregate_function", "SUM")
    trees = _trees(node, builder, "target", node.integer("n_targets", 1), steps.type(x).dtype)
    if aggregate not in AGGREGATES:
        raise node.malformed(f"aggregate_function is {aggregate!r}")
    y = put_together(node, steps, x, trees, aggregate)
    transformed(node, steps, _based(node, builder, steps, y), to=node.output)


def put_together(node: OnnxNode, steps: Steps, x: str, trees: Trees, aggregate: str) -> str:
    """What all trees give, (rows, outputs)."""
    is_leaf = np.array([mode == LEAF for mode in trees.modes])
    if aggregate in ("MIN", "MAX") and not trees.given[is_leaf].all():
        raise node.unsupported("some of its leaves give no value for a target", "export a tree for each")
    return steps(AGGREGATES[aggregate], leaves_of(steps, x, trees), steps.integers(1), keepdims=0)


@handles(
    "TreeEnsembleClassifier",
    "all but PROBIT; classes that are texts as their places, `explorer.backend` gives these",
    DOMAIN,
)
def tree_ensemble_classifier(node: OnnxNode, builder: GraphBuilder) -> None:
    """Labels, and scores of classes; of two classes the trees may give the scores of one alone."""
    steps, known = Steps(node, builder), labels(node, "classlabels_int64s")
    x = features(node, steps)
    trees = _trees(node, builder, "class", len(known), steps.type(x).dtype)
    ids = sorted(set(node.integers("class_ids") or ()))
    y = steps("ReduceSum", leaves_of(steps, x, trees), steps.integers(1), keepdims=0)
    if len(known) == 2 and len(ids) == 1:
        _of_one_score(node, builder, steps, y, ids[0], not _any_negative(trees), known)
        return
    if not _always_scored(trees) and _any_negative(trees):
        raise node.unsupported("some classes have no score for some inputs", "export a score of each class")
    scores = _based(node, builder, steps, y)
    if node.outputs[0]:
        best = steps("ArgMax", scores, axis=1, keepdims=0)
        steps("Gather", steps.constant(known), best, axis=0, to=node.outputs[0])
    if len(node.outputs) > 1 and node.outputs[1]:
        transformed(node, steps, scores, to=node.outputs[1])


def _of_one_score(
    node: OnnxNode, builder: GraphBuilder, steps: Steps, sums: str, column: int, positive: bool, known: Array
) -> None:
    """Of two classes, where leaves give scores of one: that of the second. It wins above 1/2 where no weight is
    negative, else above 0, as in onnxruntime.
    """
    dtype = steps.type(sums).dtype
    base = _bases(node, builder, dtype)
    one = steps("Gather", sums, steps.integers(column), axis=1)
    score = steps("Add", one, steps.constant(base[-1:])) if base.size else one
    if node.outputs[0]:
        above = steps.cast(steps("Greater", score, steps.constant(0.5 if positive else 0.0, dtype)), "int64")
        flat = steps("Reshape", above, steps.integers(-1))
        steps("Gather", steps.constant(known), flat, axis=0, to=node.outputs[0])
    if len(node.outputs) < 2 or not node.outputs[1]:
        return
    kind = node.text("post_transform", NONE)
    if kind not in (NONE, LOGISTIC):
        raise node.unsupported(f"post_transform is {kind} for one score of two classes", f"use {LOGISTIC}")
    if positive and kind == NONE:
        first, second = steps("Sub", steps.constant(1, dtype), score), score
    else:
        first = transformed(node, steps, steps("Neg", score))
        second = transformed(node, steps, score)
    two_columns(steps, first, second, node.outputs[1])


def _any_negative(trees: Trees) -> bool:
    return bool(np.any(np.less(trees.weights, 0)))


def _always_scored(trees: Trees) -> bool:
    """Whether each output has a tree all of whose leaves give it."""
    below = {int(root): _below(trees, int(root)) for root in trees.roots}
    return all(
        any(trees.given[leaves, output].all() for leaves in below.values())
        for output in range(trees.given.shape[1])
    )


def _below(trees: Trees, root: int) -> list[int]:
    """The leaves of a tree."""
    leaves, left = [], [root]
    while left:
        at = left.pop()
        if trees.modes[at] == LEAF:
            leaves.append(at)
        else:
            left += [int(trees.met[at]), int(trees.unmet[at])]
    return leaves


def leaves_of(steps: Steps, x: str, trees: Trees) -> str:
    """What the leaf of each tree gives, (rows, trees, outputs)."""
    rows, count = steps.shape(x)[0], len(trees.roots)
    at = steps.constant(np.tile(trees.roots, (rows, 1)))
    columns, met, unmet = (steps.constant(table) for table in (trees.columns, trees.met, trees.unmet))
    thresholds = steps.constant(trees.thresholds)
    for _ in range(trees.levels):
        value = steps("GatherElements", x, steps("Gather", columns, at, axis=0), axis=1)
        holds = _holds(steps, trees, at, value, steps("Gather", thresholds, at, axis=0))
        at = steps("Where", holds, steps("Gather", met, at, axis=0), steps("Gather", unmet, at, axis=0))
    given = steps("Gather", steps.constant(trees.weights), at, axis=0)
    return steps("Reshape", given, steps.integers(rows, count, -1))


def _holds(steps: Steps, trees: Trees, at: str, value: str, threshold: str) -> str:
    """Whether a value meets the condition of the node where a walk is; at leaves it does not matter."""
    modes = sorted(set(trees.modes) - {LEAF})
    holds = ""
    for mode in modes:
        own = (
            _is_member(steps, trees, at, value)
            if mode == MEMBER
            else steps(COMPARISONS[mode], value, threshold)
        )
        if mode == "BRANCH_NEQ":
            own = steps("Not", own)
        if len(modes) > 1:
            table = steps.constant(np.array([one == mode for one in trees.modes]))
            own = steps("And", own, steps("Gather", table, at, axis=0))
        holds = steps("Or", holds, own) if holds else own
    if trees.meets_missing.any():
        missing = steps("Gather", steps.constant(trees.meets_missing), at, axis=0)
        holds = steps("Or", holds, steps("And", missing, steps("IsNaN", value)))
    return holds


def _is_member(steps: Steps, trees: Trees, at: str, value: str) -> str:
    """Whether a value is in the set of the node where a walk is."""
    sets = steps("Gather", steps.constant(trees.members), at, axis=0)
    equal = steps("Equal", steps("Unsqueeze", value, steps.integers(-1)), sets)
    any_of = steps("ReduceMax", steps.cast(equal, "int32"), steps.integers(-1), keepdims=0)
    return steps.cast(any_of, "bool")


def _bases(node: OnnxNode, builder: GraphBuilder, dtype: str) -> Array:
    return _numbers(node, builder, "base_values", dtype)


def _based(node: OnnxNode, builder: GraphBuilder, steps: Steps, sums: str) -> str:
    base = _bases(node, builder, steps.type(sums).dtype)
    if base.size not in (0, steps.shape(sums)[-1]):
        raise node.malformed(f"it has {base.size} base values for {steps.shape(sums)[-1]} outputs")
    return steps("Add", sums, steps.constant(base)) if base.size else sums


def _numbers(node: OnnxNode, builder: GraphBuilder, name: str, dtype: str) -> Array:
    """A list attribute, or the tensor of float64 that may stand for it."""
    tensor = node.tensor(f"{name}_as_tensor")
    if tensor is None:
        return np.array(node.reals(name), dtype)
    return builder.array(tensor, f"attribute {name}_as_tensor").astype(dtype).reshape(-1)


def _trees(node: OnnxNode, builder: GraphBuilder, what: str, outputs: int, dtype: str) -> Trees:
    """The tables of a node's attributes; raises ModelError where they are no trees."""
    trees, ids = node.integers("nodes_treeids") or (), node.integers("nodes_nodeids") or ()
    modes, count = node.texts("nodes_modes"), len(trees)
    lists = {name: node.integers(f"nodes_{name}ids") or () for name in ("feature", "truenode", "falsenode")}
    thresholds = _numbers(node, builder, "nodes_values", dtype)
    missing = np.array(node.integers("nodes_missing_value_tracks_true") or (0,) * count, bool)
    if not count or {len(ids), len(modes), len(thresholds), len(missing), *map(len, lists.values())} != {
        count
    }:
        raise node.malformed("its lists of nodes are not equally long")
    unknown = sorted(set(modes) - {LEAF, *COMPARISONS})
    if unknown:
        raise node.unsupported(f"its nodes have mode {unknown[0]}", f"use {' or '.join(COMPARISONS)}")
    place = {key: index for index, key in enumerate(zip(trees, ids, strict=True))}
    met, unmet = (
        [
            index if mode == LEAF else place.get((tree, child), -1)
            for index, (tree, child, mode) in enumerate(zip(trees, lists[name], modes, strict=True))
        ]
        for name in ("truenode", "falsenode")
    )
    if len(place) != count or min(*met, *unmet) < 0:
        raise node.malformed("its nodes have no names of their own, or lead nowhere")
    reached = {child for side in (met, unmet) for index, child in enumerate(side) if child != index}
    roots = [index for index in range(count) if index not in reached]
    is_leaf = np.array([mode == LEAF for mode in modes])
    return Trees(
        np.where(is_leaf, 0, lists["feature"]).astype(np.int64),
        np.where(is_leaf, 0, thresholds).astype(dtype),
        modes,
        np.array(met, np.int64),
        np.array(unmet, np.int64),
        missing & ~is_leaf,
        *_weights(node, builder, what, (count, outputs), place, dtype),
        np.array(roots, np.int64),
        levels_of(node, roots, met, unmet, modes),
    )


def _weights(
    node: OnnxNode,
    builder: GraphBuilder,
    what: str,
    shape: tuple[int, int],
    place: dict[tuple[int, int], int],
    dtype: str,
) -> tuple[Array, Array]:
    """What leaves give, and which of it there is."""
    table, given = np.zeros(shape, dtype), np.zeros(shape, bool)
    keys = [node.integers(f"{what}_{name}") or () for name in ("treeids", "nodeids", "ids")]
    values = _numbers(node, builder, f"{what}_weights", dtype)
    if {len(key) for key in keys} != {len(values)}:
        raise node.malformed("its lists of weights are not equally long")
    for tree, leaf, output, value in zip(*keys, values, strict=True):
        if (tree, leaf) not in place or not 0 <= output < shape[1]:
            raise node.malformed(f"it weights node {leaf} of tree {tree} for output {output}")
        table[place[tree, leaf], output] += value
        given[place[tree, leaf], output] = True
    return table, given


def levels_of(
    node: OnnxNode, roots: list[int], met: list[int], unmet: list[int], modes: tuple[str, ...]
) -> int:
    """How many conditions the longest way has; raises ModelError where a node is reached twice."""
    level, levels, seen = roots, 0, len(roots)
    while level := [child for at in level if modes[at] != LEAF for child in (met[at], unmet[at])]:
        levels, seen = levels + 1, seen + len(level)
        if seen > len(modes):
            break
    if seen != len(modes):
        raise node.malformed("its nodes are no trees")
    if levels > MOST_LEVELS:
        raise node.unsupported(f"a tree has {levels} levels", f"train it with {MOST_LEVELS} or less")
    return levels
