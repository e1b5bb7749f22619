"""C text of a depthwise convolution of a tile of pixels, row-major: what a pointwise product behind it reads."""

from __future__ import annotations

from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue
from codegen.engines.cpu.source import fill, round_up
from codegen.expression import Expression
from codegen.windows import Windows

ROWS = 4  # of outputs whose sums grow from one load of an input


def pitch(windows: Windows, lanes: int) -> int:
    """Elements from one padded row of inputs to the next: for each phase of the stride whole vectors and the taps."""
    return windows.columns.stride * _phase(windows, lanes)


def padded_rows(windows: Windows, pixels: int) -> int:
    """Rows of inputs that a tile of so many pixels reads at most."""
    rows = min(windows.rows.outputs, (pixels - 1) // windows.columns.outputs + 2)
    return (rows - 1) * windows.rows.stride + _reach(windows.rows.taps, windows.rows.dilation)


def depthwise_text(entry: str, windows: Windows, pixels: int, lanes: int, epilogue: Expression) -> str:
    """`<entry>_columns` of operands that a depthwise convolution computes, a channel each.

    The rows of inputs that a tile reads are copied between zeros, the columns of a stride's phases behind each other.
    Vectors of outputs are stored whole: what they write behind a row is overwritten by the next, and behind the last
    channel there is room for a vector. Constants are the weights of each channel and its bias.
    """
    rows, columns = windows.rows, windows.columns
    return "".join(
        [
            *(_rows_text(entry, windows, lanes, count, epilogue) for count in (ROWS, 1)),
            fill(
                _COLUMNS,
                entry=entry,
                pixels=pixels,
                constants=rows.taps * columns.taps + 1,
                height=rows.inputs,
                width=columns.inputs,
                out_width=columns.outputs,
                stride=rows.stride,
                pad=rows.pad,
                reach=_reach(rows.taps, rows.dilation),
                copies="\n            ".join(_copies(windows, lanes)),
                pitch=pitch(windows, lanes),
                rows=ROWS,
            ),
        ]
    )


def _reach(taps: int, dilation: int) -> int:
    return (taps - 1) * dilation + 1


def _phase(windows: Windows, lanes: int) -> int:
    columns = windows.columns
    return (
        round_up(columns.outputs, lanes)
        + (_reach(columns.taps, columns.dilation) - 1) // columns.stride
        + lanes
    )


def _copies(windows: Windows, lanes: int) -> list[str]:
    """Statements that copy a row to its phases, without its padding."""
    columns, found = windows.columns, []
    for phase in range(columns.stride):
        first = -(-max(0, columns.pad - phase) // columns.stride)
        end = min(_phase(windows, lanes), -(-(columns.inputs + columns.pad - phase) // columns.stride))
        source = f"row[{columns.stride} * c + {phase - columns.pad}]"
        if first < end:
            found.append(
                f"for (int c = {first}; c < {end}; ++c) at[{phase * _phase(windows, lanes)} + c] = {source};"
            )
    return found


def _rows_text(entry: str, windows: Windows, lanes: int, count: int, epilogue: Expression) -> str:
    rows, columns = windows.rows, windows.columns
    lines = []
    for y in range((count - 1) * rows.stride + _reach(rows.taps, rows.dilation)):
        meeting = [
            (r, ky)
            for r in range(count)
            for ky in range(rows.taps)
            if r * rows.stride + ky * rows.dilation == y
        ]
        for kx in range(columns.taps) if meeting else ():
            shift = kx * columns.dilation
            place = y * pitch(windows, lanes) + shift % columns.stride * _phase(windows, lanes)
            value = constant_vector(lanes, f"x + m + {place + shift // columns.stride}")
            updates = " ".join(f"a{r} += v * w[{ky * columns.taps + kx}];" for r, ky in meeting)
            lines.append(f"{{ const vec{lanes} v = {value}; {updates} }}")
    return fill(
        _ROWS,
        entry=entry,
        count=count,
        lanes=lanes,
        sums=", ".join(f"a{r} = (vec{lanes}){{0}} + w[{rows.taps * columns.taps}]" for r in range(count)),
        updates="\n            ".join(lines),
        results="\n            ".join(
            f"{vector(lanes, f'y + {r * columns.outputs} + m')} = {vector_epilogue(lanes, f'a{r}', epilogue)};"
            for r in range(count)
        ),
    )


_ROWS = """
    static void ${entry}_rows_of$count(const float *restrict x, const float *restrict w, float *restrict y, int n)
    {
        for (int m = (n - 1) / $lanes * $lanes; m >= 0; m -= $lanes) { /* backwards: the next row is written after */
            vec$lanes $sums;
            $updates
            $results
        }
    }
"""

_COLUMNS = """
    static void ${entry}_inside(const float *restrict x, int iy, int count, float *restrict to)
    {
        const int first = iy < 0 ? 0 : iy, end = iy + count < $height ? iy + count : $height;
        for (int y = first; y < end; ++y) {
            const float *restrict row = x + y * $width;
            float *restrict at = to + (y - iy) * $pitch;
            $copies
        }
    }

    static void ${entry}_columns(const float *restrict x, const float *restrict constants, int first, int end, int p,
                                 int count, float *restrict tile, float *restrict scratch)
    {
        const int top = p / $out_width, bottom = (p + count - 1) / $out_width;
        const int iy = top * $stride - $pad, needed = (bottom - top) * $stride + $reach;
        memset(scratch, 0, (size_t)needed * $pitch * sizeof *scratch); /* padding, which stays */
        for (int k = first; k < end; ++k, tile += $pixels) {
            const float *w = constants + k * $constants;
            ${entry}_inside(x + (size_t)k * ($height * $width), iy, needed, scratch);
            for (int j = 0; j < count;) {
                const int oy = (p + j) / $out_width, ox = (p + j) % $out_width, left = count - j;
                const int n = $out_width - ox < left ? $out_width - ox : left;
                const float *from = scratch + (oy - top) * $stride * $pitch + ox;
                if (ox == 0 && left >= $rows * $out_width) {
                    ${entry}_rows_of$rows(from, w, tile + j, $out_width);
                    j += $rows * $out_width;
                } else {
                    ${entry}_rows_of1(from, w, tile + j, n);
                    j += n;
                }
            }
        }
    }
"""
