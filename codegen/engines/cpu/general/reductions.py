"""Reductions in C, row-major, any element type: sums of floating numbers are taken in double."""

from __future__ import annotations

import math
from textwrap import indent

from codegen.element_type import ElementType
from codegen.engines.cpu.general.expressions import converted
from codegen.engines.cpu.general.kernel import PLACE_BYTES, GeneralKernel, at, nest, strides_of
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.reduction import AlongAxis, ArgReduce, Cumulative, Reduce, TopK
from codegen.target import Target

_STEPS = {
    "l1": ("0", "total += v < 0 ? -v : v;"),
    "l2": ("0", "total += v * v;"),
    "log_sum": ("0", "total += v;"),
    "mean": ("0", "total += v;"),
    "prod": ("1", "total *= v;"),
    "sum": ("0", "total += v;"),
    "sum_square": ("0", "total += v * v;"),
}


def accumulator(element: ElementType) -> str:
    """The C type that sums of such elements are taken in: integers without an overflow that is undefined."""
    return "double" if element.is_floating else "uint64_t"


def signed_accumulator(element: ElementType) -> str:
    """The C type in which results of sums are read."""
    if element.is_floating:
        return "double"
    return "uint64_t" if element.c_value.startswith("u") else "int64_t"


class CpuReduce(GeneralKernel):
    """Loops over the elements of the result, and within over those that it is made of."""

    name = "cpu_reduce"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Reduce)

    def steps(self, spec: LayerSpec) -> float:
        return float(spec.inputs[0].elements)

    def body(self, spec: LayerSpec) -> str:
        op, shape, element = spec.op, spec.inputs[0].shape, spec.output.element_type
        assert isinstance(op, Reduce)
        kept = [axis for axis in range(len(shape)) if axis not in op.axes]
        strides = strides_of(shape)
        outer, inner = [shape[axis] for axis in kept], [shape[axis] for axis in op.axes]
        terms = [f"{at([strides[axis] for axis in kept])}", f"{at([strides[axis] for axis in op.axes], 'j')}"]
        place, result = " + ".join(terms), at(strides_of(outer))
        return nest(outer, self._one(op, element, inner, place, result, math.prod(inner)))

    def _one(
        self, op: Reduce, element: ElementType, inner: list[int], place: str, result: str, count: int
    ) -> str:
        if op.kind in ("max", "min"):
            sign = ">" if op.kind == "max" else "<"
            kind = element.c_value
            step = f"const {kind} v = ({kind})x0[{place}];\nif (v {sign} total || v != v) total = v;"
            zeros = "\n".join(f"enum {{ j{axis} = 0 }};" for axis in range(len(inner)))
            head = f"{kind} total;\n{{\n{indent(zeros, '    ')}\n    total = ({kind})x0[{place}];\n}}"
            stored = f"y0[{result}] = {converted('total', kind, element)};"
            return f"{head}\n{nest(inner, step, 'j')}\n{stored}"
        kind, read = accumulator(element), signed_accumulator(element)
        if op.kind == "log_sum_exp":
            zeros = "\n".join(f"enum {{ j{axis} = 0 }};" for axis in range(len(inner)))
            head = f"double most;\n{{\n{indent(zeros, '    ')}\n    most = (double)x0[{place}];\n}}"
            most = nest(inner, f"const double v = (double)x0[{place}];\nif (v > most) most = v;", "j")
            shift = "if (most - most != 0) most = 0;\ndouble total = 0;"
            sums = nest(inner, f"total += exp((double)x0[{place}] - most);", "j")
            stored = f"y0[{result}] = {converted('log(total) + most', 'double', element)};"
            return "\n".join([head, most, shift, sums, stored])
        start, step = _STEPS[op.kind]
        value = {
            "l2": f"sqrt((double)({read})total)",
            "log_sum": f"log((double)({read})total)",
            "mean": f"({read})total / {count}",
        }.get(op.kind, f"({read})total")
        loop = nest(inner, f"const {read} v = ({read})x0[{place}];\n{step}", "j")
        of = "double" if op.kind in ("l2", "log_sum") else read
        stored = f"y0[{result}] = {converted(value, of, element)};"
        return f"{kind} total = {start};\n{loop}\n{stored}"


