"""Ensembles of decision trees as version 5 of ONNX's classical set writes them: conditions and leaves apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operators.classical import DOMAIN, LOGISTIC, NONE, SOFTMAX, SOFTMAX_ZERO, rows_of, transformed_by
from codegen.operators.tree_ensemble import LEAF, MEMBER, Trees, levels_of, put_together
from codegen.tensor import Array

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", MEMBER)
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = (NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO, "PROBIT")


@handles("TreeEnsemble", "all but PROBIT; a tree's leaves are its own", DOMAIN)
def tree_ensemble(node: OnnxNode, builder: GraphBuilder) -> None:
    """What the leaves of all trees give for each target, put together."""
    steps, tensor = Steps(node, builder), node.input(0)
    aggregate = _one_of(node, AGGREGATES, "aggregate_function", 1)
    kind = _one_of(node, TRANSFORMS, "post_transform", 0)
    trees = _trees(node, builder, steps.type(tensor).dtype)
    y = put_together(node, steps, rows_of(tensor, steps), trees, aggregate)
    transformed_by(kind, node, steps, y, to=node.output)


def _one_of(node: OnnxNode, names: tuple[str, ...], attribute: str, default: int) -> str:
    index = node.integer(attribute, default)
    if not 0 <= index < len(names):
        raise node.malformed(f"{attribute} is {index}")
    return names[index]


def _trees(node: OnnxNode, builder: GraphBuilder, dtype: str) -> Trees:
    """Its conditions, then its leaves; raises ModelError where they are no trees."""
    modes = _modes(node, builder)
    weights = _tensor(node, builder, "leaf_weights").astype(dtype)
    targets = np.array(node.integers("leaf_targetids") or (), np.int64)
    lists = {name: node.integers(f"nodes_{name}ids") or () for name in ("feature", "truenode", "falsenode")}
    splits = _tensor(node, builder, "nodes_splits").astype(dtype)
    inner, outer, outputs = len(modes), len(weights), node.integer("n_targets", 1)
    missing = np.array(node.integers("nodes_missing_value_tracks_true") or (0,) * inner, bool)
    if {inner} != {*map(len, lists.values()), len(splits), len(missing)} or len(targets) != outer:
        raise node.malformed("its lists of nodes or of leaves are not equally long")
    if targets.size and not 0 <= targets.min() <= targets.max() < outputs:
        raise node.malformed(f"its leaves give output {targets.max()} of {outputs}")
    met, unmet = (_children(node, lists[f"{side}node"], side, inner, outer) for side in ("true", "false"))
    roots = list(node.integers("tree_roots") or ())
    if not roots or not 0 <= min(roots) <= max(roots) < inner:
        raise node.malformed(f"its trees begin at {roots}")
    # A tree of a single leaf is a condition both sides of which lead there.
    single = [at for at in range(inner) if met[at] == unmet[at] >= inner]
    ends = {at: met[at] for at in single}
    kept = [ends.get(root, root) for root in roots]
    order = [index for index in range(inner + outer) if index not in ends]
    place = {index: new for new, index in enumerate(order)}
    own = (*modes, *[LEAF] * outer)
    table, given = np.zeros((inner + outer, outputs), dtype), np.zeros((inner + outer, outputs), bool)
    table[inner + np.arange(outer), targets], given[inner + np.arange(outer), targets] = weights, True
    leaves = range(inner, inner + outer)
    true, false = (
        [place[ends.get(child, child)] for child in np.array([*side, *leaves])[order].tolist()]
        for side in (met, unmet)
    )
    starts = [place[root] for root in kept]
    kinds = tuple(own[index] for index in order)
    return Trees(
        np.array([*lists["feature"], *[0] * outer], np.int64)[order],
        np.array([*splits, *[0] * outer], dtype)[order],
        kinds,
        np.array(true, np.int64),
        np.array(false, np.int64),
        np.array([*missing, *[False] * outer], bool)[order],
        table[order],
        given[order],
        np.array(starts, np.int64),
        levels_of(node, starts, true, false, kinds),
        _members(node, builder, modes, outer, dtype)[order] if MEMBER in modes else None,
    )


def _modes(node: OnnxNode, builder: GraphBuilder) -> tuple[str, ...]:
    numbers = _tensor(node, builder, "nodes_modes")
    if not numbers.size or int(numbers.max()) >= len(MODES):
        raise node.malformed(f"its nodes have modes {sorted(set(numbers.tolist()))}")
    return tuple(MODES[int(number)] for number in numbers)


def _children(node: OnnxNode, ids: tuple[int, ...], side: str, inner: int, outer: int) -> list[int]:
    """Where a side of each condition leads: a condition, or behind all of these a leaf."""
    is_leaf = node.integers(f"nodes_{side}leafs") or (0,) * inner
    if len(is_leaf) != inner or any(
        not 0 <= at < (outer if leaf else inner) for at, leaf in zip(ids, is_leaf, strict=False)
    ):
        raise node.malformed("its nodes lead nowhere")
    return [at + inner if leaf else at for at, leaf in zip(ids, is_leaf, strict=True)]


def _members(node: OnnxNode, builder: GraphBuilder, modes: tuple[str, ...], outer: int, dtype: str) -> Array:
    """The sets of all nodes; in the attribute each ends with what is no number."""
    sets: list[list[float]] = [[]]
    for value in _tensor(node, builder, "membership_values").tolist():
        if np.isnan(value):
            sets.append([])
        else:
            sets[-1].append(value)
    wanted = modes.count(MEMBER)
    if len(sets) - (not sets[-1]) != wanted:
        raise node.malformed(f"it has {len(sets) - (not sets[-1])} sets for {wanted} nodes")
    found = np.full((len(modes) + outer, max(map(len, sets))), np.nan, dtype)
    given = iter(sets)
    for index, mode in enumerate(modes):
        if mode == MEMBER:
            one = next(given)
            found[index, : len(one)] = one
    return found


def _tensor(node: OnnxNode, builder: GraphBuilder, name: str) -> Array:
    tensor = node.tensor(name)
    return np.zeros(0) if tensor is None else builder.array(tensor, f"attribute {name}").reshape(-1)
