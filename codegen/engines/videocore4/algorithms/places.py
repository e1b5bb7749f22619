"""Which element of which input each element of an output is, for operators that move elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from codegen.graph import LayerSpec
from codegen.operator import Operator
from codegen.operators.concat import Concat
from codegen.operators.rearrange import NOWHERE, Places, Rearrange
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.split import Split
from codegen.operators.transpose import Transpose
from codegen.tensor import TensorType


class Piece(NamedTuple):
    """A part of an output: of one sample some channels, or the whole.

    `places` has the part's shape and holds places of the input in row-major order, or NOWHERE for the operator's
    number.
    """

    input: int
    output: int
    places: Places
    sample: int = 0
    channel: int = 0


def _in_order(tensor: TensorType) -> Places:
    return np.arange(tensor.elements).reshape(tensor.shape)


def _whole(places: Places) -> list[Piece]:
    return [Piece(0, 0, places)]


def _concat(spec: LayerSpec) -> list[Piece]:
    found, channel = [], 0
    for index, tensor in enumerate(spec.inputs):
        places = _in_order(tensor)
        found += [Piece(index, 0, places[n : n + 1], n, channel) for n in range(tensor.shape[0])]
        channel += tensor.shape[1]
    return found


def _split(spec: LayerSpec) -> list[Piece]:
    op = spec.op
    assert isinstance(op, Split)
    parts = np.split(_in_order(spec.inputs[0]), np.cumsum(op.sizes)[:-1], axis=op.axis)
    return [Piece(0, index, part) for index, part in enumerate(parts)]


def _transpose(spec: LayerSpec) -> list[Piece]:
    assert isinstance(spec.op, Transpose)
    return _whole(_in_order(spec.inputs[0]).transpose(spec.op.permutation))


def _rearrange(spec: LayerSpec) -> list[Piece]:
    assert isinstance(spec.op, Rearrange)
    return _whole(spec.op.places)


_PIECES: Mapping[type[Operator], Callable[[LayerSpec], list[Piece]]] = {
    Concat: _concat,
    Rearrange: _rearrange,
    Relayout: lambda spec: _whole(_in_order(spec.inputs[0])),
    Reshape: lambda spec: _whole(_in_order(spec.inputs[0]).reshape(spec.output.shape)),
    Split: _split,
    Transpose: _transpose,
}


def moves(op: Operator) -> bool:
    """Whether an operator is one of those."""
    return type(op) in _PIECES


def pieces(spec: LayerSpec) -> list[Piece]:
    """The parts of a layer's outputs; raises KeyError for an operator that computes."""
    return _PIECES[type(spec.op)](spec)


def fill_of(spec: LayerSpec) -> float:
    """The number of what is NOWHERE."""
    return spec.op.fill if isinstance(spec.op, Rearrange) else 0.0


def elements(piece: Piece) -> int:
    """How many elements it has."""
    return math.prod(piece.places.shape)


__all__ = ["NOWHERE", "Piece", "elements", "fill_of", "moves", "pieces"]
