"""C text of a convolution of integers of 8 bits whose inputs are packed, some rows at a time, as 16-bit elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from codegen.engines.cpu.blocked.geometry import Tile, row_tiles
from codegen.engines.cpu.int8.conv_source import c_type, starts_and_factors
from codegen.engines.cpu.int8.epilogue import Total, finished
from codegen.engines.cpu.int8.packed_tile import (
    MOST_PIXELS,
    PAIR,
    STEP_BYTES,
    PackedShape,
    clobbers,
    packed_assembly,
    packed_weights,
)
from codegen.engines.cpu.int8.products import QUAD
from codegen.engines.cpu.int8.vectors import types_text
from codegen.engines.cpu.source import fill, round_up
from codegen.expression import Expression
from codegen.tensor import Array, FloatArray
from codegen.windows import Windows

LINE_BYTES = 64
ELEMENT_BYTES = 2


@dataclass(frozen=True)
class PackedCode:
    """What the text depends on. `spread` and steps: see `packed_tile`; `rows` of outputs have their inputs packed at a
    time; `offset` is added to inputs.
    """

    entry: str
    channels: int
    outputs: int
    windows: Windows
    spread: int
    rows: int
    epilogue: Expression
    zero: int
    offset: int
    dtype: str
    further: str | None = None
    is_large: bool = False

    @property
    def out_blocks(self) -> int:
        return -(-self.outputs // QUAD)

    @property
    def planes(self) -> int:
        """Planes that are packed: quads of channels, or channels."""
        return -(-self.channels // self.spread)

    @cached_property
    def phases(self) -> tuple[int, ...]:
        """Columns modulo the stride that taps read; those of each lie together."""
        columns = self.windows.columns
        return tuple(dict.fromkeys(kx * columns.dilation % columns.stride for kx in range(columns.taps)))

    @cached_property
    def groups(self) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
        """Of a row of the window what a step takes: phase, first column of it, taps by elements."""
        columns = self.windows.columns
        if self.spread == QUAD:
            places = (kx * columns.dilation for kx in range(columns.taps))
            return tuple(
                (self.phases.index(place % columns.stride), place // columns.stride, (kx,))
                for kx, place in enumerate(places)
            )
        found = []
        for number, phase in enumerate(self.phases):
            taps = range(phase, columns.taps, columns.stride)
            found += [(number, i, tuple(taps[i : i + QUAD])) for i in range(0, len(taps), QUAD)]
        return tuple(found)

    @property
    def steps(self) -> int:
        return self.planes * self.windows.rows.taps * len(self.groups)

    @property
    def phase_columns(self) -> int:
        """Of a packed row and phase, with what the last tile reads beyond."""
        beyond = 0 if self.spread == QUAD else 2 * QUAD
        last = max(column for _, column, _ in self.groups)
        return round_up(self.windows.columns.outputs + last + beyond, QUAD)

    @property
    def row_elements(self) -> int:
        """Of a packed row of a plane."""
        return len(self.phases) * self.phase_columns * self.spread

    @property
    def packed_rows(self) -> int:
        """Rows of inputs of `rows` of outputs."""
        rows = self.windows.rows
        return (self.rows - 1) * rows.stride + (rows.taps - 1) * rows.dilation + 1

    @property
    def workspace_bytes(self) -> int:
        """Of one thread."""
        return round_up(self.planes * self.packed_rows * self.row_elements * ELEMENT_BYTES, LINE_BYTES)

    @property
    def tile_bytes(self) -> int:
        """Of the weights of two blocks of output channels, with their flags."""
        return self.steps * STEP_BYTES + round_up(self.steps + 1, LINE_BYTES)

    @property
    def weights_bytes(self) -> int:
        return -(-self.out_blocks // PAIR) * self.tile_bytes

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """Of a row of outputs."""
        return row_tiles(self.windows.columns, MOST_PIXELS)

    @property
    def widths(self) -> tuple[int, ...]:
        """Blocks of output channels of the register tiles."""
        return tuple(sorted({min(PAIR, self.out_blocks), self.out_blocks % PAIR} - {0}, reverse=True))

    @property
    def deltas(self) -> list[int]:
        """Bytes from the elements of each step to those of the next; behind the last it stays."""
        rows = self.windows.rows
        places = [
            (ky * rows.dilation * self.planes + plane) * self.row_elements
            + (phase * self.phase_columns + column) * self.spread
            for plane in range(self.planes)
            for ky in range(rows.taps)
            for phase, column, _ in self.groups
        ]
        return [ELEMENT_BYTES * (after - before) for before, after in pairwise(places)] + [0, 0]


def pack_steps(weights: Sequence[Array], code: PackedCode) -> FloatArray:
    """Weights (out, in, kh, kw) as `packed_tile` takes them, for pairs of blocks, then what sums begin with and factors
    of whole blocks.
    """
    values = np.asarray(weights[0], dtype=np.int8)
    size = code.out_blocks * QUAD
    padded = np.zeros((size, code.planes * code.spread, *values.shape[2:]), dtype=np.int8)
    padded[: code.outputs, : code.channels] = values
    by_step = np.zeros((size, code.planes, values.shape[2], len(code.groups), QUAD), dtype=np.int8)
    planes = padded.reshape(size, code.planes, code.spread, *values.shape[2:])
    for group, (_, _, taps) in enumerate(code.groups):
        found = planes[..., taps] if code.spread == 1 else planes
        elements = found[:, :, 0] if code.spread == 1 else np.moveaxis(found[..., taps[0]], 2, -1)
        by_step[..., group, : elements.shape[-1]] = elements
    steps = by_step.reshape(code.out_blocks, QUAD, code.steps, QUAD).transpose(2, 0, 1, 3)
    parts = []
    for first in range(0, code.out_blocks, PAIR):
        part = np.zeros(code.tile_bytes, dtype=np.int8)
        content = packed_weights(steps[:, first : first + PAIR])
        part[: len(content)] = content
        parts.append(part.view(np.float32))
    return np.concatenate([*parts, *starts_and_factors(weights, size, code.zero + code.offset)])


def packed_text(code: PackedCode) -> str:
    """`<entry>_span(x, w, bias, factor, [z,] y, work, r_first, r_end)`: of the rows [r_first, r_end) of a picture."""
    widths = sorted({tile.pixels for tile in code.tiles})
    tiles = [_tile_text(code, pixels, blocks) for blocks in code.widths for pixels in widths]
    deltas = ", ".join(map(str, code.deltas))
    table = f"static const int32_t {code.entry}_deltas[] = {{{deltas}}};\n"
    return types_text(QUAD) + "".join([table, _pack_text(code), *tiles, _span_text(code)])


def _pack_text(code: PackedCode) -> str:
    """Inputs of some rows of outputs, from row `top` of the picture on."""
    rows, columns = code.windows.rows, code.windows.columns
    lines = []
    for number, phase in enumerate(code.phases):
        first = min(code.phase_columns, max(0, -(-(columns.pad - phase) // columns.stride)))
        end = min(code.phase_columns, -(-(columns.inputs + columns.pad - phase) // columns.stride))
        to = f"to + {number * code.phase_columns * code.spread}"
        source = f"from + (c * {columns.stride} + {phase - columns.pad}) * {QUAD}"
        lines += [
            f"for (int c = 0; c < {first}; ++c)",
            f"    {_element(code, to)} = zero;",
            f"for (int c = {first}; c < {end}; ++c)",
            f"    {_element(code, to)} = {_loaded(code, source)} + {code.offset};",
        ]
        lines += [
            f"for (int c = {max(end, first)}; c < {code.phase_columns}; ++c)",
            f"    {_element(code, to)} = zero;",
        ]
    origin = "p" if code.spread == QUAD else f"p / {QUAD}"
    return fill(
        """
        typedef int16_t ${entry}_half __attribute__((vector_size(8), aligned(2), may_alias));

        static void ${entry}_pack(const uint8_t *restrict x, int16_t *restrict to, int top, int rows)
        {
            const $kind zero = ($kind){0} + ($zero);
            for (int r = 0; r < rows; ++r)
                for (int p = 0; p < $planes; ++p, to += $elements) {
                    const int y = top + r;
                    const uint8_t *const from = x + ($origin * $height + y) * $row$lane;
                    if (y < 0 || y >= $height) {
                        for (int c = 0; c < $columns; ++c)
                            $each = zero;
                        continue;
                    }
                    $lines
                }
        }
        """,
        entry=code.entry,
        kind=f"{code.entry}_half" if code.spread == QUAD else "int16_t",
        zero=code.zero + code.offset,
        planes=code.planes,
        elements=code.row_elements,
        origin=origin,
        height=rows.inputs,
        row=columns.inputs * QUAD,
        lane="" if code.spread == QUAD else f" + p % {QUAD}",
        columns=len(code.phases) * code.phase_columns,
        each=_element(code, "to"),
        lines="\n            ".join(lines),
    )


def _element(code: PackedCode, to: str) -> str:
    """Column `c` of a packed row."""
    return f"*({code.entry}_half *)({to} + c * {QUAD})" if code.spread == QUAD else f"({to})[c]"


def _loaded(code: PackedCode, source: str) -> str:
    """Elements of the picture, widened."""
    if code.spread == 1:
        return f"*({'const uint8_t' if code.offset else 'const int8_t'} *)({source})"
    vector = "byte4" if code.offset else "tiny4"
    return f"__builtin_convertvector(*(const {vector} *)({source}), {code.entry}_half)"


def _tile_text(code: PackedCode, pixels: int, blocks: int) -> str:
    shape, lines = PackedShape(pixels, blocks, code.spread), []
    columns = code.windows.columns.outputs
    block = code.windows.rows.outputs * columns * QUAD
    for b in range(blocks):
        if code.dtype != "int32":
            lines.append(f"const real4 f{b} = *(const real4 *)(factor + {b * QUAD});")
        for p in range(pixels):
            ended = code.epilogue, code.dtype, code.further
            total = Total(f"sums[{p * blocks + b}]", f"f{b}", code.is_large)
            lines.append(finished(QUAD, total, f"{b * block + p * QUAD}", *ended))
    return fill(
        """
        static void ${entry}_tile${pixels}x$blocks(const int16_t *restrict x, const int8_t *restrict w,
                                                   const int32_t *restrict bias, const float *restrict factor,
                                                   $further $result *restrict y)
        {
            sum4 sums[$count];
            (void)factor;
        #if defined(__aarch64__)
            const int8_t *flags = w + $flags;
            const int32_t *deltas = ${entry}_deltas + 1;
            const int16_t *ahead = x + ${entry}_deltas[0] / 2;
            long steps = $steps;
            __asm__ volatile(
                $instructions
                : [x] "+r"(x), [w] "+r"(w), [flags] "+r"(flags), [steps] "+r"(steps), [deltas] "+r"(deltas),
                  [ahead] "+r"(ahead)
                : [bias] "r"(bias), [sums] "r"(&sums[0])
                : $clobbers);
        #else
            for (int i = 0; i < $count; ++i)
                sums[i] = *(const sum4 *)(bias + i % $blocks * $quad);
            for (int s = 0; s < $steps; x += ${entry}_deltas[s++] / 2, w += $step_bytes)
                for (int e = 0; e < $quad; ++e)
                    for (int i = 0; i < $count; ++i)
                        for (int l = 0; l < $quad; ++l)
                            sums[i][l] += x[i / $blocks * $spread + e] *
                                          ((const int16_t *)w)[e * $pair_lanes + i % $blocks * $quad + l];
        #endif
            $lines
        }
        """,
        entry=code.entry,
        pixels=pixels,
        blocks=blocks,
        further=f"const {c_type(code.further)} *restrict z," if code.further else "",
        result=c_type(code.dtype),
        count=pixels * blocks,
        flags=code.steps * STEP_BYTES,
        steps=code.steps,
        quad=QUAD,
        step_bytes=STEP_BYTES,
        spread=code.spread,
        pair_lanes=PAIR * QUAD,
        instructions="\n                ".join(f'"{line}\\n"' for line in packed_assembly(shape)),
        clobbers=", ".join(f'"{name}"' for name in clobbers(shape)),
        lines="\n            ".join(lines),
    )


def _span_text(code: PackedCode) -> str:
    rows, columns = code.windows.rows, code.windows.columns
    names = [[f"{code.entry}_tile{tile.pixels}x{blocks}" for blocks in code.widths] for tile in code.tiles]
    tiles = ", ".join(
        f"{{{tile.first}, {', '.join(functions)}}}" for tile, functions in zip(code.tiles, names, strict=True)
    )
    members = ", ".join(f"*blocks{blocks}" for blocks in code.widths)
    one = f"tile->blocks{code.widths[0]}"
    if len(code.widths) > 1:
        one = f"(b + {PAIR} > {code.out_blocks} ? tile->blocks1 : tile->blocks{PAIR})"
    return fill(
        """
        typedef void ${entry}_compute(const int16_t *restrict, const int8_t *restrict, const int32_t *restrict,
                                      const float *restrict, $further_type $result *restrict);

        static void ${entry}_span(const uint8_t *x, const int8_t *w, const int32_t *bias, const float *factor,
                                  $further $result *y, int16_t *work, int r_first, int r_end)
        {
            static const struct {
                int first;
                ${entry}_compute $members;
            } tiles[$count] = {$tiles};
            for (int r = r_first; r < r_end; r += $rows) {
                const int end = r + $rows < r_end ? r + $rows : r_end;
                ${entry}_pack(x, work, r * $stride - $pad, (end - r - 1) * $stride + $reach);
                for (int b = 0; b < $out_blocks; b += $pair)
                    for (int i = r; i < end; ++i)
                        for (__typeof__(&tiles[0]) tile = tiles; tile < tiles + $count; ++tile) {
                            const int place = (b * $height + i) * $row + tile->first * $quad;
                            $one(work + (i - r) * $step + tile->first * $spread, w + b / $pair * $tile_bytes,
                                 bias + b * $quad, factor + b * $quad, $argument y + place);
                        }
            }
        }
        """,
        entry=code.entry,
        further_type=f"const {c_type(code.further)} *restrict," if code.further else "",
        further=f"const {c_type(code.further)} *z," if code.further else "",
        argument="z + place," if code.further else "",
        result=c_type(code.dtype),
        members=members,
        count=len(code.tiles),
        tiles=tiles,
        rows=code.rows,
        stride=rows.stride,
        pad=rows.pad,
        reach=(rows.taps - 1) * rows.dilation + 1,
        out_blocks=code.out_blocks,
        pair=PAIR,
        height=rows.outputs,
        row=columns.outputs * QUAD,
        quad=QUAD,
        one=one,
        step=rows.stride * code.planes * code.row_elements,
        spread=code.spread,
        tile_bytes=code.tile_bytes,
    )
