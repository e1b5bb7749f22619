"""Operators whose results have a length in C: what stands behind the length is 0."""

from __future__ import annotations

import math

from codegen.engines.cpu.general.kernel import PLACE_BYTES, GeneralKernel, nest, strides_of
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.compress import Compress
from codegen.operators.non_max_suppression import NonMaxSuppression
from codegen.operators.non_zero import NonZero
from codegen.operators.unique import Unique
from codegen.target import Target


class CpuNonZero(GeneralKernel):
    """One pass over the elements."""

    name = "cpu_non_zero"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, NonZero)

    def body(self, spec: LayerSpec) -> str:
        shape, bound = spec.inputs[0].shape, spec.inputs[0].elements
        place = " + ".join(f"i{axis} * {stride}L" for axis, stride in enumerate(strides_of(shape)))
        stores = "\n".join(f"    y0[{axis * bound}L + found] = i{axis};" for axis in range(len(shape)))
        loop = nest(shape, f"if (x0[{place}] != 0) {{\n{stores}\n    ++found;\n}}")
        clear = f"memset(y0, 0, {spec.outputs[0].size_bytes});"
        return f"long found = 0;\n{clear}\n{loop}\ny1[0] = found;"


class CpuCompress(GeneralKernel):
    """Runs of neighbours for each place where the condition holds."""

    name = "cpu_compress"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Compress)

    def body(self, spec: LayerSpec) -> str:
        op, shape, result = spec.op, spec.inputs[0].shape, spec.outputs[0]
        assert isinstance(op, Compress)
        return fill(
            _COMPRESS,
            bytes=result.size_bytes,
            most=result.shape[op.axis],
            outer=math.prod(shape[: op.axis]),
            length=shape[op.axis],
            inner=math.prod(shape[op.axis + 1 :]),
        )


_COMPRESS = """
long found = 0;
memset(y0, 0, $bytes);
for (long k = 0; k < $most; ++k) {
    if (!x1[k])
        continue;
    for (long o = 0; o < $outer; ++o)
        memcpy(y0 + (o * $most + found) * $inner, x0 + (o * $length + k) * $inner, $inner * sizeof(*y0));
    ++found;
}
y1[0] = found;
"""


class CpuUnique(GeneralKernel):
    """The places of all slices merge-sorted by their elements in the workspace, so that equals are neighbours."""

    name = "cpu_unique"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Unique)

    def steps(self, spec: LayerSpec) -> float:
        return float(spec.inputs[0].elements * (1 + math.log2(spec.outputs[1].elements)))

    def workspace_bytes(self, spec: LayerSpec) -> int:
        return 3 * PLACE_BYTES * spec.outputs[1].elements

    def prologue(self, spec: LayerSpec) -> str:
        element = spec.inputs[0].element_type
        return fill(_ORDER, type=element.c_type, value=element.c_value)

    def body(self, spec: LayerSpec) -> str:
        op, source = spec.op, spec.inputs[0]
        assert isinstance(op, Unique)
        return fill(
            _UNIQUE,
            type=source.element_type.c_type,
            bytes=source.size_bytes,
            outer=math.prod(source.shape[: op.axis]),
            count=source.shape[op.axis],
            inner=math.prod(source.shape[op.axis + 1 :]),
            in_order=int(not op.ascending),
        )


_ORDER = """
    #ifndef EXPLORE_SLICE_ORDER_$type
    #define EXPLORE_SLICE_ORDER_$type
    /* Below 0 where slice a of an axis comes before slice b; numbers that are none are alike, and come last. */
    static inline int slice_order_$type(const $type *x, long outer, long count, long inner, int64_t a, int64_t b)
    {
        for (long o = 0; o < outer; ++o)
            for (long i = 0; i < inner; ++i) {
                const $value v = x[(o * count + a) * inner + i], w = x[(o * count + b) * inner + i];
                if (v == w)
                    continue;
                if (v < w || (v == v && w != w))
                    return -1;
                if (v > w || (v != v && w == w))
                    return 1;
            }
        return 0;
    }
    #endif
"""

_UNIQUE = """
int64_t *order = workspace, *other = order + $count, *const group = other + $count;
for (long k = 0; k < $count; ++k)
    order[k] = k;
for (long run = 1; run < $count; run *= 2) {
    for (long begin = 0; begin < $count; begin += 2 * run) {
        const long middle = begin + run < $count ? begin + run : $count;
        const long end = middle + run < $count ? middle + run : $count;
        for (long k = begin, a = begin, b = middle; k < end; ++k) {
            const int is_first = b == end
                || (a < middle && slice_order_$type(x0, $outer, $count, $inner, order[a], order[b]) <= 0);
            other[k] = is_first ? order[a++] : order[b++];
        }
    }
    int64_t *const sorted = other;
    other = order;
    order = sorted;
}
int64_t groups = 0;
for (long k = 0; k < $count; ++k) {
    const int is_new = k == 0 || slice_order_$type(x0, $outer, $count, $inner, order[k - 1], order[k]) != 0;
    groups += is_new;
    group[order[k]] = groups - 1;
}
if ($in_order) { /* numbered by their first places */
    int64_t next = 0;
    for (long k = 0; k < $count; ++k)
        other[k] = -1;
    for (long k = 0; k < $count; ++k) {
        if (other[group[k]] < 0)
            other[group[k]] = next++;
        group[k] = other[group[k]];
    }
}
memset(y0, 0, $bytes);
memset(y1, 0, $count * sizeof(*y1));
memset(y3, 0, $count * sizeof(*y3));
for (long k = 0; k < $count; ++k) {
    const int64_t g = group[k];
    y2[k] = g;
    if (y3[g]++ > 0)
        continue;
    y1[g] = k;
    for (long o = 0; o < $outer; ++o)
        memcpy(y0 + (o * $count + g) * $inner, x0 + (o * $count + k) * $inner, $inner * sizeof(*y0));
}
y4[0] = groups;
"""


