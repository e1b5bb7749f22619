"""C text of a convolution of integers of 8 bits: a register tile of pixels by blocks of output channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from codegen.engines.cpu.blocked.conv_source import ConvCode, block_widths, tile_function, tile_walks
from codegen.engines.cpu.blocked.geometry import Tile
from codegen.engines.cpu.int8.epilogue import VECTORS, Total, finished
from codegen.engines.cpu.int8.grouped_tile import (
    GroupedShape,
    clobbers,
    flags_of,
    grouped_assembly,
    packed_quads,
)
from codegen.engines.cpu.int8.products import QUAD, Products
from codegen.engines.cpu.source import BARRIER, fill, round_up
from codegen.tensor import Array, FloatArray

Bytes = NDArray[np.int8]
LINE_BYTES = 64


@dataclass(frozen=True)
class QuantizedConvCode(ConvCode):
    """What the text depends on beside the picture's shape. `further`: the type of what the epilogue reads; `is_large`:
    see `Total`.
    """

    products: Products = field(kw_only=True)
    zero: int = 0
    dtype: str = "float32"
    further: str | None = None
    is_large: bool = False

    @property
    def input_blocks(self) -> int:
        """Blocks of channels of the input."""
        return -(-self.channels // self.source.lanes)

    @property
    def last_quads(self) -> int:
        """Quads of input channels of the last block."""
        return -(-(self.channels - (self.input_blocks - 1) * self.source.lanes) // QUAD)

    @property
    def quads(self) -> int:
        """Quads of input channels."""
        return (self.input_blocks - 1) * (self.source.lanes // QUAD) + self.last_quads

    @property
    def block_weights(self) -> int:
        """Bytes of the weights of one block of output channels; in grouped tiles the most, with zeros and flags."""
        if self.is_grouped:
            return 2 * 2 * self.quads * QUAD * self.lanes + round_up(self.quads, LINE_BYTES)
        return self.quads * QUAD * self.taps * self.lanes

    @property
    def is_grouped(self) -> bool:
        """Whether tiles are in assembly of AArch64, with weights in its order (`grouped_tile`)."""
        columns = self.windows.columns
        is_pointwise = self.taps == 1 and not self.windows.rows.is_clipped and not columns.is_clipped
        if not self.by_element or not is_pointwise or not self.source.lanes == self.lanes == QUAD:
            return False
        return all(self.grouped_shape(self.pixels, blocks).fits for blocks in block_widths(self))

    def grouped_shape(self, pixels: int, blocks: int) -> GroupedShape:
        """A tile as `grouped_tile` takes it."""
        stride = self.windows.columns.stride * self.source.pixel
        return GroupedShape(pixels, blocks, stride, self.products.dtype == "uint8")

    @property
    def skips_pads(self) -> bool:
        """Whether what lies beside the picture adds nothing to sums."""
        return self.zero + self.products.offset == 0

    @property
    def reach(self) -> int:
        """Bytes of a row that a tile reads, the most of any."""
        columns = self.windows.columns
        last = (self.pixels - 1) * columns.stride + (columns.taps - 1) * columns.dilation
        return last * self.source.pixel + self.source.lanes


def conv_text(code: QuantizedConvCode) -> str:
    """`<entry>_span(x, w, bias, factor, [z,] y, b_first, b_end, t_first, t_end)`.

    It computes the tiles [t_first, t_end), counted row by row, of the blocks of channels [b_first, b_end), of which
    `b_first` is a multiple of `blocks`.
    """
    tiles = code.tiles
    shapes = list(dict.fromkeys(tile.taps for tile in tiles))
    widths = block_widths(code)
    functions = [
        _tile_text(code, f"{code.entry}_tile{number}x{blocks}", shape, blocks)
        for blocks in widths
        for number, shape in enumerate(shapes)
    ]
    rows = [_row(code, tile, shapes.index(tile.taps), widths) for tile in tiles]
    return "".join([code.products.prologue, _pads_text(code), *functions, _span_text(code, rows, widths)])


def pack_conv(weights: Sequence[Array], code: QuantizedConvCode) -> FloatArray:
    """Weights (out, in, kh, kw) as [tile of blocks][block of inputs][kh][quad of the block][kw][blocks][lanes][quad],
    then for whole blocks the int32 bias, less what the zero point adds to every sum, and the factor.
    """
    values = np.asarray(weights[0], dtype=np.int8)
    lanes, outputs, (rows, columns) = code.lanes, code.out_blocks * code.lanes, values.shape[2:]
    whole = np.zeros((outputs, code.quads * QUAD, rows, columns), dtype=np.int8)
    whole[: code.outputs, : code.channels] = values
    parts: list[Bytes] = []
    for first in range(0, code.out_blocks, code.blocks):
        blocks = min(code.blocks, code.out_blocks - first)
        tile = whole[first * lanes : (first + blocks) * lanes]
        if code.is_grouped:
            parts.append(_packed_group(tile.reshape(blocks, lanes, -1, QUAD).transpose(2, 0, 1, 3), code))
            continue
        for start in range(0, whole.shape[1], code.source.lanes):
            part = tile[:, start : start + code.source.lanes].reshape(blocks, lanes, -1, QUAD, rows, columns)
            parts.append(code.products.packed(part.transpose(4, 2, 5, 0, 1, 3)).reshape(-1))
    tail = starts_and_factors(weights, outputs, code.zero + code.products.offset)
    return np.concatenate([*(part.view(np.float32) for part in parts), *tail])


def _packed_group(tile: Bytes, code: QuantizedConvCode) -> Bytes:
    """A tile's weights (quads, blocks, lanes, quad), then its flags, in as many bytes as its blocks have."""
    packed = np.zeros(tile.shape[1] * code.block_weights, dtype=np.int8)
    content = np.concatenate([packed_quads(tile), flags_of(tile)])
    packed[: len(content)] = content
    return packed


