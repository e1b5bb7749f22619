"""C text, with few operations, of Winograd's transforms of inputs and products: F(m x m, 3 x 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from codegen.engines.cpu.source import float_literal

Step = tuple[str, str]

NEAR, FAR = POINTS = 0.625, 1.5
"""
Rounding errors grow with the spread of the points' powers. All constants of these two are exact in float32, and the
errors a third of those of the usual +-1 and +-2, for as many operations. Every transform needs only the squares of
the points and one product per point, because the two of a pair share their even and odd parts.
"""

_NAMES = re.compile(r"[A-Za-z_]\w*")


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