class CpuNonMaxSuppression(GeneralKernel):
    """For each image and class a heap of the boxes in the workspace, the best taken until there are enough."""

    name = "cpu_non_max_suppression"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, NonMaxSuppression)

    def steps(self, spec: LayerSpec) -> float:
        scores = spec.inputs[1]
        return float(scores.elements * (1 + math.log2(scores.shape[2])))

    def workspace_bytes(self, spec: LayerSpec) -> int:
        return PLACE_BYTES * spec.inputs[1].shape[2]

    def prologue(self, spec: LayerSpec) -> str:
        assert isinstance(spec.op, NonMaxSuppression)
        return fill(_HEAP) + fill(_OVERLAP[spec.op.centered])

    def body(self, spec: LayerSpec) -> str:
        op, (images, classes, boxes) = spec.op, spec.inputs[1].shape
        assert isinstance(op, NonMaxSuppression)
        return fill(
            _SUPPRESSION,
            bytes=spec.outputs[0].size_bytes,
            most=op.most,
            images=images,
            classes=classes,
            boxes=boxes,
            read=f"x{len(spec.inputs) - 1}[0]" if op.counted else boxes,
            passes="own[b] > x4[0]" if len(spec.inputs) - op.counted > 4 else "1",
            overlap="overlap_of_centered" if op.centered else "overlap_of_corners",
        )


_HEAP = """
    #ifndef EXPLORE_BOX_HEAP
    #define EXPLORE_BOX_HEAP
    /* Moves an entry down until none below it is better; of equal scores the first box is. */
    static inline void sink_box(int64_t *heap, long size, long k, const float *scores)
    {
        for (long best = k;; k = best) {
            for (long below = 2 * k + 1; below <= 2 * k + 2 && below < size; ++below) {
                const float own = scores[heap[below]], other = scores[heap[best]];
                if (own > other || (own == other && heap[below] < heap[best]))
                    best = below;
            }
            if (best == k)
                return;
            const int64_t entry = heap[k];
            heap[k] = heap[best];
            heap[best] = entry;
        }
    }

    /* Intersection over union of boxes (least y, x, largest y, x); -1 where there is none. */
    static inline float overlap_of_boxes(const float *a, const float *b)
    {
        const float height = fminf(a[2], b[2]) - fmaxf(a[0], b[0]);
        const float width = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
        const float first = (a[2] - a[0]) * (a[3] - a[1]), second = (b[2] - b[0]) * (b[3] - b[1]);
        const float common = height * width, all = first + second - common;
        return height > 0 && width > 0 && first > 0 && second > 0 && all > 0 ? common / all : -1;
    }
    #endif
"""

_OVERLAP = {
    False: """
    #ifndef EXPLORE_OVERLAP_OF_CORNERS
    #define EXPLORE_OVERLAP_OF_CORNERS
    static inline float overlap_of_corners(const float *a, const float *b)
    {
        const float one[4] = {fminf(a[0], a[2]), fminf(a[1], a[3]), fmaxf(a[0], a[2]), fmaxf(a[1], a[3])};
        const float other[4] = {fminf(b[0], b[2]), fminf(b[1], b[3]), fmaxf(b[0], b[2]), fmaxf(b[1], b[3])};
        return overlap_of_boxes(one, other);
    }
    #endif
""",
    True: """
    #ifndef EXPLORE_OVERLAP_OF_CENTERED
    #define EXPLORE_OVERLAP_OF_CENTERED
    static inline float overlap_of_centered(const float *a, const float *b)
    {
        const float one[4] = {a[0] - a[2] / 2, a[1] - a[3] / 2, a[0] + a[2] / 2, a[1] + a[3] / 2};
        const float other[4] = {b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2};
        return overlap_of_boxes(one, other);
    }
    #endif
""",
}

_SUPPRESSION = """
int64_t *const heap = workspace;
const long most = x2[0] < $most ? (long)x2[0] : $most;
long found = 0;
memset(y0, 0, $bytes);
for (long n = 0; n < $images; ++n)
    for (long c = 0; c < $classes; ++c) {
        const float *const own = x1 + (n * $classes + c) * $boxes, *const boxes = x0 + n * $boxes * 4;
        const long first = found;
        long size = 0;
        for (long b = 0; b < $read; ++b)
            if ($passes)
                heap[size++] = b;
        for (long k = size / 2 - 1; k >= 0; --k)
            sink_box(heap, size, k, own);
        while (size > 0 && found - first < most) {
            const int64_t b = heap[0];
            heap[0] = heap[--size];
            sink_box(heap, size, 0, own);
            int is_kept = 1;
            for (long k = first; k < found && is_kept; ++k)
                is_kept = !($overlap(boxes + 4 * b, boxes + 4 * y0[3 * k + 2]) > x3[0]);
            if (!is_kept)
                continue;
            y0[3 * found] = n;
            y0[3 * found + 1] = c;
            y0[3 * found + 2] = b;
            ++found;
        }
    }
y1[0] = found;
"""
