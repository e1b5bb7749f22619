"""A transposition between two views of planes becomes one rearrangement: shuffled channels, depth to space and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codegen.graph import Graph, Node
from codegen.operators.rearrange import Rearrange
from codegen.operators.reshape import Reshape
from codegen.operators.transpose import Transpose
from codegen.passes.rewrite import substitute
from codegen.places import Places
from codegen.tensor import Shape

MOST_ELEMENTS = 1 << 24  # whose places are looked at


def fuse_view_transpositions(graph: Graph) -> Graph:
    """Reshape, Transpose, Reshape between tensors of four axes become a Rearrange, where each place adds up over the
    result's axes.

    A layout of planes lasts through that, and no layer has to be in row-major order for the views' sake.
    """
    renewed: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        transposition = _alone(graph, node.inputs[0]) if isinstance(node.op, Reshape) else None
        if transposition is None or not isinstance(transposition.op, Transpose):
            continue
        view = _alone(graph, transposition.inputs[0])
        if view is None or not isinstance(view.op, Reshape):
            continue
        source, result = graph.types[view.inputs[0]], graph.types[node.output]
        if len(source.shape) != 4 or len(result.shape) != 4 or source.elements > MOST_ELEMENTS:
            continue
        places = np.arange(source.elements).reshape(graph.types[view.output].shape)
        op = separable(places.transpose(transposition.op.permutation).reshape(result.shape))
        if op is not None:
            renewed[view.name] = renewed[transposition.name] = ()
            renewed[node.name] = (replace(node, op=op, inputs=view.inputs),)
    return substitute(graph, renewed)


def _alone(graph: Graph, tensor: str) -> Node | None:
    """The node that writes a tensor, if only one reads it."""
    is_read_once = len(graph.consumers(tensor)) == 1 and tensor not in graph.outputs
    return graph.producer(tensor) if is_read_once else None


def separable(places: Places) -> Rearrange | None:
    """The rearrangement to these places of a tensor's elements; None where they do not add up over the axes."""
    offset = int(places.flat[0])
    steps = [_along(places, axis) - offset for axis in range(places.ndim)]
    total = np.full((1,) * places.ndim, offset)
    for axis, along in enumerate(steps):
        total = total + along.reshape([-1 if other == axis else 1 for other in range(places.ndim)])
    if not np.array_equal(total, places):
        return None
    strides = [int(along[1]) if len(along) > 1 else 0 for along in steps]
    is_even = [
        np.array_equal(along, stride * np.arange(len(along)))
        for along, stride in zip(steps, strides, strict=True)
    ]
    tables = tuple(() if even else tuple(along.tolist()) for along, even in zip(steps, is_even, strict=True))
    shape: Shape = tuple(map(int, places.shape))
    kept = tuple(stride if even else 0 for stride, even in zip(strides, is_even, strict=True))
    return Rearrange(shape, kept, offset, tables if any(tables) else ())


def _along(places: Places, axis: int) -> Places:
    along: Places = places[tuple(slice(None) if other == axis else 0 for other in range(places.ndim))]
    return along
