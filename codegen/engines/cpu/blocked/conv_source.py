"""C text of a direct convolution: a register tile of pixels by blocks of output channels, and the loops over tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.engines.cpu.blocked.geometry import Image, Tile, row_tiles
from codegen.engines.cpu.blocked.ordered import (
    either,
    ordered_ends,
    ordered_prologue,
    ordered_starts,
    ordered_sums,
)
from codegen.engines.cpu.blocked.ordered_conv import OrderedTile
from codegen.engines.cpu.blocked.row_source import RowCode, row_sums
from codegen.engines.cpu.blocked.scheduled_tile import (
    CHANNELS,
    TileShape,
    can_schedule,
    part_sums,
    tile_statements,
)
from codegen.engines.cpu.blocked.tile_results import Results
from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue, vector_prologue
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.machine import FLOAT_BYTES, OrderedForm
from codegen.engines.cpu.partial_sums import Parts, summed
from codegen.engines.cpu.source import BARRIER, fill
from codegen.expression import RESULT, Expression
from codegen.tensor import FloatArray
from codegen.windows import Windows

PIXELS_OUTER, CHANNELS_OUTER = "pixels", "channels"
UNUSED = "(void)ky_first;\n    (void)ky_end;"


@dataclass(frozen=True)
class ConvCode:
    """What the text depends on. `addend`: a picture like the output is added before `sum_epilogue` applies.
    `by_element`: on AArch64 pointwise tiles are in assembly (`scheduled_tile`), elsewhere this text too is C; with
    `ordered` the same holds of 32-bit ARM and all tiles (`ordered_conv`). `widened`: the weights that the text is given
    begin with those of the first block which it computes, of one tile's blocks.
    """

    entry: str
    channels: int
    outputs: int
    windows: Windows
    source: Image
    result: Image
    pixels: int
    blocks: int
    outer: str = PIXELS_OUTER
    epilogue: Expression = RESULT
    addend: bool = False
    sum_epilogue: Expression = RESULT
    by_element: bool = False
    ordered: OrderedForm = ""
    widened: bool = False

    @property
    def lanes(self) -> int:
        return self.result.lanes

    @property
    def out_blocks(self) -> int:
        return -(-self.outputs // self.lanes)

    @property
    def taps(self) -> int:
        return self.windows.rows.taps * self.windows.columns.taps

    @property
    def parts(self) -> Parts:
        """Of the loop over whole blocks of input channels."""
        lanes = self.source.lanes
        return Parts.of(self.channels // lanes, lanes * self.taps, self.lanes)

    @property
    def block_weights(self) -> int:
        """Elements of the weights of one block of output channels."""
        return self.channels * self.taps * self.lanes

    @property
    def tile_weights(self) -> str:
        """The C expression of where the weights of the blocks from `b` on begin."""
        return "w" if self.widened else f"w + b * {self.block_weights}"

    @property
    def weights_size(self) -> int:
        """Elements of packed weights; the bias, of whole blocks, lies behind them."""
        return self.out_blocks * self.block_weights

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles of one row of outputs."""
        return row_tiles(self.windows.columns, self.pixels)

    @property
    def tile_count(self) -> int:
        """Tiles of the whole picture."""
        return self.windows.rows.outputs * len(self.tiles)


def conv_text(code: ConvCode) -> str:
    """`<entry>_span(x, x_first, w, bias, [addend,] y, y_first, b_first, b_end, t_first, t_end)`.

    It computes the tiles [t_first, t_end), counted row by row, of the blocks of channels [b_first, b_end), of which
    `b_first` is a multiple of `blocks`. `x` begins with row `x_first` of the input, `y` (and `addend`) with row
    `y_first` of the output.
    """
    tiles = code.tiles
    shapes = list(dict.fromkeys(tile.taps for tile in tiles))
    widths = block_widths(code)
    functions = [
        _tile_text(code, f"{code.entry}_tile{number}x{blocks}", shape, blocks)
        for blocks in widths
        for number, shape in enumerate(shapes)
    ]
    rows = [
        "{"
        + ", ".join(
            [
                str(
                    (tile.first * code.windows.columns.stride - code.windows.columns.pad) * code.source.pixel
                ),
                str(tile.first * code.result.pixel),
                *_tile_members(code, shapes.index(tile.taps), widths),
            ]
        )
        + "}"
        for tile in tiles
    ]
    return "".join(
        [
            vector_prologue(code.lanes, code.epilogue, code.sum_epilogue),
            ordered_prologue(code.ordered),
            *functions,
            _span_text(code, rows, widths, len(shapes)),
        ]
    )