def starts_and_factors(weights: Sequence[Array], size: int, zero: int) -> tuple[FloatArray, FloatArray]:
    """For `size` channels, whole blocks of them, what sums begin with, int32 numbers as they are in memory, and
    factors. `zero`: which input stands for 0 where it is multiplied.
    """
    outputs = weights[0].shape[0]
    starts, factors = np.zeros(size, dtype=np.int32), np.zeros(size, dtype=np.float32)
    sums = np.asarray(weights[0], dtype=np.int64).reshape(outputs, -1).sum(axis=1)
    whole = np.asarray(weights[1], dtype=np.int64) - zero * sums
    starts[:outputs] = whole.astype(np.int32)  # of sums that fit int32, whatever their parts do
    factors[:outputs] = weights[2]
    return starts.view(np.float32), factors


def _row(code: QuantizedConvCode, tile: Tile, shape: int, widths: Sequence[int]) -> str:
    first = (tile.first * code.windows.columns.stride - code.windows.columns.pad) * code.source.pixel
    functions = (f"{code.entry}_tile{shape}x{blocks}" for blocks in widths)
    return "{" + ", ".join([str(first), str(tile.first * code.result.pixel), *functions]) + "}"


def _pads_text(code: QuantizedConvCode) -> str:
    """What windows read beside the picture."""
    if code.skips_pads or not (code.windows.rows.is_clipped or code.windows.columns.is_clipped):
        return ""
    end = code.reach - 1
    return f"static const uint8_t {code.entry}_pads[{end + 1}] = {{[0 ... {end}] = {code.zero & 255}}};\n"


def _grouped_text(code: QuantizedConvCode, pixels: int, blocks: int) -> str:
    """The sums by assembly."""
    shape = code.grouped_shape(pixels, blocks)
    names = [f"a{p}_{b} = sums[{p * blocks + b}]" for p in range(pixels) for b in range(blocks)]
    return fill(
        """
        sum$lanes sums[$count], *const to = sums;
        const int8_t *flags = w + $flags;
        long steps = $steps;
        __asm__ volatile(
            $instructions
            : [x] "+r"(x), [w] "+r"(w), [flags] "+r"(flags), [steps] "+r"(steps)
            : [step] "r"(${step}l), [bias] "r"(bias), [sums] "r"(to)
            : $clobbers);
        const sum$lanes $names;
        """,
        lanes=code.lanes,
        count=pixels * blocks,
        flags=code.quads * shape.weight_bytes,
        steps=code.quads,
        instructions="\n                ".join(f'"{line}\\n"' for line in grouped_assembly(shape)),
        step=code.source.block,
        clobbers=", ".join(f'"{name}"' for name in clobbers(shape)),
        names=", ".join(names),
    ).strip()


def _tile_text(code: QuantizedConvCode, name: str, shape: Sequence[tuple[int, int]], blocks: int) -> str:
    sums = _grouped_text(code, len(shape), blocks) if code.is_grouped else _sums_text(code, shape, blocks)
    return fill(
        """
        static void $name(const uint8_t *restrict x, int iy, const int8_t *restrict w, const int32_t *restrict bias,
                          const float *restrict factor, $further $result *restrict y)
        {
            (void)iy;
            (void)factor;
            $sums
            $results
        }
        """,
        name=name,
        further=_parameter(code, "restrict z,"),
        result=c_type(code.dtype),
        sums=sums,
        results="\n    ".join(_results(code, len(shape), blocks)),
    )


def _sums_text(code: QuantizedConvCode, shape: Sequence[tuple[int, int]], blocks: int) -> str:
    """The sums by C."""
    parts = []
    whole_quads = code.source.lanes // QUAD
    if code.last_quads == whole_quads:
        parts.append(_input_block_text(code, shape, blocks, whole_quads, code.input_blocks))
    else:
        if code.input_blocks > 1:
            parts.append(_input_block_text(code, shape, blocks, whole_quads, code.input_blocks - 1))
        parts.append(_input_block_text(code, shape, blocks, code.last_quads, 1))
    lanes = code.lanes
    starts = [f"const sum{lanes} s{b} = *(const sum{lanes} *)(bias + {b * lanes});" for b in range(blocks)]
    sums = ", ".join(f"a{p}_{b} = s{b}" for p in range(len(shape)) for b in range(blocks))
    return "\n    ".join([*starts, f"sum{lanes} {sums};", *parts])


