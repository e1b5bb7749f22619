"""C text of a convolution by Strassen's products in Winograd's form: sums of inputs, seven products, sums of these."""

from __future__ import annotations

from codegen.engines.cpu.blocked.ordered import ordered_prologue
from codegen.engines.cpu.blocked.strassen_code import PRODUCTS, QUARTERS, StrassenCode
from codegen.engines.cpu.blocked.tile_products import product_text
from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue, vector_prologue
from codegen.engines.cpu.source import fill


def strassen_text(code: StrassenCode) -> str:
    """`<entry>_span(x, w, bias, y, work, b_first, b_end, t_first, t_end)`.

    It computes the tiles of pixels [t_first, t_end) of the blocks of channels [b_first, b_end) of the first half, of
    which `b_first` is a multiple of `blocks`, and of those of the second half that are paired with them.
    """
    kinds = [code.products(of_sums=of_sums) for of_sums in (False, True)]
    return "".join(
        [
            vector_prologue(code.lanes, code.epilogue),
            ordered_prologue(code.ordered),
            *(
                product_text(products, height, width)
                for products in kinds
                for height in code.heights
                for width in code.widths
            ),
            *(_choice_text(code, products.entry) for products in kinds),
            _edge_text(code),
            _sums_text(code),
            _results_text(code),
            _span_text(code),
        ]
    )


def _choice_text(code: StrassenCode, entry: str) -> str:
    """A product of a tile, by the code for its height and width."""
    calls = [
        f"if (pairs == {height} && blocks == {width})\n        {entry}_product{height}x{width}(v, w, m);"
        for height in code.heights
        for width in code.widths
    ]
    return fill(
        """
        static inline void ${entry}_product(int pairs, int blocks, const float *restrict v, const float *restrict w,
                                            float *restrict m)
        {
            $calls
        }
        """,
        entry=entry,
        calls="\n    else ".join(calls),
    )


def _edge_text(code: StrassenCode) -> str:
    """The first pair of a tile, and the pixels from its first half to its second one."""
    return fill(
        """
        static inline int ${entry}_edge(int tile)
        {
            return (int)((long long)tile * $pairs / $tiles);
        }
        static inline int ${entry}_apart(int tile)
        {
            const int pairs = ${entry}_edge(tile + 1) - ${entry}_edge(tile);
            return $apart;
        }
        """,
        entry=code.entry,
        pairs=code.pairs,
        tiles=code.tile_count,
        apart=f"tile == {code.tile_count - 1} ? pairs - 1 : pairs" if code.plane % 2 else "pairs",
    )


def _sums_text(code: StrassenCode) -> str:
    """Of quarters of the inputs of a chunk's tiles: S1 = A21 + A22, S2 = S1 - A11, S3 = A11 - A21, S4 = A12 - S2."""
    lanes, further = code.lanes, code.in_blocks * code.plane * code.lanes
    places = {"a11": "from", "a12": f"from + {further}", "a21": "beside", "a22": f"beside + {further}"}
    results = {0: "s1", 1: "s2", 2: "a11 - a21", 3: "a12 - s2"}
    return fill(
        """
        static void ${entry}_sums(const float *x, float *s, int t_first, int t_end)
        {
            const int e_first = ${entry}_edge(t_first);
            for (int i = 0; i < $blocks; ++i, x += $plane, s += $step)
                for (int t = t_first; t < t_end; ++t) {
                    const int edge = ${entry}_edge(t), end = ${entry}_edge(t + 1), apart = ${entry}_apart(t);
                    const float *from = x + 2 * edge * $lanes;
                    float *to = s + (edge - e_first) * $lanes;
                    for (int p = edge; p < end; ++p, from += $lanes, to += $lanes) {
                        const float *beside = from + apart * $lanes;
                        const vec$lanes $loads;
                        const vec$lanes s1 = a21 + a22, s2 = s1 - a11;
                        $stores
                    }
                }
        }
        """,
        entry=code.entry,
        blocks=code.in_blocks,
        plane=code.plane * lanes,
        step=code.chunk_pairs * lanes,
        lanes=lanes,
        loads=", ".join(f"{name} = {constant_vector(lanes, place)}" for name, place in places.items()),
        stores="\n                ".join(
            f"{vector(lanes, f'to + {number * code.sum_stride}')} = {value};"
            for number, value in results.items()
        ),
    )