def _tile_members(code: ConvCode, shape: int, widths: Sequence[int]) -> list[str]:
    """What a tile's record has behind its places: its functions; where they are inlined the number of its shape.

    A function keeps the registers that it changes in memory, which costs a core that issues in order more than a call:
    caches that see parts of lines stored among whole ones read those before they are written.
    """
    if code.by_element:
        return [str(shape)]
    return [f"{code.entry}_tile{shape}x{blocks}" for blocks in widths]


def pack_conv(weights: Sequence[FloatArray], code: ConvCode) -> FloatArray:
    """Weights (out, in, kh, kw) as [tile of blocks][block of inputs][kh][input of the block][kw][blocks][lanes], then
    the bias; zeros fill the last block.
    """
    values, bias = in_whole_blocks(weights, code)
    lanes, (rows, columns) = code.lanes, values.shape[2:]
    parts = []
    for first in range(0, code.out_blocks, code.blocks):
        blocks = min(code.blocks, code.out_blocks - first)
        tile = values[first * lanes : (first + blocks) * lanes]
        for start in range(0, code.channels, code.source.lanes):
            part = tile[:, start : start + code.source.lanes].reshape(blocks, lanes, -1, rows, columns)
            parts.append(part.transpose(3, 2, 4, 0, 1).reshape(-1))  # ky, channel, kx, block, lane
    return np.concatenate([*parts, bias])


def in_whole_blocks(weights: Sequence[FloatArray], code: ConvCode) -> tuple[FloatArray, FloatArray]:
    """Weights (out, in, kh, kw) and bias (out), `out` filled up with zeros to whole blocks."""
    matrix, bias = matrix_and_bias(weights)
    padded = code.out_blocks * code.lanes
    shape = code.channels, code.windows.rows.taps, code.windows.columns.taps
    values, tail = np.zeros((padded, *shape), dtype=np.float32), np.zeros(padded, dtype=np.float32)
    values[: code.outputs] = matrix.reshape(code.outputs, *shape)
    tail[: code.outputs] = bias
    return values, tail


def block_widths(code: ConvCode) -> tuple[int, ...]:
    """The numbers of blocks that tiles have: `blocks`, and what is left at the end."""
    whole, rest = code.blocks, code.out_blocks % code.blocks
    return tuple(blocks for blocks in (whole if code.out_blocks >= whole else 0, rest) if blocks)


def tile_walks(code: ConvCode) -> tuple[str, str]:
    """The outer and inner loop over tiles `t` of pixels and `b` of blocks."""
    pixels = "for (int t = t_first; t < t_end; ++t)"
    channels = f"for (int b = b_first; b < b_end; b += {code.blocks})"
    return (channels, pixels) if code.outer == CHANNELS_OUTER else (pixels, channels)


def tile_function(code: ConvCode, widths: Sequence[int]) -> str:
    """The member of a tile's record that computes the blocks from `b` on."""
    if len(widths) == 1:
        return "tile->blocks0"
    return f"(b + {code.blocks} <= {code.out_blocks} ? tile->blocks0 : tile->blocks1)"


