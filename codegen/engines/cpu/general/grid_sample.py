"""GridSample in C: taps along each axis, then sums over their products; floating sums are taken in double."""

from __future__ import annotations

import math

from codegen.engines.cpu.general.expressions import converted
from codegen.engines.cpu.general.kernel import GeneralKernel, nest, strides_of
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.grid_sample import FARTHEST, SHARPNESS, GridSample
from codegen.target import Target

TAPS = {"nearest": 1, "linear": 2, "cubic": 4}


class CpuGridSample(GeneralKernel):
    """For each point of the grid the taps along every axis, and with them all channels."""

    name = "cpu_grid_sample"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, GridSample)

    def steps(self, spec: LayerSpec) -> float:
        assert isinstance(spec.op, GridSample)
        return float(spec.output.elements * TAPS[spec.op.mode] ** (len(spec.output.shape) - 2))

    def prologue(self, spec: LayerSpec) -> str:
        op, value = spec.op, spec.inputs[1].element_type.c_value
        assert isinstance(op, GridSample)
        is_free = op.padding == "border" and op.mode == "cubic"
        outside = "" if is_free else _OUTSIDE[op.padding]
        taps = fill(
            _HEAD + outside + _WEIGHTS[op.mode] + _INDICES[op.padding] + "}\n#endif\n",
            name=_taps_name(op, value),
            value=value,
            edge="0" if op.aligned else "0.5",
            place="(g + 1) / 2 * (size - 1)" if op.aligned else "((g + 1) * size - 1) / 2",
            rounded="rint" if op.mode == "nearest" else "",
            farthest=str(FARTHEST),
            taps=TAPS[op.mode],
            sharpness=str(SHARPNESS),
        )
        return fill(_MIRROR) + taps

    def body(self, spec: LayerSpec) -> str:
        op, (source, grid) = spec.op, spec.inputs
        assert isinstance(op, GridSample)
        rank, taps = len(source.shape) - 2, TAPS[op.mode]
        value, element = grid.element_type.c_value, spec.output.element_type
        points = math.prod(grid.shape[1:-1])
        planes = strides_of(source.shape)
        lines = [
            f"const long n = at0, q = at1, point = n * {points}L + q;",
            f"long p[{rank}][{taps}];",
            f"double w[{rank}][{taps}];",
        ]
        lines += [
            f"{_taps_name(op, value)}(({value})x1[point * {rank} + {rank - 1 - axis}], {size}, p[{axis}], w[{axis}]);"
            for axis, size in enumerate(source.shape[2:])
        ]
        inside = " && ".join(f"p[{axis}][j{axis}] >= 0" for axis in range(rank))
        place = " + ".join(f"p[{axis}][j{axis}] * {planes[axis + 2]}L" for axis in range(rank))
        place = f"n * {planes[0]}L + c0 * {planes[1]}L + {place}"
        weight = " * ".join(f"w[{axis}][j{axis}]" for axis in range(rank))
        target = f"y0[(n * {source.shape[1]} + c0) * {points}L + q]"
        if op.mode == "nearest":
            jays = "\n".join(f"enum {{ j{axis} = 0 }};" for axis in range(rank))
            lines.append(jays)
            channel = f"{target} = {inside} ? x0[{place}] : 0;"
        else:
            summed = nest((taps,) * rank, f"if ({inside})\n    total += {weight} * (double)x0[{place}];", "j")
            stored = converted("total", "double", element)
            channel = f"double total = 0;\n{summed}\n{target} = {stored};"
        lines.append(nest((source.shape[1],), channel, "c"))
        return nest((source.shape[0], points), "\n".join(lines), "at")


def _taps_name(op: GridSample, value: str) -> str:
    return f"grid_taps_{op.mode}_{op.padding}_{'aligned' if op.aligned else 'edges'}_{value}"


_MIRROR = """
    #ifndef EXPLORE_MIRRORED
    #define EXPLORE_MIRRORED
    /* Between the borders, by as many mirror images as it takes. */
    static inline double mirrored(double x, double low, double high)
    {
        if (high <= low)
            return low;
        if (x >= low && x <= high)
            return x;
        const double distance = x < low ? low - x : x - high;
        const double turns = floor(distance / (high - low)), rest = distance - turns * (high - low);
        return (x < low) == (fmod(turns, 2) == 0) ? low + rest : high - rest;
    }
    #endif
"""

_HEAD = """\
#ifndef EXPLORE_$name
#define EXPLORE_$name
static inline void $name($value g, long size, long *p, double *w)
{
    const double low = -$edge, high = size - 1 + $edge;
    double x = $rounded($place);
    x = x > -$farthest ? (x < $farthest ? x : $farthest) : -$farthest;
    (void)low;
    (void)high;
"""
_OUTSIDE = {
    "zeros": "",
    "border": "    if (x < low || x > high)\n        x = x < 0 ? 0 : x > size - 1 ? size - 1 : x;\n",
    "reflection": "    x = mirrored(x, low, high);\n",
}
_WEIGHTS = {
    "nearest": "    const long first = (long)x;\n    w[0] = 1;\n",
    "linear": """\
    const long first = (long)floor(x);
    w[1] = x - first;
    w[0] = 1 - w[1];
""",
    "cubic": """\
    const long first = (long)floor(x) - 1;
    for (int k = 0; k < 4; ++k) {
        const double a = $sharpness, d = fabs(x - (first + k));
        w[k] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
""",
}
_INDICES = {
    padding: f"    for (int k = 0; k < $taps; ++k) {{\n        long i = first + k;\n{text}        p[k] = i;\n    }}\n"
    for padding, text in {
        "zeros": "        i = i < 0 || i >= size ? -1 : i;\n",
        "border": "        i = i < 0 ? 0 : i >= size ? size - 1 : i;\n",
        "reflection": "        i = (long)mirrored(i, low, high);\n        i = i < 0 ? 0 : i >= size ? size - 1 : i;\n",
    }.items()
}