def _results_text(code: StrassenCode) -> str:
    """The outputs of a tile: C11 = M1 + M2, C21 = M1 + M6 + M7 - M4, C12 = M1 + M6 + M5 + M3 and
    C22 = M1 + M6 + M7 + M5, of which `m` has -M4 as its third, then M5, M6, M7 and M3.
    """
    lanes, further = code.lanes, code.out_blocks * code.plane * code.lanes
    loads = [f"m{i} = {constant_vector(lanes, f'm + {i * code.product_stride}')}" for i in range(PRODUCTS)]
    results = {
        "to": "m0 + m1 + low",
        "beside": "u + m2 + low",
        f"to + {further}": "m0 + m4 + m3 + m6 + high",
        f"beside + {further}": "u + m3 + high",
    }
    return fill(
        """
        static void ${entry}_results(const float *m, const float *bias, float *y, int pairs, int apart, int blocks)
        {
            for (int p = 0; p < pairs; ++p, y += $lanes)
                for (int b = 0; b < blocks; ++b, m += $lanes) {
                    float *to = y + b * $plane, *beside = to + apart * $lanes;
                    const vec$lanes low = $low, high = $high;
                    const vec$lanes $loads;
                    const vec$lanes u = m0 + m4 + m5;
                    $stores
                }
        }
        """,
        entry=code.entry,
        lanes=lanes,
        plane=code.plane * lanes,
        low=constant_vector(lanes, f"bias + b * {lanes}"),
        high=constant_vector(lanes, f"bias + {code.outputs // 2} + b * {lanes}"),
        loads=", ".join(loads),
        stores="\n            ".join(
            f"{vector(lanes, place)} = {vector_epilogue(lanes, value, code.epilogue)};"
            for place, value in results.items()
        ),
    )


def _span_text(code: StrassenCode) -> str:
    return fill(
        """
        static void ${entry}_span(const float *x, const float *w, const float *bias, float *y, float *work,
                                  int b_first, int b_end, int t_first, int t_end)
        {
            float *s = work, *m = work + $sums;
            for (int chunk = t_first; chunk < t_end; chunk += $chunk) {
                const int end = chunk + $chunk < t_end ? chunk + $chunk : t_end, e_first = ${entry}_edge(chunk);
                ${entry}_sums(x, s, chunk, end);
                for (int b = b_first; b < b_end; b += $blocks) {
                    const int blocks = b + $blocks < $out_blocks ? $blocks : $out_blocks - b;
                    for (int t = chunk; t < end; ++t) {
                        const int edge = ${entry}_edge(t), pairs = ${entry}_edge(t + 1) - edge;
                        const int apart = ${entry}_apart(t);
                        const float *from = x + 2 * edge * $lanes, *sums = s + (edge - e_first) * $lanes;
                        const float *k = w + b * $block_weights;
                        for (int p = 0; p < $quarters; ++p, k += blocks * $panel)
                            ${entry}_quarter_product(pairs, blocks,
                                                     from + (p > 0) * $further + (p == 2) * apart * $lanes, k,
                                                     m + p * $product_stride);
                        for (int p = $quarters; p < $products; ++p, k += blocks * $panel)
                            ${entry}_sum_product(pairs, blocks, sums + (p - $quarters) * $sum_stride, k,
                                                 m + p * $product_stride);
                        ${entry}_results(m, bias + b * $lanes, y + b * $plane + 2 * edge * $lanes, pairs, apart,
                                         blocks);
                    }
                }
            }
        }
        """,
        entry=code.entry,
        sums=code.sums_size,
        chunk=code.chunk,
        blocks=code.blocks,
        out_blocks=code.out_blocks,
        block_weights=code.block_weights,
        products=PRODUCTS,
        quarters=QUARTERS,
        panel=code.half_channels * code.lanes,
        product_stride=code.product_stride,
        sum_stride=code.sum_stride,
        further=code.in_blocks * code.plane * code.lanes,
        plane=code.plane * code.lanes,
        lanes=code.lanes,
    )
