"""The kinds of random graphs, and what they grow by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tests.random_graphs.growing import Growing, Shape
from tests.random_graphs.layer_steps import (
    attention,
    convolution,
    layer_normalisation,
    matrix,
    normalisation,
    pool,
    recurrent,
    softmax,
    transposed,
    whole_plane,
)
from tests.random_graphs.steps import (
    FLOAT,
    MOVES,
    Step,
    binary,
    bits,
    cast,
    choice,
    clip,
    comparison,
    exact_unary,
    logic,
    pad,
    quantised,
    ranked,
    reduction,
    remainder,
    resize,
    rounded,
    running_sum,
    unary,
    whole_numbers,
)

ALWAYS: Sequence[Step] = (*MOVES, unary, exact_unary, binary, clip, reduction)
KINDS: Mapping[str, Sequence[Step]] = {
    "vision": (
        *ALWAYS,
        *(convolution, transposed, pool, whole_plane, normalisation, pad, resize, softmax) * 2,
    ),
    "attention": (*ALWAYS, *(matrix, attention, layer_normalisation, softmax, running_sum) * 3),
    "recurrent": (*ALWAYS, *(recurrent, matrix, layer_normalisation) * 4, convolution, pad),
    "integer": (
        *MOVES,
        *(whole_numbers, remainder, bits, comparison, logic, choice, cast, quantised, ranked, rounded) * 3,
    ),
}
"""What graphs of a kind grow by; a step that stands there twice is taken as often."""
INPUTS: Mapping[str, Sequence[tuple[Shape, str]]] = {
    "vision": (((1, 4, 9, 8), FLOAT), ((2, 3, 6, 7), FLOAT), ((1, 6, 12), FLOAT), ((1, 1, 5, 5), FLOAT)),
    "attention": (((1, 6, 8), FLOAT), ((2, 5, 4), FLOAT), ((3, 8), FLOAT), ((2, 2, 4, 6), FLOAT)),
    "recurrent": (((5, 1, 4), FLOAT), ((4, 2, 3), FLOAT), ((1, 3, 6), FLOAT)),
    "integer": (
        ((3, 4), FLOAT),
        ((2, 3, 4), "int64"),
        ((3, 4), "uint8"),
        ((4, 5), "int32"),
        ((3, 1), "bool"),
    ),
}


def grown(kind: str, random: np.random.Generator) -> Growing:
    """A graph of a kind, of up to twenty steps."""
    g = Growing(random)
    for _ in range(g.whole(1, 3)):
        g.input(*g.one_of(INPUTS[kind]))
    for _ in range(g.whole(3, 20)):
        g.one_of(KINDS[kind])(g)
    return g
