"""Attention of onnxruntime's own operator set, which its optimiser of transformers writes, said by ONNX's operators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.heads import into_heads, out_of_heads
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

DOMAIN = "com.microsoft"
FILTER = -10000.0  # added to scores that a mask excludes, where a node says nothing else
LEAST = -3.0e38
"""Added to scores of what comes later: nothing of it is left by a softmax."""


def _heads(node: OnnxNode) -> int:
    count = node.integer("num_heads", 0)
    if count < 1:
        raise node.malformed(f"attribute num_heads is {count}")
    return count


def _parted(node: OnnxNode, steps: Steps, rows: str) -> str:
    """Rows (N, S, heads x D) as (N, heads, S, D)."""
    heads = _heads(node)
    if len(steps.shape(rows)) != 3 or steps.shape(rows)[-1] % heads:
        raise node.unsupported(
            f"rows of shape {steps.shape(rows)} for {heads} heads",
            "optimise the model without packed or padded rows",
        )
    return into_heads(steps, rows, heads)


def _excluded(node: OnnxNode, steps: Steps, mask: str, shape: Sequence[int], dtype: str) -> str:
    """What is added to scores (N, heads, S, T) by a mask: of each sample's keys, of each row's, or lengths."""
    batch, _, rows, keys = shape
    given = steps.shape(mask)
    if given == (batch,) and batch != 1:
        places = steps.constant(np.arange(keys).reshape(1, 1, 1, keys), steps.type(mask).dtype)
        kept = steps("Less", places, steps("Reshape", mask, steps.integers(-1, 1, 1, 1)))
    elif given == (batch, keys):
        kept = steps.cast(steps("Reshape", mask, steps.integers(batch, 1, 1, keys)), "bool")
    elif given == (batch, rows, keys):
        kept = steps.cast(steps("Reshape", mask, steps.integers(batch, 1, rows, keys)), "bool")
    else:
        raise node.unsupported(
            f"its mask has the shape {given} for {batch} samples of {rows} rows and {keys} keys",
            "optimise the model with raw attention masks",
        )
    none = steps.constant(0.0, dtype)
    return steps("Where", kept, none, steps.constant(node.real("mask_filter_value", FILTER), dtype))


def _attend(
    node: OnnxNode, builder: GraphBuilder, factors: Sequence[str], past: Sequence[str], mask: int, bias: int
) -> None:
    """The node's outputs from queries, keys and values (N, heads, rows, D), and keys and values of before."""
    steps = Steps(node, builder)
    queries, keys, values = factors
    if past:
        keys, values = (steps("Concat", a, b, axis=2) for a, b in zip(past, (keys, values), strict=True))
    dtype, width = steps.type(queries).dtype, steps.shape(queries)[-1]
    scale = steps.constant(node.real("scale", 0.0) or 1.0 / math.sqrt(width), dtype)
    scores = steps("MatMul", steps("Mul", queries, scale), steps("Transpose", keys, perm=[0, 1, 3, 2]))
    shape = steps.shape(scores)
    if node.has_input(mask):
        scores = steps("Add", scores, _excluded(node, steps, node.input(mask), shape, dtype))
    if node.has_input(bias):
        scores = steps("Add", scores, node.input(bias))
    if node.flag("unidirectional"):
        later = np.triu(np.ones(shape[-2:], bool), 1 + shape[-1] - shape[-2])
        scores = steps("Where", steps.constant(later), steps.constant(LEAST, dtype), scores)
    mixed = steps("MatMul", steps("Softmax", scores, axis=-1), values)
    out_of_heads(steps, mixed, node.output)
    given = [name for name in node.outputs[1:] if name]
    if node.op_type == "Attention" and given:
        parts = [steps("Unsqueeze", tensor, steps.integers(0)) for tensor in (keys, values)]
        steps("Concat", *parts, to=given[0], axis=0)
    elif given:
        for name, tensor in zip(node.outputs[1:], (keys, values), strict=False):
            if name:
                steps("Identity", tensor, to=name)


@handles("Attention", "masks of keys or of rows and keys, or lengths; without rotation", DOMAIN)
def attention(node: OnnxNode, builder: GraphBuilder) -> None:
    """Queries, keys and values are one product of the input."""
    if node.flag("do_rotary") or node.flag("past_present_share_buffer"):
        raise node.unsupported(
            "it rotates, or shares a buffer with its past", "optimise the model without it"
        )
    steps = Steps(node, builder)
    product = steps("MatMul", node.input(0), node.input(1))
    if node.has_input(2):
        product = steps("Add", product, node.input(2))
    width = steps.shape(product)[-1]
    sizes = node.integers("qkv_hidden_sizes") or (width // 3,) * 3
    names = [steps.fresh(name) for name in ("queries", "keys", "values")]
    steps.several("Split", [product, steps.integers(*sizes)], names, axis=-1)
    past = []
    if node.has_input(4):
        past = [steps("Gather", node.input(4), steps.constant(index, "int64"), axis=0) for index in range(2)]
    _attend(node, builder, [_parted(node, steps, name) for name in names], past, 3, 5)


@handles(
    "MultiHeadAttention", "rows that are not packed; masks of keys or of rows and keys, or lengths", DOMAIN
)
def multi_head_attention(node: OnnxNode, builder: GraphBuilder) -> None:
    """Queries, keys and values are given, each plus a part of a bias."""
    if not (node.has_input(1) and node.has_input(2)) or any(node.has_input(index) for index in (8, 9)):
        raise node.unsupported("its rows are packed, or share a buffer", "optimise the model without it")
    steps = Steps(node, builder)
    names = [node.input(index) for index in range(3)]
    if node.has_input(3):
        sizes = steps.integers(*(steps.shape(name)[-1] for name in names))
        parts = [steps.fresh(f"bias_of_{name}") for name in ("queries", "keys", "values")]
        steps.several("Split", [node.input(3), sizes], parts, axis=0)
        names = [steps("Add", name, part) for name, part in zip(names, parts, strict=True)]
    factors = [name if len(steps.shape(name)) == 4 else _parted(node, steps, name) for name in names]
    past = [node.input(6), node.input(7)] if node.has_input(6) and node.has_input(7) else []
    _attend(node, builder, factors, past, 4, 5)
