"""C text of the two transforms of a Winograd convolution, of one tile: of inputs and of products."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue
from codegen.engines.cpu.blocked.winograd_code import WinogradCode
from codegen.engines.cpu.blocked.winograd_transform import Step, input_steps, output_steps, statements
from codegen.engines.cpu.source import fill


def _lines(steps: Sequence[str]) -> str:
    return "\n            ".join(steps)


def input_text(code: WinogradCode) -> str:
    """One tile of one block of channels: columns first, then rows."""
    vec, lanes, points = f"vec{code.lanes}", code.lanes, range(code.points)
    steps: list[Step] = []
    if code.by_point:  # what the next tiles read: more rows than a small core's prefetcher follows
        ahead = (code.points + code.tile) * lanes
        steps += [("", f"__builtin_prefetch(x + {i} * row + {ahead});") for i in points]
    for j in points:
        d = [f"d{i}_{j}" for i in points]
        steps += [(d[i], constant_vector(lanes, f"x + {i} * row + {j * lanes}")) for i in points]
        steps += input_steps(code.tile, d, [f"t{i}_{j}" for i in points], f"c{j}")
    for i in points:
        results = [f"v{i}_{j}" for j in points]
        steps += input_steps(code.tile, [f"t{i}_{j}" for j in points], results, f"r{i}")
        places = [f"v + {(i * code.points + j) * code.input_stride}" for j in points]
        steps += [
            ("", f"{vector(lanes, place)} = {name};") for place, name in zip(places, results, strict=True)
        ]
    return fill(
        """
        static __attribute__((noinline)) void ${entry}_input(const float *restrict x, int row, float *restrict v)
        {
            $steps
        }
        """,
        entry=code.entry,
        steps=_lines(statements(vec, steps)),
    )


def output_text(code: WinogradCode, rows: int, columns: int) -> str:
    """One tile of one block of channels: columns first, then rows, bias and activation.

    There is code for every way a border cuts tiles off. The functions are kept apart: what they have in common,
    compilers would compute ahead of the choice between them, and run out of registers.
    """
    vec, lanes, points = f"vec{code.lanes}", code.lanes, range(code.points)
    steps: list[Step] = []
    for j in points:
        m = [f"m{i}_{j}" for i in points]
        places = [f"m + {(i * code.points + j) * code.product_stride}" for i in points]
        steps += [(name, constant_vector(lanes, place)) for name, place in zip(m, places, strict=True)]
        steps += output_steps(code.tile, m, [f"s{i}_{j}" for i in range(code.tile)], f"c{j}")
    for i in range(rows):
        results = [f"y{i}_{j}" for j in range(code.tile)]
        steps += output_steps(code.tile, [f"s{i}_{j}" for j in points], results, f"r{i}")
        for j in range(columns):
            value = vector_epilogue(lanes, f"{results[j]} + start", code.epilogue)
            place = vector(lanes, f"y + {(i * code.result[1] + j) * lanes}")
            steps.append(("", f"{place} = {value};"))
    return fill(
        """
        static __attribute__((noinline)) void ${entry}_output${rows}x$columns(const float *restrict m,
                                                                     const float *restrict bias,
                                                                     float *restrict y)
        {
            const $vec start = $start;
            $steps
        }
        """,
        entry=code.entry,
        rows=rows,
        columns=columns,
        vec=vec,
        start=constant_vector(lanes, "bias"),
        steps=_lines(statements(vec, steps)),
    )
