"""The transforms of Winograd's minimal filtering F(m x m, 3 x 3): their matrices, and C text with few operations."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codegen.engines.cpu.source import float_literal
from codegen.tensor import FloatArray

Step = tuple[str, str]

TAPS = 3
TILES = (2, 4)
NEAR, FAR = 0.625, 1.5
"""F(4 x 4) is interpolated at 0, +-NEAR, +-FAR and infinity.

Rounding errors grow with the spread of the points' powers. All constants of these two are exact in float32, and the
errors a third of those of the usual +-1 and +-2, for as many operations. Every transform needs only the squares of
the points and one product per point, because the two of a pair share their even and odd parts.
"""

_NAMES = re.compile(r"[A-Za-z_]\w*")


def filter_matrix(tile: int) -> NDArray[np.float64]:
    """G of shape (tile + 2, 3), for the C text below (Lavin and Gray, Fast Algorithms for Convolutional Neural
    Networks, 2016, and the Toom-Cook interpolation that they take it from).
    """
    if tile == 2:
        return np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    rows = [[1 / (NEAR * FAR) ** 2, 0.0, 0.0]]
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        scale = 1 / (2 * point**2 * (point**2 - other**2))
        rows += [[scale, sign * scale * point, scale * point**2] for sign in (1, -1)]
    return np.array([*rows, [0.0, 0.0, 1.0]])


def transformed_filters(filters: FloatArray, tile: int) -> NDArray[np.float64]:
    """(out, in, 3, 3) as (tile + 2, tile + 2, out, in), in float64: rounded once, by the caller."""
    matrix = filter_matrix(tile)
    half = np.tensordot(matrix, filters.astype(np.float64), axes=(1, 2))  # row, out, in, kx
    return np.moveaxis(np.tensordot(half, matrix, axes=(3, 1)), 3, 1)


def input_steps(tile: int, sources: Sequence[str], results: Sequence[str], name: str) -> list[Step]:
    """What transforms the tile + 2 inputs of a line: names and their values in C; further names begin with `name`."""
    d = sources
    if tile == 2:
        values = [f"{d[0]} - {d[2]}", f"{d[1]} + {d[2]}", f"{d[2]} - {d[1]}", f"{d[3]} - {d[1]}"]
        return list(zip(results, values, strict=True))
    product, total = float_literal((NEAR * FAR) ** 2), float_literal(NEAR**2 + FAR**2)
    steps = [(results[0], f"({d[4]} - {d[2]} * {total}) + {d[0]} * {product}")]
    for pair, (point, other) in enumerate(((NEAR, FAR), (FAR, NEAR))):
        square, even, odd = float_literal(other**2), f"{name}e{pair}", f"{name}o{pair}"
        steps += [
            (even, f"{d[4]} - {d[2]} * {square}"),
            (odd, f"{d[3]} - {d[1]} * {square}"),
            (results[1 + 2 * pair], f"{even} + {odd} * {float_literal(point)}"),
            (results[2 + 2 * pair], f"{even} - {odd} * {float_literal(point)}"),
        ]
    steps.append((results[5], f"({d[5]} - {d[3]} * {total}) + {d[1]} * {product}"))
    return steps


def output_steps(tile: int, sources: Sequence[str], results: Sequence[str], name: str) -> list[Step]:
    """What makes the `tile` outputs of a line from tile + 2 products; as `input_steps`."""
    m = sources
    if tile == 2:
        values = [f"{m[0]} + {m[1]} + {m[2]}", f"{m[1]} - {m[2]} + {m[3]}"]
        return list(zip(results, values, strict=True))
    even, odd = [f"{name}e{pair}" for pair in (0, 1)], [f"{name}o{pair}" for pair in (0, 1)]
    steps = []
    for pair in (0, 1):
        first, second = m[1 + 2 * pair], m[2 + 2 * pair]
        steps += [(even[pair], f"{first} + {second}"), (odd[pair], f"{first} - {second}")]
    near, far = ([float_literal(point**power) for power in range(tile)] for point in (NEAR, FAR))
    steps += [
        (results[0], f"({m[0]} + {even[0]}) + {even[1]}"),
        (results[1], f"{odd[0]} * {near[1]} + {odd[1]} * {far[1]}"),
        (results[2], f"{even[0]} * {near[2]} + {even[1]} * {far[2]}"),
        (results[3], f"({m[5]} + {odd[0]} * {near[3]}) + {odd[1]} * {far[3]}"),
    ]
    return steps


def input_operations(tile: int) -> int:
    """Multiplications and additions of `input_steps`."""
    return 4 if tile == 2 else 20


def output_operations(tile: int) -> int:
    """Multiplications and additions of `output_steps`."""
    return 4 if tile == 2 else 20


def statements(vec: str, steps: Sequence[Step]) -> list[str]:
    """C declarations of the steps that are needed, in order; a step without a name is a statement, and needed."""
    needed: set[str] = set()
    lines = []
    for name, value in reversed(steps):
        if name in needed or not name:
            needed.update(_NAMES.findall(value))
            lines.append(f"const {vec} {name} = {value};" if name else value)
    return lines[::-1]
