"""C text that copies what a tile of pixels reads: for each weight of an output the operands of all pixels in a row."""

from __future__ import annotations

from codegen.engines.cpu.source import fill
from codegen.engines.cpu.sparse.pattern import Places
from codegen.engines.cpu.sparse.walk_assembly import transposition_assembly
from codegen.windows import Windows


def columns_text(
    entry: str,
    windows: Windows,
    pixels: int,
    lanes: int,
    places: Places,
    channels: int,
    inputs: int,
    scheduled: bool,
) -> str:
    """`<entry>_columns` of operands as they are: each of one of `inputs` channels and a tap; what lies behind the last
    pixel of a pointwise layer is anything.

    The input lies in blocks of so many channels, which on AArch64 are transposed in assembly (`scheduled`); those lie
    in rows of pixels, as operands of windows do.
    """
    if windows.is_pointwise:
        plane = windows.rows.inputs * windows.columns.inputs
        if channels > 1:
            return _blocks_text(entry, plane, pixels, channels, scheduled)
        return fill(
            _POINTWISE,
            entry=entry,
            plane=plane,
            channels=inputs,
            lanes=lanes,
            operand=places.operand,
            vector=places.vector,
        )
    rows, columns = windows.rows, windows.columns
    return fill(
        _BLOCK_WINDOWS if channels > 1 else _WINDOWS,
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
        channels=channels,
        block=channels * rows.inputs * columns.inputs,
        pitch=rows.taps * columns.taps * pixels,
        operand=places.operand,
    )


def _blocks_text(entry: str, plane: int, pixels: int, channels: int, scheduled: bool) -> str:
    """Blocks of channels by as many pixels are transposed; blocks of operands begin and end with whole ones, or with
    the last channel.
    """
    moved = "\n".join(f"to[{c * pixels} + j] = from[j * {channels} + {c}];" for c in range(channels))
    whole = fill(_TRANSPOSED, pixels=pixels, moved=moved)
    if scheduled and pixels % channels == 0:
        instructions = "\n".join(f'"{line}\\n"' for line in transposition_assembly(pixels))
        assembly = fill(_FETCHED, channels=channels, plane=plane, instructions=instructions)
        whole = f"#if defined(__aarch64__)\n{assembly}#else\n{whole}#endif\n"
    return fill(_BLOCKS, entry=entry, plane=plane, pixels=pixels, channels=channels, whole=whole)


_POINTWISE = """
    static void ${entry}_columns(const float *restrict x, const float *constants, int first, int end, int p, int count,
                                 float *restrict tile, float *scratch)
    {
        (void)constants, (void)scratch;
        for (int k = first; k < end; ++k, tile += $operand) {
            const float *from = x + (size_t)k * $plane + p;
            float *to = tile;
            int left = count;
            for (; left >= (k + 1 < $channels ? 1 : $lanes); left -= $lanes, from += $lanes, to += $vector)
                *(vec$lanes *)to = *(const vec$lanes *)from; /* behind the last pixel there is another channel */
            for (int j = 0; j < left; ++j)
                to[j] = from[j];
        }
    }
"""

_BLOCKS = """
    static void ${entry}_columns(const float *restrict x, const float *constants, int first, int end, int p, int count,
                                 float *restrict tile, float *scratch)
    {
        (void)constants, (void)scratch;
        for (int k = first; k < end; k += $channels, tile += $pixels * $channels) {
            const float *restrict from = x + ((size_t)(k / $channels) * $plane + p) * $channels;
            float *restrict to = tile;
            if (count == $pixels && end - k >= $channels)
            {
                $whole
            } else
                for (int c = 0; c < $channels && k + c < end; ++c)
                    for (int j = 0; j < $pixels; ++j)
                        to[c * $pixels + j] = j < count ? from[j * $channels + c] : 0.0f;
        }
    }
"""

_TRANSPOSED = """
    for (int j = 0; j < $pixels; ++j) {
        $moved
    }
"""

_FETCHED = """
    const float *fetch = end - k > $channels ? from + $plane * $channels : from;
    __asm__ volatile(
        $instructions
        : [x] "+&r"(from)
        : [fetch] "r"(fetch), [to] "r"(to)
        : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16",
          "v17", "v18", "v19", "v20", "v21", "v22", "v23", "memory");
"""

_WINDOWS = """
    static void ${entry}_columns(const float *restrict x, const float *constants, int first, int end, int p, int count,
                                 float *restrict tile, float *scratch)
    {
        (void)constants, (void)scratch;
        for (int k = first; k < end; ++k, tile += $operand) {
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
        }
    }
"""

_BLOCK_WINDOWS = """
    static inline __attribute__((always_inline)) void ${entry}_run(
        const float *restrict row, int ix, int n, float *restrict to, int several)
    {
        const int before = ix < 0 ? (-ix + $stride_x - 1) / $stride_x : 0, left = before < n ? before : n;
        const int inside = ix < $width ? ($width - ix + $stride_x - 1) / $stride_x : 0;
        const int right = inside < left ? left : inside < n ? inside : n;
        for (int c = 0; c < several; ++c) {
            for (int m = 0; m < left; ++m)
                to[c * $pitch + m] = 0.0f;
            for (int m = right; m < n; ++m)
                to[c * $pitch + m] = 0.0f;
        }
        row += (ix + left * $stride_x) * $channels;
        to += left;
        for (int m = 0; m < right - left; ++m)
            for (int c = 0; c < several; ++c)
                to[c * $pitch + m] = row[m * ($stride_x * $channels) + c];
    }

    static void ${entry}_columns(const float *restrict x, const float *constants, int first, int end, int p, int count,
                                 float *restrict tile, float *scratch)
    {
        (void)constants, (void)scratch;
        for (int k = first; k < end; k += $channels * $taps, tile += $channels * $pitch) {
            const int several = end - k < $channels * $taps ? (end - k) / $taps : $channels;
            const float *plane = x + (size_t)(k / ($channels * $taps)) * $block;
            for (int tap = 0; tap < $taps; ++tap) {
                const int dy = tap / $row_taps * $dilation_y - $pad_y, dx = tap % $row_taps * $dilation_x - $pad_x;
                float *to = tile + tap * $pixels;
                int j = 0;
                for (int oy = p / $out_width, ox = p % $out_width; j < count; ++oy, ox = 0) {
                    const int rest = $out_width - ox, n = rest < count - j ? rest : count - j;
                    const int iy = oy * $stride_y + dy, ix = ox * $stride_x + dx;
                    if (iy < 0 || iy >= $height)
                        for (int c = 0; c < several; ++c)
                            memset(to + c * $pitch + j, 0, (size_t)n * sizeof *to);
                    else if (several == $channels)
                        ${entry}_run(plane + iy * ($width * $channels), ix, n, to + j, $channels);
                    else
                        ${entry}_run(plane + iy * ($width * $channels), ix, n, to + j, several);
                    j += n;
                }
                for (int c = 0; c < several; ++c)
                    for (int m = j; m < $pixels; ++m)
                        to[c * $pitch + m] = 0.0f;
            }
        }
    }
"""
