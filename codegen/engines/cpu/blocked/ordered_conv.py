"""Sums of a convolution's register tile by ordered products: over rows of the kernel, blocks of inputs and taps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codegen.engines.cpu.blocked.ordered import (
    Place,
    added,
    chained,
    neon_products,
    taken,
    vfp_products,
)
from codegen.engines.cpu.machine import FLOAT_BYTES, ORDERED_LANES
from codegen.engines.cpu.source import fill

if TYPE_CHECKING:
    from codegen.engines.cpu.blocked.conv_source import ConvCode

Taps = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class OrderedTile:
    """A tile of `code` of so many blocks; of each pixel the taps [first, end) of a row that lie inside."""

    code: ConvCode
    taps: Taps
    blocks: int

    @property
    def pixels(self) -> tuple[int, ...]:
        return tuple(range(len(self.taps)))

    def reading(self, kx: int) -> list[int]:
        """The pixels with this tap."""
        return [p for p, (first, end) in enumerate(self.taps) if first <= kx < end]

    def column(self, pixel: int, kx: int) -> int:
        """Pixels from the row's pointer to an input."""
        columns = self.code.windows.columns
        return pixel * columns.stride + kx * columns.dilation

    @property
    def steps(self) -> list[tuple[int, list[int]]]:
        """The taps that any pixel has, and which have them."""
        taps = range(self.code.windows.columns.taps)
        return [(kx, reading) for kx in taps if (reading := self.reading(kx))]

    def has_products(self, channels: int) -> bool:
        """Whether they are in assembly."""
        row_major = self.code.source.channel != 1
        return self.code.ordered == "vfp" or not row_major or _neon_columns(self, channels) is not None

    def products(self, channels: int, count: str) -> str:
        """The loops over `count` blocks of input channels of which `channels` are read."""
        if self.code.ordered == "vfp":
            return _rows(self, channels, count, _vfp_row(self, channels))
        if self.code.source.channel != 1:
            columns = _neon_columns(self, channels)
            assert columns is not None, "ask has_products first"
            return _rows(self, channels, count, columns)
        if self.code.windows.is_pointwise and channels == ORDERED_LANES:
            return _neon_pointwise(self, count)
        return _rows(self, channels, count, _neon_row(self, channels))


def _rows(tile: OrderedTile, channels: int, count: str, row: Sequence[str]) -> str:
    """Statements for a row of the kernel, `row` and `k` being where its inputs and weights begin, in their loops."""
    code, rows = tile.code, tile.code.windows.rows
    row_weights = code.windows.columns.taps * tile.blocks * ORDERED_LANES * channels
    text = """
        $blocks_loop
            $rows_loop {
                const float *row = x + $ky * $row_step, *k = w + $ky * $row_weights;
                $row
            }
        """
    rows_loop, ky = f"for (int ky = 0; ky < {rows.taps}; ++ky)", "ky"
    if rows.is_clipped:
        rows_loop = "for (int ky = ky_first; ky < ky_end; ++ky)"
    elif rows.taps == 1:
        rows_loop, ky = "", "0"
    moves = f"x += {code.source.block}, w += {rows.taps * row_weights}"
    return fill(
        text,
        blocks_loop=f"for (int i = 0; i < {count}; ++i, {moves})",
        rows_loop=rows_loop,
        ky=ky,
        row_step=rows.dilation * code.source.row,
        row_weights=row_weights,
        row="\n".join(row),
    ).strip()


def _vfp_row(tile: OrderedTile, channels: int) -> list[str]:
    """A row of the kernel for each channel; channels of a block are unrolled where there is one tap."""
    code = tile.code
    unrolled = channels if code.windows.columns.taps == 1 and code.source.channel == 1 else 1
    lines = [f"for (int c = 0; c < {channels}; c += {unrolled}, row += {unrolled * code.source.channel}) {{"]
    step = tile.blocks * ORDERED_LANES
    for c in range(unrolled):
        passed = 0
        for kx in range(code.windows.columns.taps):
            places = [Place(p, "row", tile.column(p, kx) * code.source.pixel + c) for p in tile.reading(kx)]
            if not places:
                passed += step
                continue
            if passed:
                lines.append(f"k += {passed};")
                passed = 0
            lines += ["{", *vfp_products(places, tile.blocks, "k"), "}"]
        if passed:
            lines.append(f"k += {passed};")
    return [*lines, "}"]


def _neon_pointwise(tile: OrderedTile, count: str) -> str:
    """One tap and whole blocks of inputs: pointers run on from block to block."""
    code = tile.code
    places = [(p, tile.column(p, 0) * code.source.pixel) for p in tile.pixels]
    reads = chained("x", places, code.source.block)
    body = "\n".join(neon_products(reads, tile.blocks, ORDERED_LANES, "w", 0, 0))
    return f"for (int i = 0; i < {count}; ++i) {{\n{body}\n}}"


def _neon_row(tile: OrderedTile, channels: int) -> list[str]:
    """A row of the kernel for a block of inputs: tap by tap, of each all channels."""
    code, step = tile.code, tile.blocks * ORDERED_LANES
    across = code.windows.columns.taps * step  # elements of weights from channel to channel
    places = [(p, tile.column(p, kx) * code.source.pixel) for kx, reading in tile.steps for p in reading]
    if not places:
        return ["(void)row; (void)k;"]
    reads = iter(chained("row", places, places[0][1]))
    lines = [f"row += {places[0][1]}; k += {tile.steps[0][0] * step};"]
    taps = [kx for kx, _ in tile.steps]
    for (kx, reading), following in zip(tile.steps, [*taps[1:], taps[0]], strict=True):
        then = (following - kx) * step - (channels - 1) * across - step
        products = neon_products(
            [next(reads) for _ in reading], tile.blocks, channels, "k", across - step, then
        )
        lines += ["{", *products, "}"]
    return lines


def _neon_columns(tile: OrderedTile, channels: int) -> list[str] | None:
    """A row of the kernel where neighbouring pixels lie beside each other: registers hold columns; None where a row has
    fewer than fill one.
    """
    code = tile.code
    columns = [tile.column(p, kx) for kx, reading in tile.steps for p in reading]
    if code.source.pixel != 1 or not columns or max(columns) - min(columns) + 1 < ORDERED_LANES:
        return None
    first, last = min(columns), max(columns) + 1 - ORDERED_LANES
    starts = [*range(first, last, ORDERED_LANES), last]
    step = tile.blocks * ORDERED_LANES
    reads = chained("from", list(enumerate(starts)), starts[-1])
    lines = [
        f"for (int c = 0; c < {channels}; ++c, row += {code.source.channel}) {{",
        f"const float *from = row + {first};",
        f"vec4 {', '.join(f'v{i}' for i in range(len(starts)))};",
        *(taken(f"v{read.pixel}", read.pointer, read.advance, is_input=True) for read in reads),
    ]
    passed = 0
    for kx in range(code.windows.columns.taps):
        reading = tile.reading(kx)
        if not reading:
            passed += step
            continue
        if passed:
            lines.append(f"k += {passed};")
            passed = 0
        for b in range(tile.blocks):
            lines.append(f"{{ vec4 u; {taken('u', 'k', ORDERED_LANES * FLOAT_BYTES)}")
            for p in reading:
                column = tile.column(p, kx)
                i = next(i for i in range(len(starts)) if starts[i] <= column < starts[i] + ORDERED_LANES)
                lines.append(added(f"a{p}_{b}", "u", f"v{i}", column - starts[i]))
            lines.append("}")
    if passed:
        lines.append(f"k += {passed};")
    return [*lines, "}"]
