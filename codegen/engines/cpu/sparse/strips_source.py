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
    """The columns of inputs that the loads `l` of a strip begin with."""
    columns = windows.columns
    first = strip * columns.stride - columns.pad
    if _is_shared(windows):
        return [first + STRIP * number for number in range(columns.taps)]
    return [
        first + tap * columns.dilation + half * STRIP
        for tap in range(columns.taps)
        for half in range(columns.stride)
    ]


def _is_shared(windows: Windows) -> bool:
    """Whether all taps of a strip with a stride come from the same loads."""
    columns = windows.columns
    return columns.stride > 1 and columns.dilation == 1 and columns.taps in (2, 3)


def _values(windows: Windows) -> list[str]:
    """Of each tap its vector `t`, from the loads."""
    columns = windows.columns
    if columns.stride == 1:
        return [f"l{tap}" for tap in range(columns.taps)]
    if _is_shared(windows):
        both = [f"_mm512_permutex2var_ps(l0, {lanes}, l1)" for lanes in ("even", "odd")]
        behind = (
            "_mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(l2), _mm512_castps_si512(t0), 1))"
        )
        return [*both, behind][: columns.taps]
    return [f"_mm512_permutex2var_ps(l{2 * tap}, even, l{2 * tap + 1})" for tap in range(columns.taps)]


def _mask(inputs: int, place: int) -> int:
    return sum(1 << lane for lane in range(STRIP) if 0 <= place + lane < inputs)


def _strip_text(entry: str, windows: Windows, count: int, epilogue: Expression) -> str:
    rows, columns = windows.rows, windows.columns
    places = _loads(windows, 0)
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
        lines += [
            f"l{load} = _mm512_maskz_loadu_ps((__mmask16)(masks[{load}] & inside), row + ({place}));"
            for load, place in enumerate(places)
        ]
        for tap, value in enumerate(_values(windows)):
            updates = " ".join(
                f"a{r} += (vec{STRIP})t{tap} * w[{ky * columns.taps + tap}];" for r, ky in meeting
            )
            lines.append(f"t{tap} = {value}; {updates}")
    names = [f"l{load}" for load in range(len(places))] + [f"t{tap}" for tap in range(columns.taps)]
    chosen = [("even", 0)] * (columns.stride > 1) + [("odd", 1)] * _is_shared(windows)
    return fill(
        _STRIP,
        entry=entry,
        count=count,
        chosen=" ".join(
            f"const __m512i {name} = _mm512_setr_epi32({', '.join(str(2 * i + first) for i in range(STRIP))});"
            for name, first in chosen
        ),
        vectors=", ".join(names),
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
        $chosen
        vec16 $sums;
        __m512 $vectors;
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
