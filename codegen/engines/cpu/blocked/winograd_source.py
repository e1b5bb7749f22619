"""C text of a Winograd convolution: the loops over chunks of tiles, and over the tiles of a chunk."""

from __future__ import annotations

from codegen.engines.cpu.blocked.ordered import ordered_prologue
from codegen.engines.cpu.blocked.tile_products import product_text
from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_prologue
from codegen.engines.cpu.blocked.winograd_code import WinogradCode
from codegen.engines.cpu.blocked.winograd_tiles import input_text, output_text
from codegen.engines.cpu.source import fill


def winograd_text(code: WinogradCode) -> str:
    """`<entry>_span(x, w, bias, y, work, b_first, b_end, g_first, g_end)`.

    It computes the groups of tiles [g_first, g_end) of the blocks of channels [b_first, b_end), of which `b_first` is
    a multiple of `blocks`.
    """
    products = [
        product_text(code.products, height, width) for height in code.heights for width in code.widths
    ]
    return "".join(
        [
            vector_prologue(code.lanes, code.epilogue),
            ordered_prologue(code.ordered),
            input_text(code),
            *products,
            *(output_text(code, rows, columns) for rows, columns in code.cuts),
            _gather_by_point(code) if code.by_point else _gather_text(code),
            _scatter_text(code),
            _choice_text(code),
            _edge_text(code),
            _span_by_point(code) if code.by_point else _span_text(code),
        ]
    )


def _place_text(code: WinogradCode) -> str:
    """Where tile number `t` of the batch stands."""
    rows, columns = code.grid
    return (
        f"const int n = t / {rows * columns}, ty = t / {columns} % {rows} * {code.tile}, "
        f"tx = t % {columns} * {code.tile};"
    )


def _gather_text(code: WinogradCode) -> str:
    """The transformed inputs of the tiles of a chunk; tiles that reach over a border are copied first."""
    return fill(
        """
        static void ${entry}_gather(const float *x, float *v, int t_first, int t_end)
        {
            for (int t = t_first; t < t_end; ++t) {
                $place
                const int top = ty - $above, left = tx - $beside;
                const float *from = x + (n * $blocks * $height + top) * $row + left * $lanes;
                float *to = v + (t - t_first) * $lanes;
                if (top >= 0 && left >= 0 && top + $points <= $height && left + $points <= $width) {
                    for (int i = 0; i < $blocks; ++i, from += $plane, to += $step)
                        ${entry}_input(from, $row, to);
                    continue;
                }
                const int first = left < 0 ? -left : 0, end = $width - left < $points ? $width - left : $points;
                for (int i = 0; i < $blocks; ++i, from += $plane, to += $step) {
                    float tile[$size] __attribute__((aligned(64)));
                    for (int r = 0; r < $points; ++r)
                        for (int c = 0; c < $points; ++c) {
                            const vec$lanes zero = {0};
                            const int inside = top + r >= 0 && top + r < $height && c >= first && c < end;
                            $target = inside ? $value : zero;
                        }
                    ${entry}_input(tile, $tile_row, to);
                }
            }
        }
        """,
        **_gather_values(code),
    )


def _gather_by_point(code: WinogradCode) -> str:
    """The same, of neighbouring tiles of a block one after the other: they write the same lines."""
    return fill(
        """
        static void ${entry}_gather(const float *x, float *v, int t_first, int t_end)
        {
            for (int i = 0; i < $blocks; ++i)
                for (int t = t_first; t < t_end; ++t) {
                    $place
                    const int top = ty - $above, left = tx - $beside;
                    const float *from = x + ((n * $blocks + i) * $height + top) * $row + left * $lanes;
                    float *to = v + i * $step + (t - t_first) * $lanes;
                    if (top >= 0 && left >= 0 && top + $points <= $height && left + $points <= $width) {
                        ${entry}_input(from, $row, to);
                        continue;
                    }
                    const int first = left < 0 ? -left : 0, end = $width - left < $points ? $width - left : $points;
                    float tile[$size] __attribute__((aligned(64)));
                    for (int r = 0; r < $points; ++r)
                        for (int c = 0; c < $points; ++c) {
                            const vec$lanes zero = {0};
                            const int inside = top + r >= 0 && top + r < $height && c >= first && c < end;
                            $target = inside ? $value : zero;
                        }
                    ${entry}_input(tile, $tile_row, to);
                }
        }
        """,
        **_gather_values(code),
    )


def _gather_values(code: WinogradCode) -> dict[str, int | str]:
    """What both orders of gathering are told."""
    height, width = code.source
    return {
        "entry": code.entry,
        "place": _place_text(code),
        "above": code.pads[0],
        "beside": code.pads[1],
        "blocks": code.in_blocks,
        "height": height,
        "width": width,
        "row": width * code.lanes,
        "plane": height * width * code.lanes,
        "lanes": code.lanes,
        "points": code.points,
        "size": code.points**2 * code.lanes,
        "tile_row": code.points * code.lanes,
        "step": code.chunk_tiles * code.lanes,
        "target": vector(code.lanes, f"tile + (r * {code.points} + c) * {code.lanes}"),
        "value": constant_vector(code.lanes, f"from + r * {width * code.lanes} + c * {code.lanes}"),
    }


