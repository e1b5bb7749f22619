"""C text of a Winograd convolution of integers of 8 bits: transforms, and the loops over chunks of tiles."""

from __future__ import annotations

from codegen.engines.cpu.int8.conv_source import c_type
from codegen.engines.cpu.int8.epilogue import Total, finished
from codegen.engines.cpu.int8.products import QUAD
from codegen.engines.cpu.int8.vectors import types_text
from codegen.engines.cpu.int8.winograd_code import Int8WinogradCode
from codegen.engines.cpu.int8.winograd_products import product_text
from codegen.engines.cpu.source import fill


def int8_winograd_text(code: Int8WinogradCode) -> str:
    """`<entry>_span(x, w, bias, factor, [z,] y, work, g_first, g_end)`: of the groups of tiles [g_first, g_end)."""
    products = [product_text(code, height, width) for height in code.heights for width in code.widths]
    parts = [
        _TYPES,
        _input_text(code),
        *products,
        _gather_text(code),
        _output_text(code),
        _scatter_text(code),
    ]
    return types_text(QUAD) + "".join([*parts, _choice_text(code), _span_text(code)])


def input_steps(tile: int, d: list[str], name: str) -> tuple[list[tuple[str, str]], list[str]]:
    """What transforms the tile + 2 inputs of a line: named steps, of names that begin with `name`, and the results."""
    if tile == 2:
        return [], [f"{d[0]} - {d[2]}", f"{d[1]} + {d[2]}", f"{d[2]} - {d[1]}", f"{d[3]} - {d[1]}"]
    steps = [
        (f"{name}a", f"{d[4]} - {d[2]} * 4"),
        (f"{name}b", f"{d[3]} - {d[1]} * 4"),
        (f"{name}c", f"{d[4]} - {d[2]}"),
        (f"{name}e", f"({d[3]} - {d[1]}) * 2"),
    ]
    return steps, [
        f"{d[4]} - {d[2]} * 5 + {d[0]} * 4",
        f"{name}a + {name}b",
        f"{name}a - {name}b",
        f"{name}c + {name}e",
        f"{name}c - {name}e",
        f"{d[5]} - {d[3]} * 5 + {d[1]} * 4",
    ]


def output_steps(tile: int, m: list[str], name: str) -> tuple[list[tuple[str, str]], list[str]]:
    """What makes the `tile` results of a line from tile + 2 products; as `input_steps`."""
    if tile == 2:
        return [], [f"{m[0]} * 2 + {m[1]} + {m[2]}", f"{m[1]} - {m[2]} + {m[3]} * 2"]
    steps = [
        (f"{name}a", f"({m[1]} + {m[2]}) * 4"),
        (f"{name}b", f"({m[2]} - {m[1]}) * 4"),
        (f"{name}c", f"{m[3]} + {m[4]}"),
        (f"{name}e", f"({m[3]} - {m[4]}) * 2"),
    ]
    return steps, [
        f"{name}c - {name}a + {m[0]} * 6",
        f"{name}b + {name}e",
        f"{name}c * 4 - {name}a",
        f"{name}b + {name}e * 4 + {m[5]} * 24",
    ]


def _input_text(code: Int8WinogradCode) -> str:
    """One tile of one block of channels: columns first, then rows. What is added to inputs is added behind."""
    points = range(code.points)
    lines = []
    for j in points:
        names = [f"d{i}_{j}" for i in points]
        lines += [
            f"const half4 {name} = ${{load}}(x + {i} * row + {j * QUAD});" for i, name in enumerate(names)
        ]
        steps, results = input_steps(code.tile, names, f"c{j}")
        lines += [f"const half4 {name} = {value};" for name, value in steps]
        lines += [f"const half4 t{i}_{j} = {value};" for i, value in enumerate(results)]
    sums = [sum(row) for row in code.transform.inputs]
    for i in points:
        steps, results = input_steps(code.tile, [f"t{i}_{j}" for j in points], f"r{i}")
        lines += [f"const half4 {name} = {value};" for name, value in steps]
        for j, value in enumerate(results):
            added = code.offset * sums[i] * sums[j]
            place = f"*(half4 *)(v + {(i * code.points + j) * code.input_stride})"
            lines.append(f"{place} = {value}{f' + ({added})' if added else ''};")
    load = "unsigned_4" if code.offset else "signed_4"
    text = "\n            ".join(lines).replace("${load}", load)
    return fill(
        """
        static __attribute__((noinline)) void ${entry}_input(const uint8_t *restrict x, int row, int16_t *restrict v)
        {
            $text
        }
        """,
        entry=code.entry,
        text=text,
    )