class CpuAlongAxis(GeneralKernel):
    """What looks at whole lines along one axis: places of extremes, running sums, softmax in its forms."""

    name = "cpu_along_axis"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if isinstance(op, AlongAxis):
            return spec.output.element_type.is_floating or op.kind == "hardmax"
        return isinstance(op, ArgReduce | Cumulative | TopK)

    def steps(self, spec: LayerSpec) -> float:
        depth = 1 + math.log2(spec.op.count) if isinstance(spec.op, TopK) else 1.0
        return spec.inputs[0].elements * depth

    def workspace_bytes(self, spec: LayerSpec) -> int:
        return PLACE_BYTES * spec.op.count if isinstance(spec.op, TopK) else 0

    def prologue(self, spec: LayerSpec) -> str:
        if not isinstance(spec.op, TopK):
            return ""
        element, better = spec.inputs[0].element_type, ">" if spec.op.largest else "<"
        order = "descending" if spec.op.largest else "ascending"
        return fill(_TOP_HEAP, type=element.c_type, value=element.c_value, better=better, order=order)

    def body(self, spec: LayerSpec) -> str:
        op, shape, element = spec.op, spec.inputs[0].shape, spec.inputs[0].element_type
        assert isinstance(op, AlongAxis | ArgReduce | Cumulative | TopK)
        length, inner = shape[op.axis], math.prod(shape[op.axis + 1 :])
        words: dict[str, int | str] = {"length": length, "inner": inner, "value": element.c_value}
        if isinstance(op, AlongAxis):
            text = _SOFTMAX[op.kind]
            words["store"] = converted("r", "double", element)
        elif isinstance(op, ArgReduce):
            text = _ARG
            words["better"] = (">" if op.largest else "<") + ("=" if op.last else "")
        elif isinstance(op, Cumulative):
            text = _CUMULATIVE
            words |= {
                "sum": accumulator(element),
                "read": signed_accumulator(element),
                "start": int(op.kind == "prod"),
                "place": f"({length - 1} - k)" if op.reverse else "k",
                "operation": "*=" if op.kind == "prod" else "+=",
                "store": converted(
                    f"({signed_accumulator(element)})total", signed_accumulator(element), element
                ),
                "exclusive": int(op.exclusive),
            }
        else:
            text = _TOP_K
            order = "descending" if op.largest else "ascending"
            words |= {"count": op.count, "type": element.c_type, "order": order}
        loops = "const long b = o * $length * $inner + i;\n" if not isinstance(op, TopK) else ""
        inside = fill(loops + text, **words)
        return nest((math.prod(shape[: op.axis]), inner), f"const long o = i0, i = i1;\n{inside}")


_ARG = """
long best = 0;
for (long k = 1; k < $length; ++k)
    if (($value)x0[b + k * $inner] $better ($value)x0[b + best * $inner])
        best = k;
y0[o * $inner + i] = best;
"""

_CUMULATIVE = """
$sum total = $start;
for (long k = 0; k < $length; ++k) {
    const long p = b + $place * $inner;
    const $read v = ($read)x0[p];
    if ($exclusive)
        y0[p] = $store;
    total $operation v;
    if (!$exclusive)
        y0[p] = $store;
}
"""

# A heap of the best so far, the worst of them on top: of equal numbers the later one, and what is no number before all.
_TOP_HEAP = """
    #ifndef EXPLORE_TOP_HEAP_${type}_$order
    #define EXPLORE_TOP_HEAP_${type}_$order
    static inline int is_worse_${type}_$order(const $type *x, long inner, int64_t a, int64_t b)
    {
        const $value v = ($value)x[a * inner], w = ($value)x[b * inner];
        if (v != v || w != w)
            return v != v && (w == w || a > b);
        return w $better v || (v == w && a > b);
    }

    static inline void sink_${type}_$order(int64_t *heap, long size, const $type *x, long inner)
    {
        for (long k = 0, below = 1; below < size; k = below, below = 2 * k + 1) {
            if (below + 1 < size && is_worse_${type}_$order(x, inner, heap[below + 1], heap[below]))
                ++below;
            if (!is_worse_${type}_$order(x, inner, heap[below], heap[k]))
                return;
            const int64_t entry = heap[k];
            heap[k] = heap[below];
            heap[below] = entry;
        }
    }
    #endif
"""

_TOP_K = """
const $type *const line = x0 + o * $length * $inner + i;
int64_t *const heap = workspace;
for (long k = 0; k < $length; ++k) {
    if (k < $count) {
        long n = k;
        for (; n > 0 && is_worse_${type}_$order(line, $inner, k, heap[(n - 1) / 2]); n = (n - 1) / 2)
            heap[n] = heap[(n - 1) / 2];
        heap[n] = k;
    } else if (is_worse_${type}_$order(line, $inner, heap[0], k)) {
        heap[0] = k;
        sink_${type}_$order(heap, $count, line, $inner);
    }
}
for (long n = $count - 1; n >= 0; --n) {
    y0[(o * $count + n) * $inner + i] = line[heap[0] * $inner];
    y1[(o * $count + n) * $inner + i] = heap[0];
    heap[0] = heap[n];
    sink_${type}_$order(heap, n, line, $inner);
}
"""

_SUM = """
double most = (double)x0[b], sum = 0;
for (long k = 1; k < $length; ++k)
    if ((double)x0[b + k * $inner] > most)
        most = (double)x0[b + k * $inner];
for (long k = 0; k < $length; ++k)
    sum += exp((double)x0[b + k * $inner] - most);
"""

_SOFTMAX = {
    "softmax": _SUM
    + """
for (long k = 0; k < $length; ++k) {
    const double r = exp((double)x0[b + k * $inner] - most) / sum;
    y0[b + k * $inner] = $store;
}
""",
    "log_softmax": _SUM
    + """
for (long k = 0; k < $length; ++k) {
    const double r = (double)x0[b + k * $inner] - most - log(sum);
    y0[b + k * $inner] = $store;
}
""",
    "hardmax": """
long best = 0;
for (long k = 1; k < $length; ++k)
    if (($value)x0[b + k * $inner] > ($value)x0[b + best * $inner])
        best = k;
for (long k = 0; k < $length; ++k)
    y0[b + k * $inner] = k == best;
""",
}