def starts_text(lanes: int, pixels: int, blocks: int) -> str:
    """Declarations of the sums `a<pixel>_<block>`, which begin with the bias."""
    lines = [
        f"const vec{lanes} s{b} = {constant_vector(lanes, f'bias + {b * lanes}')};" for b in range(blocks)
    ]
    sums = ", ".join(f"a{p}_{b} = s{b}" for p in range(pixels) for b in range(blocks))
    return "\n    ".join([*lines, f"vec{lanes} {sums};"])


def results_text(code: ConvCode, pixels: int, blocks: int) -> str:
    """Statements that store the sums."""
    lanes, results = code.lanes, []
    for p in range(pixels):
        for b in range(blocks):
            value = vector_epilogue(lanes, f"a{p}_{b}", code.epilogue)
            place = f"{b * code.result.block + p * code.result.pixel}"
            if code.addend:
                value = f"{value} + {constant_vector(lanes, f'addend + {place}')}"
                value = vector_epilogue(lanes, value, code.sum_epilogue)
            results.append(f"{vector(lanes, f'y + {place}')} = {value};")
    return "\n    ".join(results)


def _tile_text(code: ConvCode, name: str, shape: Sequence[tuple[int, int]], blocks: int) -> str:
    rest = code.channels % code.source.lanes
    sums = [f"a{p}_{b}" for p in range(len(shape)) for b in range(blocks)]

    def whole_blocks(count: str) -> str:
        return _input_block_text(code, shape, blocks, code.source.lanes, count)

    parts = []
    if code.channels >= code.source.lanes:
        parts.append(summed(code.parts, f"vec{code.lanes}", sums, whole_blocks))
    if rest:
        parts.append(_input_block_text(code, shape, blocks, rest, "1"))
    return fill(
        """
        static$inline void $name(const float *restrict x, const float *restrict w, const float *restrict bias,
                          $addend float *restrict y, int ky_first, int ky_end)
        {
            $results
        }
        """,
        inline=" inline __attribute__((always_inline))" if code.by_element else "",
        name=name,
        addend="const float *restrict addend," if code.addend else "",
        results=_results_in_assembly(code, shape, blocks, parts),
    )


def _results_in_assembly(
    code: ConvCode, shape: Sequence[tuple[int, int]], blocks: int, in_c: Sequence[str]
) -> str:
    """The body of a tile: where assembly has the sums of one part and clamps them, it stores them too."""
    pixels, results = len(shape), results_text(code, len(shape), blocks)
    tile = scheduled_shape(code, pixels, blocks)
    stored = None if code.addend else Results.of(code.epilogue, code.result.block)
    if tile is None or stored is None or code.parts.count > 1 or code.result.pixel != code.lanes:
        return f"{_sums_text(code, shape, blocks, in_c)}\n{results}"
    starts = starts_text(code.lanes, pixels, blocks)
    return "\n".join(
        [
            "#if defined(__aarch64__)",
            UNUSED,
            tile_statements(tile, code.parts, "x", "bias", "y", stored),
            "#else",
            *(starts, UNUSED, *in_c, results),
            "#endif",
        ]
    )


def _sums_text(code: ConvCode, shape: Sequence[tuple[int, int]], blocks: int, in_c: Sequence[str]) -> str:
    pixels, starts = len(shape), starts_text(code.lanes, len(shape), blocks)
    if not code.ordered:
        return _rows_in_assembly(code, shape, blocks, _in_assembly(code, pixels, blocks, starts, in_c))
    tile = OrderedTile(code, shape, blocks)
    lanes, rest = code.source.lanes, code.channels % code.source.lanes
    text = "\n    ".join([starts, UNUSED, *in_c])
    parts = []
    if code.channels >= lanes:
        if not tile.has_products(lanes):
            return text
        kind, sums = ordered_sums(code.ordered, pixels, blocks)
        parts.append(summed(code.parts, kind, sums, lambda count: tile.products(lanes, count)))
    if rest:
        if not tile.has_products(rest):
            return text
        parts.append(tile.products(rest, "1"))
    begin = ordered_starts(
        code.ordered, pixels, blocks, [f"((const vec4 *)bias)[{b}]" for b in range(blocks)]
    )
    lines = [UNUSED, begin, *parts, ordered_ends(code.ordered, pixels, blocks)]
    return either(code.ordered, "\n    ".join(lines), text)


