"""C text that copies what a tile of pixels reads: for each weight of an output the operands of all pixels in a row."""

from __future__ import annotations

from codegen.engines.cpu.source import fill
from codegen.windows import Windows


def columns_text(entry: str, windows: Windows, pixels: int, lanes: int) -> str:
    """`<entry>_columns` of operands as they are: each of an input channel and tap; zeros behind the last."""
    if windows.is_pointwise:
        plane = windows.rows.inputs * windows.columns.inputs
        return fill(_POINTWISE, entry=entry, plane=plane, pixels=pixels, lanes=lanes)
    rows, columns = windows.rows, windows.columns
    return fill(
        _WINDOWS,
        entry=entry,
        pixels=pixels,
        taps=rows.taps * columns.taps,
        row_taps=columns.taps,
        height=rows.inputs,
        width=columns.inputs,
        out_width=columns.outputs,
        stride_y=rows.stride,
        stride_x=columns.stride,
        pad_y=rows.pad,
        pad_x=columns.pad,
        dilation_y=rows.dilation,
        dilation_x=columns.dilation,
    )


_POINTWISE = """
    static void ${entry}_columns(const float *restrict x, const float *constants, int first, int end, int p, int count,
                                 float *restrict tile, float *scratch)
    {
        (void)constants, (void)scratch;
        for (int k = first; k < end; ++k, tile += $pixels) {
            const float *from = x + (size_t)k * $plane + p;
            if (count == $pixels)
                for (int j = 0; j < $pixels; j += $lanes)
                    *(vec$lanes *)(tile + j) = *(const vec$lanes *)(from + j);
            else
                for (int j = 0; j < $pixels; ++j)
                    tile[j] = j < count ? from[j] : 0.0f;
        }
    }
"""

_WINDOWS = """
    static void ${entry}_columns(const float *restrict x, const float *constants, int first, int end, int p, int count,
                                 float *restrict tile, float *scratch)
    {
        (void)constants, (void)scratch;
        for (int k = first; k < end; ++k, tile += $pixels) {
            const int tap = k % $taps, dy = tap / $row_taps * $dilation_y - $pad_y;
            const int dx = tap % $row_taps * $dilation_x - $pad_x;
            const float *plane = x + (size_t)(k / $taps) * ($height * $width);
            int j = 0;
            for (int oy = p / $out_width, ox = p % $out_width; j < count; ++oy, ox = 0) {
                const int left = $out_width - ox, n = left < count - j ? left : count - j;
                const int iy = oy * $stride_y + dy, ix = ox * $stride_x + dx;
                const float *row = plane + iy * $width;
                const int inside = iy >= 0 && iy < $height;
                for (int m = 0; m < n; ++m) {
                    const int at = ix + m * $stride_x;
                    tile[j + m] = inside && at >= 0 && at < $width ? row[at] : 0.0f;
                }
                j += n;
            }
            for (; j < $pixels; ++j)
                tile[j] = 0.0f;
        }
    }
"""