def _results(code: QuantizedConvCode, pixels: int, blocks: int) -> list[str]:
    lanes, lines = code.lanes, []
    for b in range(blocks):
        if code.dtype != "int32":
            lines.append(f"const real{lanes} f{b} = *(const real{lanes} *)(factor + {b * lanes});")
        for p in range(pixels):
            place = f"{b * code.result.block + p * code.result.pixel}"
            ended = code.epilogue, code.dtype, code.further
            lines.append(finished(lanes, Total(f"a{p}_{b}", f"f{b}", code.is_large), place, *ended))
    return lines


def _input_block_text(
    code: QuantizedConvCode, shape: Sequence[tuple[int, int]], blocks: int, quads: int, count: int
) -> str:
    """The loops over `count` blocks of input channels of which `quads` quads are read."""
    columns, rows, tag = code.windows.columns, code.windows.rows, code.products.tag
    weight = QUAD * code.lanes  # bytes of a quad of one block of outputs
    step = columns.taps * blocks * weight
    taps = []
    for kx in range(columns.taps):
        read = [p for p, (first, end) in enumerate(shape) if first <= kx < end or not code.skips_pads]
        if not read:
            continue
        loads = " ".join(
            f"const w_{tag} w{b} = weights_{tag}(k + {(kx * blocks + b) * weight});" for b in range(blocks)
        )
        places: dict[int, int | None] = {}
        for p in read:
            first, end = shape[p]
            place = (p * columns.stride + kx * columns.dilation) * code.source.pixel
            places[p] = place if first <= kx < end else None
        lines = code.products.updates(places, f"{code.entry}_pads", blocks)
        taps.append("{ " + "\n                    ".join([loads, *lines]) + " }")
    row = f"x + ky * {rows.dilation * code.source.row}"
    inside = f"(unsigned)(iy + ky * {rows.dilation}) < {rows.inputs}u"
    skip = ""
    if rows.is_clipped and code.skips_pads:
        skip = f"if (!({inside}))\n                    continue;"
    elif rows.is_clipped:
        row = f"{inside} ? {row} : {code.entry}_pads"
    return fill(
        """
        for (int i = 0; i < $count; ++i, x += $block, w += $weights)
            for (int ky = 0; ky < $taps; ++ky) {
                $skip
                const uint8_t *restrict row = $row;
                const int8_t *restrict k = w + ky * $row_weights;
                for (int q = 0; q < $quads; ++q, row += $quad, k += $step) {
                    $body
                }
            }
        """,
        count=count,
        block=code.source.block,
        weights=rows.taps * quads * step,
        taps=rows.taps,
        skip=skip,
        row=row,
        row_weights=quads * step,
        quads=quads,
        quad=QUAD,
        step=step,
        body=f"\n            {BARRIER}\n            ".join(taps),
    ).strip()


def c_type(dtype: str) -> str:
    """The C type of an element."""
    return "float" if dtype == "float32" else f"{dtype}_t"


def _parameter(code: QuantizedConvCode, name: str) -> str:
    """A C parameter for what the epilogue reads, where there is any."""
    return f"const {c_type(code.further)} *{name}" if code.further in VECTORS and code.further else ""


def _span_text(code: QuantizedConvCode, tiles: Sequence[str], widths: Sequence[int]) -> str:
    rows = code.windows.rows
    outer, inner = tile_walks(code)
    return fill(
        """
        typedef void ${entry}_compute(const uint8_t *restrict, int, const int8_t *restrict, const int32_t *restrict,
                                      const float *restrict, $further_type $result *restrict);

        static void ${entry}_span(const uint8_t *x, const int8_t *w, const int32_t *bias, const float *factor,
                                  $further $result *y, int b_first, int b_end, int t_first, int t_end)
        {
            static const struct {
                int in, out;
                ${entry}_compute $members;
            } tiles[$count] = {$tiles};
            $outer
                $inner {
                    const int oy = t / $count, iy = oy * $stride - $pad;
                    const int place = b * $result_block + oy * $result_row;
                    __typeof__(&tiles[0]) tile = &tiles[t % $count];
                    $compute(x + iy * $source_row + tile->in, iy, w + b * $block_weights, bias + b * $lanes,
                             factor + b * $lanes, $argument y + place + tile->out);
                }
        }
        """,
        entry=code.entry,
        further_type=_parameter(code, "restrict,"),
        further=_parameter(code, "z,"),
        result=c_type(code.dtype),
        members=", ".join(f"*blocks{i}" for i, _ in enumerate(widths)),
        count=len(tiles),
        tiles=", ".join(tiles),
        outer=outer,
        inner=inner,
        stride=rows.stride,
        pad=rows.pad,
        result_block=code.result.block,
        result_row=code.result.row,
        source_row=code.source.row,
        block_weights=code.block_weights,
        lanes=code.lanes,
        argument="z + place + tile->out," if code.further else "",
        compute=tile_function(code, widths),
    )
