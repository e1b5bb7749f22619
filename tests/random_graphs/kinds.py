"""The kinds of random graphs, and what they grow by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tests.random_graphs.growing import Growing, Shape
from tests.random_graphs.index_steps import (
    computed_gather,
    depth_and_space,
    diagonal,
    elements,
    expanded,
    found_or_not,
    hard_maximum,
    one_hot,
    places_of_all_axes,
    reversed_lines,
    scattered,
    scattered_rows,
    selected,
    triangle,
)
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
from tests.random_graphs.more_layer_steps import (
    bounded_unary,
    branches,
    convolved_integers,
    exact_integers,
    named_axes,
    norm_pool,
    other_norm,
    other_reduction,
    other_unary,
    quotient,
    regions,
    sampled,
    scanned,
    several,
    slopes,
    spectrum,
    turns,
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
    "places": (
        *MOVES,
        *(computed_gather, elements, places_of_all_axes, scattered, scattered_rows, one_hot, expanded) * 2,
        *(triangle, diagonal, reversed_lines, depth_and_space, selected, hard_maximum, found_or_not) * 2,
        *(comparison, whole_numbers, cast, unary, binary),
    ),
    "sampling": (
        *ALWAYS,
        *(sampled, regions, other_norm, norm_pool, spectrum, depth_and_space, convolution, pool) * 2,
        *(other_unary, bounded_unary, slopes, several),
    ),
    "control": (
        *ALWAYS,
        *(branches, turns, scanned, named_axes, comparison, logic) * 2,
        *(other_reduction, quotient, several, other_unary, bounded_unary, matrix),
    ),
    "bytes": (
        *MOVES,
        *(exact_integers, convolved_integers, quantised, cast, bits, whole_numbers, comparison, choice) * 2,
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
    "places": (
        ((4, 5), FLOAT),
        ((2, 3, 4), FLOAT),
        ((1, 4, 4, 6), FLOAT),
        ((3, 4), "int64"),
        ((4,), "bool"),
        ((4, 5), "bool"),
    ),
    "sampling": (((1, 4, 9, 8), FLOAT), ((2, 4, 6, 6), FLOAT), ((2, 12), FLOAT)),
    "control": (((2, 3, 4), FLOAT), ((3, 5), FLOAT), ((2, 1), "bool"), ((4, 2, 3), FLOAT)),
    "bytes": (((3, 4), "uint8"), ((5, 4), FLOAT), ((2, 6), "uint8"), ((3, 4), "int32")),
}


def grown(kind: str, random: np.random.Generator) -> Growing:
    """A graph of a kind, of up to twenty steps."""
    g = Growing(random)
    for _ in range(g.whole(1, 3)):
        g.input(*g.one_of(INPUTS[kind]))
    for _ in range(g.whole(3, 20)):
        g.one_of(KINDS[kind])(g)
    return g
