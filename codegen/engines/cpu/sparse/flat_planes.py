"""Planes of input channels between zeros, in which the taps of all outputs of a band lie at the same distances."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill, round_up
from codegen.windows import Window, Windows, window_extent

LANES = 16  # pixels of a vector
LINE = 16  # elements of a cache line


@dataclass(frozen=True)
class FlatPlanes:
    """Of every input channel what `band` rows of outputs read: [phases of the rows][phases of the columns][lines].

    A line has `pitch` elements, and as many outputs are computed of a row: what is behind the last one belongs to no
    output. Lines go on without a gap, so that a vector of outputs may begin anywhere.
    """

    windows: Windows
    channels: int
    band: int

    @property
    def pitch(self) -> int:
        """With a stride of one the zeros behind a row are those before the next."""
        columns = self.windows.columns
        reach = columns.outputs + (window_extent(columns.taps, columns.dilation) - 1) // columns.stride
        if columns.stride > 1:
            return reach
        return max(columns.outputs, reach - min(columns.pad, reach - columns.inputs - columns.pad))

    @property
    def row_phases(self) -> tuple[int, ...]:
        return _phases(self.windows.rows)

    @property
    def column_phases(self) -> tuple[int, ...]:
        return _phases(self.windows.columns)

    @property
    def lines(self) -> int:
        """Of a phase."""
        rows = self.windows.rows
        return self.band + (window_extent(rows.taps, rows.dilation) - 1) // rows.stride

    @property
    def phase_elements(self) -> int:
        """With what the vector behind the last output's reads."""
        return self.lines * self.pitch + LANES + self.pitch

    @property
    def channel_elements(self) -> int:
        """An odd number of cache lines, so that channels do not meet in the same places of a cache."""
        whole = round_up(len(self.row_phases) * len(self.column_phases) * self.phase_elements, LINE)
        return whole if whole // LINE % 2 else whole + LINE

    @property
    def vectors(self) -> int:
        return -(-self.band * self.pitch // LANES)

    @property
    def elements(self) -> int:
        return self.channels * self.channel_elements

    @property
    def places(self) -> list[int]:
        """Bytes from an output's place to what each channel and tap has for it."""
        rows, columns = self.windows.rows, self.windows.columns
        found = []
        for channel in range(self.channels):
            for y in range(0, rows.taps * rows.dilation, rows.dilation):
                for x in range(0, columns.taps * columns.dilation, columns.dilation):
                    place = self._phase(y % rows.stride, x % columns.stride)
                    place += y // rows.stride * self.pitch + x // columns.stride
                    found.append(FLOAT_BYTES * (channel * self.channel_elements + place))
        return found

    def _phase(self, row: int, column: int) -> int:
        number = self.row_phases.index(row) * len(self.column_phases) + self.column_phases.index(column)
        return number * self.phase_elements

    @property
    def spots(self) -> list[tuple[int, int]]:
        """Of each vector its first output, and bits of what are outputs."""
        found = []
        for vector in range(self.vectors):
            spots = [divmod(vector * LANES + lane, self.pitch) for lane in range(LANES)]
            width = self.windows.columns.outputs
            bits = sum(1 << lane for lane, (_, column) in enumerate(spots) if column < width)
            row, column = spots[0]
            found.append((row * width + min(column, width), bits))
        return found

    @property
    def cleared(self) -> str:
        """The statement before the first band."""
        return f"memset(tile, 0, sizeof(float) * {self.elements}); /* what is beside rows, which stays */"

    def text(self, entry: str) -> str:
        """`<entry>_planes(x, top, rows, planes)`: what the rows of outputs [top, top + rows) read of planes x, beside
        whose rows `planes` has zeros; and `<entry>_spots`, of each vector its first output, and bits: what are outputs.
        """
        rows, columns = self.windows.rows, self.windows.columns
        copies = []
        for row in self.row_phases:
            moved = []
            for column in self.column_phases:
                first = -(-max(0, columns.pad - column) // columns.stride)
                end = min(-(-(columns.inputs + columns.pad - column) // columns.stride), self.pitch)
                place, source = self._phase(row, column), f"{columns.stride} * c + {column - columns.pad}"
                target = f"to[{place} + line * {self.pitch} + c]"
                moved.append(f"for (int c = {first}; c < {end}; ++c) {target} = row[{source}];")
            sizes = {"stride": rows.stride, "height": rows.inputs, "width": columns.inputs}
            copies.append(fill(_LINES, row=row, moved="\n                ".join(moved), **sizes))
        return fill(
            _PLANES,
            entry=entry,
            channels=self.channels,
            spots=", ".join(f"{{{first}, {bits:#x}}}" for first, bits in self.spots),
            input=rows.inputs * columns.inputs,
            size=self.channel_elements,
            lines=self.lines,
            band=self.band,
            width=columns.inputs,
            stride=rows.stride,
            pad=rows.pad,
            copies="".join(copies),
        )


def _phases(window: Window) -> tuple[int, ...]:
    """Of inputs, those that taps read."""
    return tuple(sorted({tap * window.dilation % window.stride for tap in range(window.taps)}))


_LINES = """
            for (int line = 0; line < lines; ++line) {
                const int iy = first + line * $stride + $row, inside = iy >= 0 && iy < $height;
                const float *row = inside ? x + iy * $width : nothing;
                $moved
            }
"""

_PLANES = """
    static const float ${entry}_nothing[$width];
    static const struct {
        int first;
        unsigned bits;
    } ${entry}_spots[] = {$spots};

    static void ${entry}_planes(const float *restrict x, int top, int rows, float *restrict planes)
    {
        const float *nothing = ${entry}_nothing;
        const int lines = $lines - $band + rows, first = top * $stride - $pad;
        for (int k = 0; k < $channels; ++k, x += $input) {
            float *restrict to = planes + (size_t)k * $size;
            $copies
        }
    }
"""
