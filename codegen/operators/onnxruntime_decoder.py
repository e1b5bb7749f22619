"""What onnxruntime's exports of language models consist of beside ONNX's operators: rotated positions, and attention of
grouped heads that carries its keys and values.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from codegen.onnx_import.heads import into_heads, out_of_heads
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

DOMAIN = "com.microsoft"
LEAST = -3.0e38
"""In the place of scores that do not count: nothing of them is left by a softmax."""


def _rotated(steps: Steps, heads: str, cosines: str, sines: str, interleaved: bool) -> str:
    """Rows (N, heads, S, D), the first 2R elements of each turned by angles (N or 1, 1, S, R)."""
    batch, count, rows, width = steps.shape(heads)
    half = steps.shape(cosines)[-1]
    parts = [steps.fresh(name) for name in ("turned", "kept")]
    turned = heads
    if 2 * half < width:
        sizes = steps.integers(2 * half, width - 2 * half)
        turned = steps.several("Split", [heads, sizes], parts, axis=-1)[0]
    pairs = (batch, count, rows, half, 2) if interleaved else (batch, count, rows, 2, half)
    axis = 4 if interleaved else 3
    split = steps("Reshape", turned, steps.integers(*pairs))
    first, second = (steps("Gather", split, steps.constant(index, "int64"), axis=axis) for index in range(2))
    real = steps("Sub", steps("Mul", first, cosines), steps("Mul", second, sines))
    imaginary = steps("Add", steps("Mul", first, sines), steps("Mul", second, cosines))
    both = [steps("Unsqueeze", one, steps.integers(axis)) for one in (real, imaginary)]
    joined = steps("Reshape", steps("Concat", *both, axis=axis), steps.integers(batch, count, rows, 2 * half))
    return joined if turned == heads else steps("Concat", joined, parts[1], axis=-1)


def _angles(steps: Steps, caches: tuple[str, str], places: str) -> tuple[str, str]:
    """Rows of the caches at places (N or 1, S), as (N or 1, 1, S, R)."""
    cosines, sines = (steps("Gather", cache, places, axis=0) for cache in caches)
    return steps("Unsqueeze", cosines, steps.integers(1)), steps("Unsqueeze", sines, steps.integers(1))


def _parted(node: OnnxNode, steps: Steps, rows: str, heads: int) -> str:
    """Rows (N, S, heads x D) as (N, heads, S, D)."""
    shape = steps.shape(rows)
    if len(shape) != 3 or heads < 1 or shape[-1] % heads:
        raise node.malformed(f"rows of shape {shape} for {heads} heads")
    return into_heads(steps, rows, heads)


@handles("RotaryEmbedding", "without scale or packed batches", DOMAIN)
def rotary_embedding(node: OnnxNode, builder: GraphBuilder) -> None:
    """Positions are an offset of all rows, or each row's own."""
    steps = Steps(node, builder)
    if node.real("scale", 1.0) != 1.0 or node.flag("is_packed_batching"):
        raise node.unsupported("it scales, or its batches are packed", "export the model without it")
    rows, places = node.input(0), node.input(1)
    is_parted = len(steps.shape(rows)) == 4
    caches = node.input(2), node.input(3)
    width = node.integer("rotary_embedding_dim", 0) or 2 * steps.shape(caches[0])[-1]
    heads = node.integer("num_heads", 0) or (0 if is_parted else steps.shape(rows)[-1] // width)
    parted = rows if is_parted else _parted(node, steps, rows, heads)
    length = steps.shape(parted)[2]
    if steps.shape(places) == (1,):
        every = steps.constant(np.arange(length)[None], steps.type(places).dtype)
        places = steps("Add", places, every)
    cosines, sines = _angles(steps, caches, places)
    turned = _rotated(steps, parted, cosines, sines, node.flag("interleaved"))
    if is_parted:
        steps("Identity", turned, to=node.output)
    else:
        out_of_heads(steps, turned, node.output)


@handles(
    "GroupQueryAttention",
    "constant total_sequence_length; float caches; without position_ids, smooth softmax, sinks, scores as an output",
    DOMAIN,
)
def group_query_attention(node: OnnxNode, builder: GraphBuilder) -> None:
    """Keys and values of before are followed by those of the new rows, each sample's where its length says.

    Rows of a prompt, which are as many as the whole sequence, have no past. Behind a sample's length the carried keys
    and values are what is there, and count for nothing.
    """
    steps = Steps(node, builder)
    _require_plain(node)
    lengths = builder.constant(node, 6)
    if lengths.size != 1:
        raise node.malformed(f"its total sequence length has the shape {lengths.shape}")
    total = int(lengths.reshape(-1)[0])
    queries, keys, values = _factors(node, steps)
    rows = steps.shape(queries)[2]
    ends = steps("Reshape", steps.cast(node.input(5), "int64"), steps.integers(-1, 1))
    is_prompt = rows == total
    taken = ends if is_prompt else steps.constant(rows - 1, "int64")
    before = steps("Sub", ends, taken)  # lengths of the past (N, 1)
    places = steps("Add", before, steps.constant(np.arange(rows)[None], "int64"))
    if node.flag("do_rotary"):
        cosines, sines = _angles(steps, (node.input(7), node.input(8)), places)
        queries, keys = (
            _rotated(steps, heads, cosines, sines, node.flag("rotary_interleaved"))
            for heads in (queries, keys)
        )
    past = [node.input(index) for index in (3, 4)] if node.has_input(3) and node.has_input(4) else []
    carried = [
        _carried(steps, *pair, before, total) for pair in zip(past or ("", ""), (keys, values), strict=True)
    ]
    _attend(node, steps, queries, carried, steps("Min", places, ends))
    for name, tensor in zip(node.outputs[1:3], carried, strict=False):
        if name:
            steps("Identity", tensor, to=name)


def _require_plain(node: OnnxNode) -> None:
    has_flags = node.flag("smooth_softmax") or node.flag("qk_output")
    has_integers = any(node.text(f"{name}_quant_type", "NONE") != "NONE" for name in "kv")
    if has_flags or has_integers or any(map(node.has_input, (9, *range(11, 16)))):
        raise node.unsupported(
            "it has places of rows, a smooth softmax, a sink, integers in its caches or gives scores",
            "export the model without it",
        )


def _factors(node: OnnxNode, steps: Steps) -> tuple[str, str, str]:
    """Queries, keys and values (N, heads, S, D), packed in one input or not."""
    heads, own = node.integer("num_heads", 0), node.integer("kv_num_heads", 0)
    if heads < 1 or own < 1 or heads % own:
        raise node.malformed(f"{heads} heads of queries for {own} of keys")
    if node.has_input(1):
        given = [node.input(index) for index in range(3)]
    else:
        packed, count = node.input(0), heads + 2 * own
        if steps.shape(packed)[-1] % count:
            raise node.malformed(f"rows of shape {steps.shape(packed)} for {count} heads")
        width = steps.shape(packed)[-1] // count
        given = [steps.fresh(name) for name in ("queries", "keys", "values")]
        steps.several(
            "Split", [packed, steps.integers(heads * width, own * width, own * width)], given, axis=-1
        )
    queries, keys, values = (
        _parted(node, steps, rows, count) for rows, count in zip(given, (heads, own, own), strict=True)
    )
    return queries, keys, values


def _carried(steps: Steps, past: str, new: str, before: str, total: int) -> str:
    """`before` rows (N, 1) of the past of each sample and the new ones behind them."""
    batch, heads, rows, width = steps.shape(new)
    room = steps.shape(past)[2] if past else 0
    length = max(room, total)
    if length == rows and not room:
        return new
    every = steps.constant(np.arange(length)[None], "int64")
    offset = steps("Sub", every, before)
    own = steps(
        "Add",
        steps("Min", steps("Max", offset, steps.constant(0, "int64")), steps.constant(rows - 1, "int64")),
        steps.constant(room, "int64"),
    )
    index = steps("Where", steps("Less", offset, steps.constant(0, "int64")), every, own)
    joined = steps("Concat", past, new, axis=2) if room else new
    index = steps(
        "Expand",
        steps("Reshape", index, steps.integers(batch, 1, length, 1)),
        steps.integers(batch, heads, length, width),
    )
    return steps("GatherElements", joined, index, axis=2)


def _attend(node: OnnxNode, steps: Steps, queries: str, carried: list[str], places: str) -> None:
    """The node's first output; row i sees keys up to its place, and no more than a window of them."""
    batch, heads, rows, width = steps.shape(queries)
    own, length = steps.shape(carried[0])[1:3]
    dtype = steps.type(queries).dtype
    scale = steps.constant(node.real("scale", 0.0) or 1.0 / math.sqrt(width), dtype)
    grouped = steps(
        "Reshape", steps("Mul", queries, scale), steps.integers(batch, own, heads // own * rows, width)
    )
    scores = steps("MatMul", grouped, steps("Transpose", carried[0], perm=[0, 1, 3, 2]))
    scores = steps("Reshape", scores, steps.integers(batch, heads, rows, length))
    if cap := node.real("softcap", 0.0):
        factor = steps.constant(cap, dtype)
        scores = steps("Mul", steps("Tanh", steps("Div", scores, factor)), factor)
    if node.has_input(10):
        scores = steps("Add", scores, node.input(10))
    keys = steps.constant(np.arange(length).reshape(1, 1, 1, -1), "int64")
    own_places = steps("Reshape", places, steps.integers(batch, 1, rows, 1))
    counts = steps("LessOrEqual", keys, own_places)
    window = node.integer("local_window_size", -1)
    if window > 0:
        first = steps("Sub", own_places, steps.constant(window, "int64"))
        counts = steps("And", counts, steps("Greater", keys, first))
    scores = steps("Where", counts, scores, steps.constant(LEAST, dtype))
    weights = steps(
        "Reshape", steps("Softmax", scores, axis=-1), steps.integers(batch, own, heads // own * rows, length)
    )
    mixed = steps("Reshape", steps("MatMul", weights, carried[1]), steps.integers(batch, heads, rows, width))
    out_of_heads(steps, mixed, node.output)