def _scatter_text(code: WinogradCode) -> str:
    """The outputs of the tiles of a chunk, of some blocks; tiles that reach over a border are cut off."""
    height, width = code.result
    calls = [
        f"if (rows == {rows} && columns == {columns})\n"
        f"                {code.entry}_output{rows}x{columns}(from, bias + b * {code.lanes}, to);"
        for rows, columns in code.cuts
    ]
    return fill(
        """
        static void ${entry}_scatter(const float *m, const float *bias, float *y, int t_first, int t_end,
                                     int b_first, int b_end)
        {
            for (int t = t_first; t < t_end; ++t) {
                $place
                const int rows = $height - ty < $tile ? $height - ty : $tile;
                const int columns = $width - tx < $tile ? $width - tx : $tile;
                const float *from = m + (t - t_first) * (b_end - b_first) * $lanes;
                float *to = y + ((n * $blocks + b_first) * $height + ty) * $row + tx * $lanes;
                for (int b = b_first; b < b_end; ++b, from += $lanes, to += $plane) {
                    $calls
                }
            }
        }
        """,
        entry=code.entry,
        place=_place_text(code),
        height=height,
        width=width,
        tile=code.tile,
        blocks=code.out_blocks,
        lanes=code.lanes,
        row=width * code.lanes,
        plane=height * width * code.lanes,
        calls="\n            else ".join(calls),
    )


def _choice_text(code: WinogradCode) -> str:
    """The products of a group of tiles, by the code for its height and width."""
    shapes = [(height, width) for height in code.heights for width in code.widths]
    given = "v, w, m, fetch" if code.by_point else "v, w, m"
    calls = [
        f"if (tiles == {height} && blocks == {width})\n        {code.entry}_product{height}x{width}({given});"
        for height, width in shapes
    ]
    return fill(
        """
        static inline void ${entry}_product(int tiles, int blocks, const float *restrict v, const float *restrict w,
                                            float *restrict m$fetch)
        {
            $calls
        }
        """,
        entry=code.entry,
        fetch=", const float *fetch" if code.by_point else "",
        calls="\n    else ".join(calls),
    )


def _edge_text(code: WinogradCode) -> str:
    text = """
        static inline int ${entry}_edge(int group)
        {
            return (int)((long long)group * $tiles / $group_count);
        }
    """
    return fill(text, entry=code.entry, tiles=code.tiles, group_count=code.group_count) + "\n"


def _span_text(code: WinogradCode) -> str:
    return fill(
        """
        static void ${entry}_span(const float *x, const float *w, const float *bias, float *y, float *work,
                                  int b_first, int b_end, int g_first, int g_end)
        {
            float *v = work, *m = work + $inputs;
            for (int chunk = g_first; chunk < g_end; chunk += $groups) {
                const int end = chunk + $groups < g_end ? chunk + $groups : g_end;
                const int t_first = ${entry}_edge(chunk), t_end = ${entry}_edge(end);
                ${entry}_gather(x, v, t_first, t_end);
                for (int b = b_first; b < b_end; b += $blocks) {
                    const int blocks = b + $blocks < $out_blocks ? $blocks : $out_blocks - b;
                    const float *k = w + b * $block_weights;
                    for (int p = 0; p < $products; ++p, k += blocks * $panel)
                        for (int g = chunk; g < end; ++g) {
                            const int t = ${entry}_edge(g), place = (t - t_first) * $lanes;
                            ${entry}_product(${entry}_edge(g + 1) - t, blocks, v + p * $input_stride + place, k,
                                             m + p * $product_stride + place * blocks);
                        }
                    ${entry}_scatter(m, bias, y, t_first, t_end, b, b + blocks);
                }
            }
        }
        """,
        entry=code.entry,
        inputs=code.points**2 * code.input_stride,
        groups=code.groups,
        blocks=code.blocks,
        out_blocks=code.out_blocks,
        block_weights=code.block_weights,
        products=code.points**2,
        panel=code.channels * code.lanes,
        lanes=code.lanes,
        input_stride=code.input_stride,
        product_stride=code.product_stride,
    )


def _span_by_point(code: WinogradCode) -> str:
    """While a chunk's groups meet some weights, each fetches a part of those behind them."""
    return fill(
        """
        static void ${entry}_span(const float *x, const float *w, const float *bias, float *y, float *work,
                                  int b_first, int b_end, int g_first, int g_end)
        {
            float *v = work, *m = work + $inputs;
            for (int chunk = g_first; chunk < g_end; chunk += $groups) {
                const int end = chunk + $groups < g_end ? chunk + $groups : g_end;
                const int t_first = ${entry}_edge(chunk), t_end = ${entry}_edge(end);
                const int step = (t_end - t_first) * $lanes;
                ${entry}_gather(x, v, t_first, t_end);
                for (int p = 0; p < $products; ++p)
                    for (int b = b_first; b < b_end; b += $blocks) {
                        const int blocks = b + $blocks < $out_blocks ? $blocks : $out_blocks - b;
                        const float *k = w + (p * $out_blocks + b) * $panel;
                        const float *fetch = k + 2 * blocks * $panel <= bias ? k + blocks * $panel : w;
                        for (int g = chunk; g < end; ++g) {
                            const int t = ${entry}_edge(g), place = (t - t_first) * $lanes;
                            ${entry}_product(${entry}_edge(g + 1) - t, blocks, v + p * $input_stride + place, k,
                                             m + p * $product_stride + (b - b_first) * step + place * blocks,
                                             fetch + (g - chunk) * (blocks * $panel / $fetching));
                        }
                    }
                for (int b = b_first; b < b_end; b += $blocks) {
                    const int blocks = b + $blocks < $out_blocks ? $blocks : $out_blocks - b;
                    ${entry}_scatter(m + (b - b_first) * step, bias, y, t_first, t_end, b, b + blocks);
                }
            }
        }
        """,
        entry=code.entry,
        inputs=code.points**2 * code.input_stride,
        groups=code.groups,
        fetching=code.chunk_groups,
        lanes=code.lanes,
        products=code.points**2,
        blocks=code.blocks,
        out_blocks=code.out_blocks,
        panel=code.channels * code.lanes,
        input_stride=code.input_stride,
        product_stride=code.product_stride,
    )
