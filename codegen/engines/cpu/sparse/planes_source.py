"""Planes of input channels, of rows with their padding, that all taps of windows read; and C text that fills them."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill, round_up
from codegen.windows import Windows, window_extent

CHANNELS = 4  # of a block of the input's layout
LANES = 4  # pixels of a vector, whose halves may be of two rows


@dataclass(frozen=True)
class Planes:
    """Of `channels` input channels what `band` rows of outputs read.

    Of windows a plane has [rows of inputs][phases of the stride][`pitch` columns], each row with its padding. Of a
    pointwise layer four pixels of all channels are neighbours: [vectors of pixels][channels][4].
    """

    windows: Windows
    band: int
    channels: int

    @property
    def is_pointwise(self) -> bool:
        return self.windows.is_pointwise

    @property
    def taps(self) -> int:
        return self.windows.rows.taps * self.windows.columns.taps

    @property
    def width(self) -> int:
        """Columns of outputs that are computed: an even number, or whole vectors that end with a row."""
        columns = self.windows.columns.outputs
        return columns if columns % 2 == 0 else round_up(columns, LANES)

    @property
    def row_vectors(self) -> int:
        """Of a row that ends with a vector; 0: vectors go on in the next row."""
        if self.is_pointwise or self.windows.columns.outputs % 2 == 0:
            return 0
        return self.width // LANES

    @property
    def pitch(self) -> int:
        columns = self.windows.columns
        behind = (window_extent(columns.taps, columns.dilation) - 1) // columns.stride
        return round_up(self.width + behind, 2)

    @property
    def line(self) -> int:
        """Elements of a row of inputs."""
        return self.windows.columns.stride * self.pitch

    @property
    def lines(self) -> int:
        rows = self.windows.rows
        return (self.band - 1) * rows.stride + window_extent(rows.taps, rows.dilation)

    @property
    def channel_elements(self) -> int:
        if self.is_pointwise:
            return LANES * self.vector_count(self.band)
        return self.lines * self.line

    @property
    def elements(self) -> int:
        return self.channels * self.channel_elements

    @property
    def places(self) -> tuple[int, ...]:
        """Bytes from a pixel's place to what each channel and tap of a block has for it."""
        if self.is_pointwise:
            return tuple(LANES * FLOAT_BYTES * channel for channel in range(self.channels))
        rows, columns = self.windows.rows, self.windows.columns
        found = []
        for channel in range(self.channels):
            for tap in range(self.taps):
                y, x = tap // columns.taps * rows.dilation, tap % columns.taps * columns.dilation
                place = y * self.line + x % columns.stride * self.pitch + x // columns.stride
                found.append(FLOAT_BYTES * (channel * self.channel_elements + place))
        return tuple(found)

    def vector_count(self, rows: int) -> int:
        columns = self.windows.columns.outputs if self.is_pointwise else self.width
        return -(-rows * columns // LANES)

    def vectors(self, rows: str) -> str:
        """The C expression of `vector_count`."""
        columns = self.windows.columns.outputs if self.is_pointwise else self.width
        return f"({rows} * {columns} + 3) / 4"

    def halves(self, rows: str) -> str:
        """The C expression of how many pairs of pixels there are."""
        return f"2 * ({self.vectors(rows)})" if self.is_pointwise else f"{rows} * {self.width // 2}"

    def half(self, number: str) -> str:
        """The C expression of where a pair of pixels lies, elements from the first."""
        if self.is_pointwise:
            return f"({number}) / 2 * {self.channels * LANES} + ({number}) % 2 * 2"
        pairs, step = self.width // 2, self.windows.rows.stride * self.line
        return f"({number}) / {pairs} * {step} + ({number}) % {pairs} * 2"

    def pixel(self, vector: str) -> str:
        """The C expression of the output that a vector begins with."""
        if not self.row_vectors:
            return f"4 * {vector}"
        return f"{vector} / {self.row_vectors} * {self.windows.columns.outputs} + {vector} % {self.row_vectors} * 4"

    def valid(self, vector: str, rows: str) -> str:
        """The C expression of how many outputs a vector has that is not wholly of outputs."""
        columns = self.windows.columns.outputs
        if not self.row_vectors:
            return f"{rows} * {columns} - 4 * {vector}"
        return f"{columns} - {vector} % {self.row_vectors} * 4 < 4 ? {columns} - {vector} % {self.row_vectors} * 4 : 4"


def planes_text(entry: str, planes: Planes, plane: int | None = None) -> str:
    """`<entry>_planes(x, first, count, top, rows, tile)`: of input channels [first, first + count) what the rows of
    outputs [top, top + rows) read; x in blocks of four channels of `plane` pixels, None: those of the layer.
    """
    rows, columns = planes.windows.rows, planes.windows.columns
    plane = rows.inputs * columns.inputs if plane is None else plane
    if planes.is_pointwise:
        return fill(
            _POINTWISE, entry=entry, width=columns.outputs, plane=plane, pitch=planes.channels * LANES
        )
    return fill(
        _WINDOWS,
        entry=entry,
        height=rows.inputs,
        width=columns.inputs,
        plane=plane,
        size=planes.channel_elements,
        line=planes.line,
        pitch=planes.pitch,
        stride=rows.stride,
        pad=rows.pad,
        reach=window_extent(rows.taps, rows.dilation),
        copied=_copied(planes),
    )


def _copied(planes: Planes) -> str:
    columns = planes.windows.columns
    if columns.stride == 1 and LANES <= columns.inputs <= planes.pitch - columns.pad:
        return fill(_VECTORS, width=columns.inputs, pad=columns.pad, size=planes.channel_elements)
    inside = min(columns.inputs, columns.stride * planes.pitch - columns.pad)
    return fill(
        _SCALARS,
        inside=inside,
        pad=columns.pad,
        stride=columns.stride,
        pitch=planes.pitch,
        size=planes.channel_elements,
    )


_POINTWISE = """
    static void ${entry}_planes(const float *restrict x, int first, int count, int top, int rows, float *restrict tile)
    {
        const int pixels = rows * $width;
        for (int k = 0; k < count; k += 4) {
            const float *from = x + ((size_t)((first + k) / 4) * $plane + top * $width) * 4;
            const float *fetch = k + 4 < count ? from + $plane * 4 : from;
            int p = 0;
    #if defined(__aarch64__)
            float *to = tile + k * 4;
            for (; p + 8 <= pixels; p += 8, to += 2 * $pitch, fetch += 32)
                __asm__ volatile(
                    "ld4 {v0.4s-v3.4s}, [%[from]], #64\\n"
                    "ldr xzr, [%[fetch]]\\n"
                    "ld4 {v4.4s-v7.4s}, [%[from]], #64\\n"
                    "ldr xzr, [%[fetch], #64]\\n"
                    "st1 {v0.4s-v3.4s}, [%[to]]\\n"
                    "st1 {v4.4s-v7.4s}, [%[next]]\\n"
                    : [from] "+r"(from)
                    : [fetch] "r"(fetch), [to] "r"(to), [next] "r"(to + $pitch)
                    : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "memory");
    #else
            (void)fetch;
    #endif
            for (; p < pixels; ++p, from += 4)
                for (int c = 0; c < 4; ++c)
                    tile[p / 4 * $pitch + (k + c) * 4 + p % 4] = from[c];
        }
    }
"""

_WINDOWS = """
    static void ${entry}_planes(const float *restrict x, int first, int count, int top, int rows, float *restrict tile)
    {
        const int begin = top * $stride - $pad, lines = (rows - 1) * $stride + $reach;
        for (int k = 0; k < count; k += 4) {
            for (int i = 0; i < lines; ++i) {
                const int row = begin + i;
                float *to = tile + k * $size + i * $line;
                if (row < 0 || row >= $height) {
                    for (int c = 0; c < 4; ++c)
                        memset(to + c * $size, 0, sizeof(float) * $line);
                    continue;
                }
                const float *from = x + ((size_t)((first + k) / 4) * $plane + row * $width) * 4;
                $copied
            }
        }
    }
"""

_VECTORS = """
                to += $pad;
    #if defined(__aarch64__)
                for (int p = 0; p < $width; p = p + 8 > $width && p + 4 < $width ? $width - 4 : p + 4)
                    __asm__ volatile(
                        "ld4 {v0.4s-v3.4s}, [%[from]]\\n"
                        "str q0, [%[to]]\\n"
                        "str q1, [%[second]]\\n"
                        "str q2, [%[third]]\\n"
                        "str q3, [%[fourth]]\\n"
                        :
                        : [from] "r"(from + p * 4), [to] "r"(to + p), [second] "r"(to + p + $size),
                          [third] "r"(to + p + 2 * $size), [fourth] "r"(to + p + 3 * $size)
                        : "v0", "v1", "v2", "v3", "memory");
    #else
                for (int p = 0; p < $width; ++p)
                    for (int c = 0; c < 4; ++c)
                        to[c * $size + p] = from[p * 4 + c];
    #endif
"""

_SCALARS = """
                for (int p = 0; p < $inside; ++p)
                    for (int c = 0; c < 4; ++c)
                        to[c * $size + (p + $pad) % $stride * $pitch + (p + $pad) / $stride] = from[p * 4 + c];
"""
