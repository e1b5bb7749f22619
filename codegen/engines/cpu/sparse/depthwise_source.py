"""C text of a depthwise convolution of a tile of pixels, row-major: what a pointwise product behind it reads."""

from __future__ import annotations

from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue
from codegen.engines.cpu.source import fill, round_up
from codegen.expression import Expression
from codegen.windows import Windows

ROWS = 4  # of outputs whose sums grow from one load of an input


def copy_elements(windows: Windows, pixels: int, lanes: int) -> int:
    """Of the inputs of one channel that a tile of so many pixels reads at most, with their padding."""
    rows = min(windows.rows.outputs, (pixels - 1) // windows.columns.outputs + 2)
    return ((rows - 1) * windows.rows.stride + _reach(windows.rows.taps, windows.rows.dilation)) * _pitch(
        windows, lanes
    )


def depthwise_text(entry: str, windows: Windows, pixels: int, lanes: int, epilogue: Expression) -> str:
    """`<entry>_columns` of operands that a depthwise convolution computes, a channel each.

    The rows of inputs that a tile reads are copied between zeros, the columns of a stride's phases behind each other;
    those of the next channel before one is computed, as loads wait for stores that they overlap.
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
                copy=copy_elements(windows, pixels, lanes),
                constants=rows.taps * columns.taps + 1,
                height=rows.inputs,
                width=columns.inputs,
                out_width=columns.outputs,
                stride=rows.stride,
                pad=rows.pad,
                reach=_reach(rows.taps, rows.dilation),
                copies="\n            ".join(_copies(windows, lanes)),
                pitch=_pitch(windows, lanes),
                rows=ROWS,
            ),
        ]
    )


def _reach(taps: int, dilation: int) -> int:
    return (taps - 1) * dilation + 1


def _pitch(windows: Windows, lanes: int) -> int:
    """Elements from one padded row of inputs to the next: the phases of the stride."""
    return windows.columns.stride * _phase(windows, lanes)


def _phase(windows: Windows, lanes: int) -> int:
    """Elements of a phase: a vector that ends where the row begins, whole vectors, and what taps read behind them."""
    columns = windows.columns
    behind = (_reach(columns.taps, columns.dilation) - 1) // columns.stride
    return round_up(_lead(windows, lanes) + round_up(columns.outputs, lanes) + behind, lanes)


def _lead(windows: Windows, lanes: int) -> int:
    """Elements before a phase, so that what is copied first lies where a vector begins."""
    return -(-windows.columns.pad // windows.columns.stride) * (lanes - 1) % lanes


def _copies(windows: Windows, lanes: int) -> list[str]:
    """Statements that copy a row to its phases, without its padding."""
    columns, found = windows.columns, []
    lead, size = _lead(windows, lanes), _phase(windows, lanes)
    for phase in range(columns.stride):
        first = -(-max(0, columns.pad - phase) // columns.stride)
        end = min(size - lead, -(-(columns.inputs + columns.pad - phase) // columns.stride))
        place, source = phase * size + lead, f"row[{columns.stride} * c + {phase - columns.pad}]"
        if first < end:
            found.append(f"for (int c = {first}; c < {end}; ++c) at[{place} + c] = {source};")
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
            place = (
                y * _pitch(windows, lanes)
                + shift % columns.stride * _phase(windows, lanes)
                + _lead(windows, lanes)
            )
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
        float *copies[2] = {scratch, scratch + $copy};
        memset(scratch, 0, sizeof *scratch * 2 * $copy); /* padding, which stays */
        ${entry}_inside(x + (size_t)first * ($height * $width), iy, needed, copies[first & 1]);
        for (int k = first; k < end; ++k, tile += $pixels) {
            const float *w = constants + k * $constants;
            if (k + 1 < end)
                ${entry}_inside(x + (size_t)(k + 1) * ($height * $width), iy, needed, copies[(k + 1) & 1]);
            for (int j = 0; j < count;) {
                const int oy = (p + j) / $out_width, ox = (p + j) % $out_width, left = count - j;
                const int n = $out_width - ox < left ? $out_width - ox : left;
                const float *from = copies[k & 1] + (oy - top) * $stride * $pitch + ox;
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
