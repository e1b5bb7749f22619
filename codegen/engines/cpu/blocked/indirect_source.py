"""C text of a convolution through a table of input offsets: tiles of a plane's outputs, taken as one row.

The indirect convolution algorithm of Dukhan (2019), with offsets in place of pointers: one table serves all images
and all blocks of channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.blocked.conv_source import block_widths, in_whole_blocks, tile_function, tile_walks
from codegen.engines.cpu.blocked.indirect_tile import IndirectCode, input_offsets, literal_tile, table_tile
from codegen.engines.cpu.blocked.ordered import ordered_prologue
from codegen.engines.cpu.blocked.vectors import vector_prologue
from codegen.engines.cpu.source import fill
from codegen.tensor import FloatArray


def indirect_text(code: IndirectCode) -> str:
    """`<entry>_span(x, w, bias, y, b_first, b_end, t_first, t_end)`.

    It computes the tiles [t_first, t_end) of the blocks of channels [b_first, b_end), of which `b_first` is a multiple
    of `blocks`.
    """
    widths = block_widths(code)
    zeros, table = "", ""
    if code.literals:
        kinds = list(range(code.tile_count))
        functions = [
            literal_tile(code, _tile_name(code, kind, blocks), tile, blocks)
            for blocks in widths
            for kind, tile in enumerate(code.tiles)
        ]
    else:
        kinds = [tile.pixels for tile in code.tiles]
        functions = [
            table_tile(code, _tile_name(code, pixels, blocks), pixels, blocks)
            for blocks in widths
            for pixels in sorted(set(kinds))
        ]
        lines = ",\n    ".join(", ".join(map(str, line)) for line in input_offsets(code))
        table = f"static const int {code.entry}_in[] = {{\n    {lines}\n}};\n"
        zeros = f"static const float {code.entry}_zeros[{code.source.lanes}];\n" if code.reads_zeros else ""
    tiles = [
        f"{{{tile.first}, {', '.join(_tile_name(code, kind, blocks) for blocks in widths)}}}"
        for kind, tile in zip(kinds, code.tiles, strict=True)
    ]
    return "".join(
        [
            vector_prologue(code.lanes, code.epilogue),
            ordered_prologue(code.ordered),
            zeros,
            table,
            *functions,
            _span_text(code, tiles, widths),
        ]
    )


def pack_indirect(weights: Sequence[FloatArray], code: IndirectCode) -> FloatArray:
    """Weights (out, in, kh, kw) as [tile of blocks][tap][input][blocks][lanes], then the bias."""
    values, bias = in_whole_blocks(weights, code)
    parts = []
    for first in range(0, code.out_blocks, code.blocks):
        tile = values[first * code.lanes : (first + code.blocks) * code.lanes]
        tile = tile.reshape(-1, code.lanes, code.channels, code.taps)
        parts.append(tile.transpose(3, 2, 0, 1).reshape(-1))  # tap, channel, block, lane
    return np.concatenate([*parts, bias])


def _tile_name(code: IndirectCode, kind: int, blocks: int) -> str:
    return f"{code.entry}_tile{kind}x{blocks}"


def _span_text(code: IndirectCode, tiles: Sequence[str], widths: Sequence[int]) -> str:
    outer, inner = tile_walks(code)
    return fill(
        """
        typedef void ${entry}_compute(const float *restrict, const float *restrict, const float *restrict,
                                      $offsets_type float *restrict);

        static void ${entry}_span(const float *x, const float *w, const float *bias, float *y, int b_first, int b_end,
                                  int t_first, int t_end)
        {
            static const struct {
                int first;
                ${entry}_compute $members;
            } tiles[$count] = {$tiles};
            $outer
                $inner {
                    __typeof__(&tiles[0]) tile = &tiles[t];
                    $compute(x, $tile_weights, bias + b * $lanes, $offsets
                             y + b * $result_block + tile->first * $result_pixel);
                }
        }
        """,
        entry=code.entry,
        offsets_type="" if code.literals else "const int *restrict,",
        offsets="" if code.literals else f"{code.entry}_in + tile->first,",
        members=", ".join(f"*blocks{i}" for i, _ in enumerate(widths)),
        count=len(tiles),
        tiles=", ".join(tiles),
        outer=outer,
        inner=inner,
        compute=tile_function(code, widths),
        tile_weights=code.tile_weights,
        lanes=code.lanes,
        result_block=code.result.block,
        result_pixel=code.result.pixel,
    )