def _gather_text(code: Int8WinogradCode) -> str:
    """The transformed inputs of the tiles of a chunk; tiles that reach over a border are copied first."""
    height, width = code.source
    return fill(
        """
        static void ${entry}_gather(const uint8_t *x, int16_t *v, int t_first, int t_end)
        {
            for (int i = 0; i < $blocks; ++i)
                for (int t = t_first; t < t_end; ++t) {
                    $place
                    const int top = ty - $above, left = tx - $beside;
                    const uint8_t *from = x + ((n * $blocks + i) * $height + top) * $row + left * $quad;
                    int16_t *to = v + (i * $chunk + t - t_first) * $quad;
                    if (top >= 0 && left >= 0 && top + $points <= $height && left + $points <= $width) {
                        ${entry}_input(from, $row, to);
                        continue;
                    }
                    uint8_t tile[$size];
                    memset(tile, $zero, sizeof tile);
                    const int first = left < 0 ? -left : 0, end = $width - left < $points ? $width - left : $points;
                    for (int r = 0; r < $points; ++r)
                        if (top + r >= 0 && top + r < $height)
                            for (int c = first; c < end; ++c)
                                memcpy(tile + (r * $points + c) * $quad, from + r * $row + c * $quad, $quad);
                    ${entry}_input(tile, $points * $quad, to);
                }
        }
        """,
        entry=code.entry,
        blocks=code.in_blocks,
        place=_place_text(code),
        above=code.pads[0],
        beside=code.pads[1],
        height=height,
        width=width,
        row=width * QUAD,
        quad=QUAD,
        chunk=code.chunk_tiles,
        points=code.points,
        size=code.points**2 * QUAD,
        zero=code.zero & 255,
    )


def _place_text(code: Int8WinogradCode) -> str:
    """Where tile number `t` of the batch stands."""
    rows, columns = code.grid
    return (
        f"const int n = t / {rows * columns}, ty = t / {columns} % {rows} * {code.tile}, "
        f"tx = t % {columns} * {code.tile};"
    )


def _output_text(code: Int8WinogradCode) -> str:
    """One tile of one block of channels, as many rows and columns of it as there are in the picture."""
    points, tile = range(code.points), code.tile
    lines = []
    for j in points:
        names = [f"m{i}_{j}" for i in points]
        places = [f"m + {(i * code.points + j) * code.product_stride}" for i in points]
        lines += [
            f"const word4 {n} = *(const word4 *)({place});" for n, place in zip(names, places, strict=True)
        ]
        steps, results = output_steps(tile, names, f"c{j}")
        lines += [f"const word4 {name} = {value};" for name, value in steps]
        lines += [f"half[{i}][{j}] = {value};" for i, value in enumerate(results)]
    steps, results = output_steps(tile, [f"half[i][{j}]" for j in points], "r")
    rows = [f"const word4 {name} = {value};" for name, value in steps]
    for j, value in enumerate(results):
        quotient = f"(sum4)(({value}) * {code.transform.inverse}u) >> {code.transform.shift}"
        ended = code.epilogue, code.dtype, code.further
        place = f"i * {code.result[1] * QUAD} + {j * QUAD}"
        stored = finished(QUAD, Total(f"a{j}", "by", code.is_large), place, *ended)
        rows.append(f"if ({j} < columns) {{ const sum4 a{j} = ({quotient}) + start; {stored} }}")
    return fill(
        """
        static __attribute__((noinline)) void ${entry}_output(const int32_t *restrict m, const int32_t *restrict bias,
                                                              const float *restrict factor, $further
                                                              $result *restrict y, int rows, int columns)
        {
            const sum4 start = *(const sum4 *)bias;
            const real4 by = *(const real4 *)factor;
            word4 half[$tile][$points];
            (void)by;
            $lines
            for (int i = 0; i < rows; ++i) {
                $rows
            }
        }
        """,
        entry=code.entry,
        further=f"const {c_type(code.further)} *restrict z," if code.further else "",
        result=c_type(code.dtype),
        tile=tile,
        points=code.points,
        lines="\n            ".join(lines),
        rows="\n                ".join(rows),
    )