def _rows_in_assembly(code: ConvCode, shape: Sequence[tuple[int, int]], blocks: int, otherwise: str) -> str:
    """The sums of a tile: where the kernel has several taps, on AArch64 in assembly, row by row."""
    rows = row_code(code, shape, blocks)
    lines = rows.assembly if rows else None
    if rows is None or lines is None:
        return otherwise
    names = [f"a{p}_{b} = sums[{p * blocks + b}]" for p in range(len(shape)) for b in range(blocks)]
    return (
        f"#if defined(__aarch64__)\n{UNUSED}\n{row_sums(rows, lines)}\n"
        f"vec{code.lanes} {', '.join(names)};\n#else\n{otherwise}\n#endif"
    )


def row_code(code: ConvCode, shape: Sequence[tuple[int, int]], blocks: int) -> RowCode | None:
    """A tile as `row_source` takes it; None where products take no element of a register."""
    if not code.by_element or code.lanes != CHANNELS:
        return None
    return RowCode(code.windows, code.source, code.channels, tuple(shape), blocks)


def _in_assembly(code: ConvCode, pixels: int, blocks: int, starts: str, parts: Sequence[str]) -> str:
    """The sums: on AArch64 in scheduled assembly where there is one, else as C."""
    in_c = "\n    ".join([starts, UNUSED, *parts])
    shape = scheduled_shape(code, pixels, blocks)
    if shape is None:
        return in_c
    names = [
        f"a{p}_{b} = {part_sums(shape, code.parts, shape.total(p, b))}"
        for p in range(pixels)
        for b in range(blocks)
    ]
    return fill(
        """
        #if defined(__aarch64__)
            $unused
            $assembly
            vec$lanes $names;
        #else
            $in_c
        #endif
        """,
        lanes=code.lanes,
        unused=UNUSED,
        assembly=tile_statements(shape, code.parts, "x", "bias"),
        names=", ".join(names),
        in_c=in_c,
    ).strip()


def scheduled_shape(code: ConvCode, pixels: int, blocks: int) -> TileShape | None:
    """The tile as `scheduled_tile` takes it; None where the C text is all there is."""
    source, columns = code.source, code.windows.columns
    if not code.by_element or code.taps != 1 or code.windows.rows.is_clipped or columns.is_clipped:
        return None
    if code.lanes != CHANNELS or source.lanes != CHANNELS or source.channel != 1 or code.channels % CHANNELS:
        return None
    shape = TileShape(pixels, blocks, columns.stride * source.pixel * FLOAT_BYTES, source.block * FLOAT_BYTES)
    return shape if can_schedule(shape) else None


def _input_block_text(
    code: ConvCode, shape: Sequence[tuple[int, int]], blocks: int, channels: int, count: str
) -> str:
    """The loops over `count` blocks of input channels of which `channels` are read."""
    columns, lanes = code.windows.columns, code.lanes
    step = columns.taps * blocks * lanes
    taps = []
    for kx in range(columns.taps):
        reading = [p for p, (first, end) in enumerate(shape) if first <= kx < end]
        if not reading:
            continue
        loads = " ".join(
            f"const vec{lanes} w{b} = {constant_vector(lanes, f'k + {(kx * blocks + b) * lanes}')};"
            for b in range(blocks)
        )
        lines = []
        for p in reading:
            place = (p * columns.stride + kx * columns.dilation) * code.source.pixel
            updates = " ".join(f"a{p}_{b} += w{b} * v;" for b in range(blocks))
            lines.append(f"{{ const float v = row[{place}]; {updates} }}")
        taps.append("{ " + "\n                    ".join([loads, *lines]) + " }")
    return fill(
        """
        for (int i = 0; i < $count; ++i, x += $block, w += $weights)
            for (int ky = $ky_first; ky < $ky_end; ++ky) {
                const float *restrict row = x + ky * $row;
                const float *restrict k = w + ky * $row_weights;
                for (int c = 0; c < $channels; ++c, row += $channel, k += $step) {
                    $taps
                }
            }
        """,
        count=count,
        block=code.source.block,
        weights=code.windows.rows.taps * channels * step,
        ky_first="ky_first" if code.windows.rows.is_clipped else 0,
        ky_end="ky_end" if code.windows.rows.is_clipped else code.windows.rows.taps,
        row=code.windows.rows.dilation * code.source.row,
        row_weights=channels * step,
        channels=channels,
        channel=code.source.channel,
        step=step,
        # Taps of a row share inputs. Compilers would keep these for the next tap, and sums would leave the registers.
        taps=f"\n            {BARRIER}\n            ".join(taps),
    ).strip()


