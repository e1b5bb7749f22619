"""RoiAlign in C."""

from __future__ import annotations

from codegen.engines.cpu.general.expressions import converted
from codegen.engines.cpu.general.kernel import GeneralKernel
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.roi_align import MOST_SAMPLES, RoiAlign
from codegen.target import Target

ASSUMED_SAMPLES = 2  # along a side, where the regions decide


class CpuRoiAlign(GeneralKernel):
    """For each bin of each region and channel the points in it, each of four pixels."""

    name = "cpu_roi_align"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, RoiAlign)

    def steps(self, spec: LayerSpec) -> float:
        assert isinstance(spec.op, RoiAlign)
        return float(4 * spec.output.elements * (spec.op.samples or ASSUMED_SAMPLES) ** 2)

    def prologue(self, spec: LayerSpec) -> str:
        return fill(_SIDE)

    def body(self, spec: LayerSpec) -> str:
        op, (image, regions, _), element = spec.op, spec.inputs, spec.output.element_type
        assert isinstance(op, RoiAlign)
        value = regions.element_type.c_value
        count = (
            str(op.samples) if op.samples else f"roi_samples(($value)extent_$side / {{bins}}, {MOST_SAMPLES})"
        )
        words: dict[str, int | str] = {
            "value": value,
            "regions": regions.shape[0],
            "images": image.shape[0],
            "channels": image.shape[1],
            "height": image.shape[2],
            "width": image.shape[3],
            "rows": op.bins[0],
            "columns": op.bins[1],
            "scale": f"(({value}){float(op.scale).hex()})",
            "offset": f"(({value}){0.5 if op.half_pixel else 0.0})",
            "least": "" if op.half_pixel else _LEAST,
            "count_y": count.format(bins=op.bins[0]).replace("$value", value).replace("$side", "y"),
            "count_x": count.format(bins=op.bins[1]).replace("$value", value).replace("$side", "x"),
            "combine": "total = (k == 0 && l == 0 && q == 0) || v > total ? v : total;"
            if op.mode == "max"
            else "total += v;",
            "finish": "" if op.mode == "max" else "total /= count_y * count_x > 0 ? count_y * count_x : 1;",
            "store": converted("total", "double", element),
        }
        return fill(_BODY, **words)


_LEAST = """
    extent_y = extent_y > 1 ? extent_y : 1;
    extent_x = extent_x > 1 ? extent_x : 1;
"""

_SIDE = """
    #ifndef EXPLORE_ROI
    #define EXPLORE_ROI
    /* How many points lie along a side of a bin. */
    static inline long roi_samples(double size, long most)
    {
        const double count = ceil(size);
        return count > 0 ? (count < most ? (long)count : most) : 0;
    }

    /* The two pixels around a place and their weights, which are 0 outside. */
    static inline void roi_taps(double x, long size, long *p, double *w)
    {
        const int is_inside = x >= -1 && x <= size;
        x = is_inside ? (x < 0 ? 0 : x > size - 1 ? size - 1 : x) : 0;
        p[0] = (long)x;
        p[1] = p[0] + 1 < size ? p[0] + 1 : size - 1;
        w[1] = is_inside ? x - p[0] : 0;
        w[0] = is_inside ? 1 - w[1] : 0;
    }
    #endif
"""

_BODY = """
for (long r = 0; r < $regions; ++r) {
    const $value left = x1[r * 4] * $scale - $offset, top = x1[r * 4 + 1] * $scale - $offset;
    const $value right = x1[r * 4 + 2] * $scale - $offset, bottom = x1[r * 4 + 3] * $scale - $offset;
    $value extent_y = bottom - top, extent_x = right - left;
    $least
    const $value step_y = extent_y / $rows, step_x = extent_x / $columns;
    const long count_y = $count_y, count_x = $count_x;
    const long image = x2[r] < 0 ? 0 : x2[r] >= $images ? $images - 1 : (long)x2[r];
    for (long c = 0; c < $channels; ++c)
        for (long i = 0; i < $rows; ++i)
            for (long j = 0; j < $columns; ++j) {
                double total = 0;
                for (long k = 0; k < count_y; ++k) {
                    long py[2], px[2];
                    double wy[2], wx[2];
                    roi_taps(top + i * step_y + (k + ($value)0.5) * step_y / count_y, $height, py, wy);
                    for (long l = 0; l < count_x; ++l) {
                        roi_taps(left + j * step_x + (l + ($value)0.5) * step_x / count_x, $width, px, wx);
                        for (int q = 0; q < 4; ++q) {
                            const long at = ((image * $channels + c) * $height + py[q / 2]) * $width + px[q % 2];
                            const double v = wy[q / 2] * wx[q % 2] * (double)x0[at];
                            $combine
                        }
                    }
                }
                $finish
                y0[((r * $channels + c) * $rows + i) * $columns + j] = $store;
            }
}
"""