def _scatter_text(code: Int8WinogradCode) -> str:
    """The results of the tiles of a chunk and of a tile of blocks of channels."""
    height, width = code.result
    return fill(
        """
        static void ${entry}_scatter(const int32_t *m, const int32_t *bias, const float *factor, $further $result *y,
                                     int t_first, int t_end, int b_first, int blocks)
        {
            for (int t = t_first; t < t_end; ++t) {
                $place
                const int rows = $height - ty < $tile ? $height - ty : $tile;
                const int columns = $width - tx < $tile ? $width - tx : $tile;
                for (int b = b_first; b < b_first + blocks; ++b, m += $quad) {
                    const int to = ((n * $blocks + b) * $height + ty) * $row + tx * $quad;
                    ${entry}_output(m, bias + b * $quad, factor + b * $quad, $argument y + to, rows, columns);
                }
            }
        }
        """,
        entry=code.entry,
        further=f"const {c_type(code.further)} *z," if code.further else "",
        argument="z + to," if code.further else "",
        result=c_type(code.dtype),
        place=_place_text(code),
        height=height,
        width=width,
        tile=code.tile,
        blocks=code.out_blocks,
        row=width * QUAD,
        quad=QUAD,
    )


def _choice_text(code: Int8WinogradCode) -> str:
    """The products of a group of tiles, by the code for its height and width."""
    calls = [
        f"if (tiles == {height} && blocks == {width})\n        {code.entry}_product{height}x{width}(v, w, m);"
        for height in code.heights
        for width in code.widths
    ]
    return fill(
        """
        static inline void ${entry}_product(int tiles, int blocks, const int16_t *v, const int16_t *w, int32_t *m)
        {
            $calls
        }

        static inline int ${entry}_edge(int group)
        {
            return (int)((long long)group * $tiles / $group_count);
        }
        """,
        entry=code.entry,
        calls="\n    else ".join(calls),
        tiles=code.tiles,
        group_count=code.group_count,
    )


def _span_text(code: Int8WinogradCode) -> str:
    """Products of one point with all output channels come before those of the next: inputs stay in a small cache."""
    return fill(
        """
        static void ${entry}_span(const uint8_t *x, const int16_t *w, const int32_t *bias, const float *factor,
                                  $further $result *y, void *work, int g_first, int g_end)
        {
            int16_t *const v = work;
            int32_t *const m = (int32_t *)((char *)work + $inputs);
            for (int chunk = g_first; chunk < g_end; chunk += $groups) {
                const int end = chunk + $groups < g_end ? chunk + $groups : g_end;
                const int t_first = ${entry}_edge(chunk), t_end = ${entry}_edge(end);
                const int step = (t_end - t_first) * $quad;
                ${entry}_gather(x, v, t_first, t_end);
                for (int p = 0; p < $products; ++p)
                    for (int b = 0; b < $out_blocks; b += $blocks) {
                        const int blocks = b + $blocks < $out_blocks ? $blocks : $out_blocks - b;
                        for (int g = chunk; g < end; ++g) {
                            const int t = ${entry}_edge(g), place = (t - t_first) * $quad;
                            ${entry}_product(${entry}_edge(g + 1) - t, blocks, v + p * $input_stride + place,
                                             w + (p * $out_blocks + b) * $panel,
                                             m + p * $product_stride + b * step + place * blocks);
                        }
                    }
                for (int b = 0; b < $out_blocks; b += $blocks) {
                    const int blocks = b + $blocks < $out_blocks ? $blocks : $out_blocks - b;
                    ${entry}_scatter(m + b * step, bias, factor, $argument y, t_first, t_end, b, blocks);
                }
            }
        }
        """,
        entry=code.entry,
        further=f"const {c_type(code.further)} *z," if code.further else "",
        argument="z," if code.further else "",
        result=c_type(code.dtype),
        inputs=code.input_bytes,
        groups=code.groups,
        quad=QUAD,
        products=code.points**2,
        out_blocks=code.out_blocks,
        blocks=code.blocks,
        input_stride=code.input_stride,
        product_stride=code.product_stride,
        panel=code.panel,
    )


_TYPES = """
#ifndef EXPLORE_INT8_WINOGRAD
#define EXPLORE_INT8_WINOGRAD
typedef uint32_t word4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int16_t half4 __attribute__((vector_size(8), aligned(2), may_alias));

INT8_INLINE half4 unsigned_4(const uint8_t *p)
{
    return __builtin_convertvector(*(const byte4 *)p, half4);
}

INT8_INLINE half4 signed_4(const uint8_t *p)
{
    return __builtin_convertvector(*(const tiny4 *)p, half4);
}
#endif

"""