def _span_text(code: ConvCode, tiles: Sequence[str], widths: Sequence[int], shapes: int) -> str:
    rows = code.windows.rows
    outer, inner = tile_walks(code)
    return fill(
        """
        $compute_type
        static void ${entry}_span(const float *x, int x_first, const float *w, const float *bias,
                                  $addend_parameter float *y, int y_first, int b_first, int b_end,
                                  int t_first, int t_end)
        {
            static const struct {
                int in, out;
                $members;
            } tiles[$count] = {$tiles};
            $outer
                $inner {
                    const int oy = t / $count, iy = oy * $stride - $pad;
                    const int below = iy < 0 ? (-iy + $reach) / $dilation : 0;
                    const int fit = ($inputs - iy + $reach) / $dilation;
                    const int place = b * $result_block + (oy - y_first) * $result_row;
                    __typeof__(&tiles[0]) tile = &tiles[t % $count];
                    $calls
                }
        }
        """,
        entry=code.entry,
        compute_type="" if code.by_element else _compute_type(code),
        addend_parameter="const float *addend," if code.addend else "",
        members="int shape"
        if code.by_element
        else f"{code.entry}_compute {', '.join(f'*blocks{i}' for i, _ in enumerate(widths))}",
        count=len(tiles),
        tiles=", ".join(tiles),
        outer=outer,
        inner=inner,
        stride=rows.stride,
        pad=rows.pad,
        dilation=rows.dilation,
        reach=rows.dilation - 1,
        inputs=rows.inputs,
        result_block=code.result.block,
        result_row=code.result.row,
        calls=_calls(code, widths, shapes),
    )


def _compute_type(code: ConvCode) -> str:
    return fill(
        """
        typedef void ${entry}_compute(const float *restrict, const float *restrict, const float *restrict,
                                      $addend_type float *restrict, int, int);
        """,
        entry=code.entry,
        addend_type="const float *restrict," if code.addend else "",
    )


def _calls(code: ConvCode, widths: Sequence[int], shapes: int) -> str:
    """The call of a tile's function for the blocks from `b` on."""
    arguments = fill(
        """
        (x + (iy - x_first) * $source_row + tile->in, $tile_weights,
                 bias + b * $lanes, $addend_argument y + place + tile->out,
                 below, fit < $taps ? fit : $taps);
        """,
        source_row=code.source.row,
        tile_weights=code.tile_weights,
        lanes=code.lanes,
        addend_argument="addend + place + tile->out," if code.addend else "",
        taps=code.windows.rows.taps,
    ).strip()
    if not code.by_element:
        return f"{tile_function(code, widths)}{arguments}".replace("\n", "\n            ")
    whole = f" && b + {code.blocks} <= {code.out_blocks}" if len(widths) > 1 else ""
    return "\nelse ".join(
        f"if (tile->shape == {shape}{condition})\n    {code.entry}_tile{shape}x{blocks}{arguments}"
        for shape in range(shapes)
        for blocks, condition in zip(widths, (whole, ""), strict=False)
    )
