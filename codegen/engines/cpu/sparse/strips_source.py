"""C text of a depthwise convolution of a tile of pixels, row-major, by strips of 16 columns whose loads are masked."""

from __future__ import annotations

from codegen.engines.cpu.blocked.vectors import vector, vector_epilogue, vector_prologue
from codegen.engines.cpu.machine import vector_lanes
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.sparse.pattern import Places
from codegen.expression import Expression
from codegen.target import Target
from codegen.windows import Windows, window_extent

STRIP = 16  # columns
MOST_STRIDE = 2  # columns of a strip that come from two vectors
ROWS = 4  # of outputs whose sums grow from one load of an input


def is_masked(windows: Windows, target: Target) -> bool:
    """Whether there are strips: with AVX-512, where two vectors hold what a tap reads."""
    return vector_lanes(target) == STRIP and windows.columns.stride <= MOST_STRIDE


def line_elements(windows: Windows, pixels: int) -> int:
    """Of the whole rows of outputs that so many pixels touch, with what strips and vectors reach behind them."""
    rows = min(windows.rows.outputs, (pixels - 1) // windows.columns.outputs + 2)
    return round_up(rows * windows.columns.outputs + 2 * STRIP, STRIP)


def strips_text(
    entry: str, windows: Windows, pixels: int, lanes: int, places: Places, epilogue: Expression
) -> str:
    """`<entry>_columns` of operands that a depthwise convolution computes, a channel each.

    What lies outside of a row of inputs is masked, a row outside of the picture as a whole. Vectors of outputs are
    stored whole, the last strip of a row first: what they write behind it is overwritten. Rows of one channel are
    computed while those of the channel before it go to the tile, as loads wait for stores that they overlap.
    Constants are the weights of each channel and its bias.
    """
    rows, columns = windows.rows, windows.columns
    masks = [
        f"{{{', '.join(str(_mask(columns.inputs, place)) for place in _loads(windows, strip))}}}"
        for strip in range(0, columns.outputs, STRIP)
    ]
    return "".join(
        [
            _PRELUDE,
            vector_prologue(STRIP, epilogue),
            *(_strip_text(entry, windows, count, epilogue) for count in (ROWS, 1)),
            fill(
                _COLUMNS,
                entry=entry,
                loads=len(_loads(windows, 0)),
                masks=", ".join(masks),
                line=line_elements(windows, pixels),
                plane=rows.inputs * columns.inputs,
                out_width=columns.outputs,
                constants=rows.taps * columns.taps + 1,
                stride_y=rows.stride,
                stride_x=columns.stride,
                pad_y=rows.pad,
                last=(columns.outputs - 1) // STRIP * STRIP,
                strip=STRIP,
                rows=ROWS,
                lanes=lanes,
                operand=places.operand,
                vector=places.vector,
            ),
        ]
    )


def _loads(windows: Windows, strip: int) -> list[int]:
    """The columns of inputs that the loads of a strip begin with: as many for a tap as the stride."""
    columns = windows.columns
    return [
        strip * columns.stride + tap * columns.dilation - columns.pad + half * STRIP
        for tap in range(columns.taps)
        for half in range(columns.stride)
    ]


def _mask(inputs: int, place: int) -> int:
    return sum(1 << lane for lane in range(STRIP) if 0 <= place + lane < inputs)


def _strip_text(entry: str, windows: Windows, count: int, epilogue: Expression) -> str:
    rows, columns = windows.rows, windows.columns
    places, stride = _loads(windows, 0), columns.stride
    lines = []
    for y in range((count - 1) * rows.stride + window_extent(rows.taps, rows.dilation)):
        meeting = [
            (r, ky)
            for r in range(count)
            for ky in range(rows.taps)
            if r * rows.stride + ky * rows.dilation == y
        ]
        if not meeting:
            continue
        lines.append(
            f"row = x + (iy + {y}) * {columns.inputs}; "
            f"inside = (unsigned)(iy + {y}) < {rows.inputs}u ? 0xffffu : 0u;"
        )
        for tap in range(columns.taps):
            halves = [
                f"_mm512_maskz_loadu_ps((__mmask16)(masks[{load}] & inside), row + ({places[load]}))"
                for load in range(tap * stride, (tap + 1) * stride)
            ]
            value = halves[0] if stride == 1 else f"_mm512_permutex2var_ps({halves[0]}, even, {halves[1]})"
            updates = " ".join(f"a{r} += v * w[{ky * columns.taps + tap}];" for r, ky in meeting)
            lines.append(f"v = (vec{STRIP}){value}; {updates}")
    even = ", ".join(str(2 * lane) for lane in range(STRIP))
    return fill(
        _STRIP,
        entry=entry,
        count=count,
        even=f"const __m512i even = _mm512_setr_epi32({even});" if stride > 1 else "",
        sums=", ".join(f"a{r} = (vec{STRIP}){{0}} + w[{rows.taps * columns.taps}]" for r in range(count)),
        updates="\n        ".join(lines),
        results="\n        ".join(
            f"{vector(STRIP, f'y + {r * columns.outputs}')} = {vector_epilogue(STRIP, f'a{r}', epilogue)};"
            for r in range(count)
        ),
    )


_PRELUDE = "#include <immintrin.h>\n"

_STRIP = """
    static void ${entry}_strip_of$count(const float *x, int iy, const unsigned short *masks, const float *restrict w,
                                       float *restrict y)
    {
        $even
        vec16 v, $sums;
        const float *row;
        unsigned inside;
        $updates
        $results
    }
"""

_COLUMNS = """
    static void ${entry}_columns(const float *x, const float *restrict constants, int first, int end, int p, int count,
                                 float *restrict tile, float *restrict scratch)
    {
        static const unsigned short masks[][$loads] = {$masks};
        const int top = p / $out_width, rows = (p + count - 1) / $out_width - top + 1;
        for (int k = first; k <= end; ++k) {
            if (k < end) {
                const float *from = x + (size_t)k * $plane, *w = constants + k * $constants;
                float *to = scratch + k % 2 * $line;
                int r = 0;
                for (; r + $rows <= rows; r += $rows)
                    for (int c = $last; c >= 0; c -= $strip)
                        ${entry}_strip_of$rows(from + c * $stride_x, (top + r) * $stride_y - $pad_y, masks[c / $strip],
                                               w, to + r * $out_width + c);
                for (; r < rows; ++r)
                    for (int c = $last; c >= 0; c -= $strip)
                        ${entry}_strip_of1(from + c * $stride_x, (top + r) * $stride_y - $pad_y, masks[c / $strip],
                                           w, to + r * $out_width + c);
            }
            if (k > first) {
                const float *from = scratch + (k - 1) % 2 * $line + p % $out_width;
                float *to = tile;
                for (int j = 0; j < count; j += $lanes, to += $vector)
                    *(vec$lanes *)to = *(const vec$lanes *)(from + j);
                tile += $operand;
            }
        }
    }
"""
