"""C text of the register tiles of a convolution through a table of input offsets, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from codegen.engines.cpu.blocked.conv_source import ConvCode, results_text, starts_text
from codegen.engines.cpu.blocked.geometry import Tile, row_tiles
from codegen.engines.cpu.blocked.ordered import (
    REGISTER_BYTES,
    Place,
    Read,
    chained,
    either,
    neon_products,
    ordered_ends,
    ordered_starts,
    ordered_sums,
    vfp_products,
)
from codegen.engines.cpu.blocked.vectors import constant_vector
from codegen.engines.cpu.machine import FLOAT_BYTES, OrderedForm
from codegen.engines.cpu.partial_sums import Moves, Parts, moving
from codegen.engines.cpu.source import BARRIER, fill
from codegen.windows import Window

OUTSIDE = -1  # the offset of a tap beside the picture
UNROLLED = 4  # channels, where a block has a multiple of them


@dataclass(frozen=True)
class IndirectCode(ConvCode):
    """What the text depends on: as a direct convolution, but tiles run on over the ends of rows. `literals`: each tile
    has code of its own, with the offsets in its instructions and without the taps that lie outside.
    """

    literals: bool = False

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles of the whole picture."""
        return row_tiles(flattened_outputs(self.windows.rows, self.windows.columns), self.pixels)

    @property
    def tile_count(self) -> int:
        return len(self.tiles)

    @property
    def parts(self) -> Parts:
        """Of the loop over whole blocks of input channels of a tap."""
        lanes = self.source.lanes
        return Parts.of(self.channels // lanes, lanes, self.lanes)

    @property
    def taps_of_a_part(self) -> int:
        """Taps whose products are added before the sums begin anew; 0: not even those of one."""
        return 0 if self.parts.count > 1 else Parts.of(self.taps, self.channels, self.lanes).span

    @property
    def reads_zeros(self) -> bool:
        """Whether the table has taps outside the picture."""
        return self.windows.rows.is_clipped or self.windows.columns.is_clipped


def flattened_outputs(rows: Window, columns: Window) -> Window:
    """A plane's outputs as one row without neighbours."""
    count = rows.outputs * columns.outputs
    return Window(inputs=count, outputs=count, taps=1, stride=1, pad=0, dilation=1)


def input_offsets(code: ConvCode) -> list[list[int]]:
    """For each tap, of each output in order: where its input lies in a block of channels, in elements, or OUTSIDE."""
    rows, columns = _inputs(code.windows.rows), _inputs(code.windows.columns)
    return [
        [
            OUTSIDE if OUTSIDE in (iy, ix) else iy * code.source.row + ix * code.source.pixel
            for iy in down
            for ix in across
        ]
        for down in rows
        for across in columns
    ]


def table_tile(code: IndirectCode, name: str, pixels: int, blocks: int) -> str:
    """A function for every tile of so many pixels.

    Zeros are read from the same place for every block of inputs: their pointers stand still.
    """
    in_c = _table_sums(code, pixels, blocks)
    if code.ordered:
        in_c = either(code.ordered, _table_sums(code, pixels, blocks, code.ordered), in_c)
    return fill(
        """
        static void $name(const float *restrict x, const float *restrict w, const float *restrict bias,
                          const int *restrict in, float *restrict y)
        {
            $sums
            $results
        }
        """,
        name=name,
        sums=in_c,
        results=results_text(code, pixels, blocks),
    )


def _table_sums(code: IndirectCode, pixels: int, blocks: int, form: OrderedForm = "") -> str:
    """The sums of such a tile, in C or in a form of assembly."""
    lanes, each = code.source.lanes, range(pixels)
    reads = {p: _Read(f"p{p}", 0) for p in each}
    whole, rest = divmod(code.channels, lanes)
    pointers, steps, advance = [f"x + in[{p}]" for p in each], "", [str(code.source.block)] * pixels
    if code.reads_zeros:
        pointers = [f"in[{p}] < 0 ? {code.entry}_zeros : x + in[{p}]" for p in each]
        advance = [f"d{p}" for p in each]
        step = code.source.block * (FLOAT_BYTES if form == "neon" else 1)
        steps = f"const long {', '.join(f'd{p} = in[{p}] < 0 ? 0 : {step}' for p in each)};"
    memory, moves = _partial_sums(code, pixels, blocks, form)
    span, parts = code.taps_of_a_part, [steps] if whole else []
    if 0 < span < code.taps:
        parts.append(moves.begun(f"tap == {span}", f"tap > {span} && tap % {span} == 0"))
    if form == "neon":
        if not code.reads_zeros:
            advance = [str(code.source.block * FLOAT_BYTES)] * pixels
        moved = [Read(p, f"p{p}", step) for p, step in enumerate(advance)]
        last = [Read(p, f"p{p}", REGISTER_BYTES) for p in each]
        if whole:
            parts.append(_whole_blocks(code, moves, _neon_text(moved, blocks, lanes)))
        if rest:
            parts.append(f"{{\n{_neon_text(last, blocks, rest)}\n}}")
    elif whole:
        advances = " ".join(f"p{p} += {step};" for p, step in enumerate(advance))
        block = _channels_text(code, reads, blocks, lanes, form)
        parts.append(_whole_blocks(code, moves, f"{block}\n{advances}"))
    if rest and form != "neon":
        parts.append(_channels_text(code, reads, blocks, rest, form))
    return fill(
        """
            $starts
            $memory
            for (int tap = 0; tap < $taps; ++tap, in += $outputs) {
                const float $pointers;
                $parts
            }
            $joined
            $ends
        """,
        starts=_starts(code, pixels, blocks, form),
        memory=memory,
        joined=_joined(code, moves, code.taps),
        ends=ordered_ends(form, pixels, blocks) if form else "",
        taps=code.taps,
        outputs=code.windows.rows.outputs * code.windows.columns.outputs,
        pointers=", ".join(f"*p{p} = {pointer}" for p, pointer in enumerate(pointers)),
        parts="\n".join(parts),
    )


def _starts(code: IndirectCode, pixels: int, blocks: int, form: OrderedForm) -> str:
    if not form:
        return starts_text(code.lanes, pixels, blocks)
    starts = [constant_vector(code.lanes, f"bias + {b * code.lanes}") for b in range(blocks)]
    return ordered_starts(form, pixels, blocks, starts)


def literal_tile(code: IndirectCode, name: str, tile: Tile, blocks: int) -> str:
    """A function for one tile: at each tap only the pixels whose inputs lie in the picture."""
    sums = _literal_sums(code, tile, blocks)
    if code.ordered:
        sums = either(code.ordered, _literal_sums(code, tile, blocks, code.ordered), sums)
    return fill(
        """
        static void $name(const float *restrict x, const float *restrict w, const float *restrict bias,
                          float *restrict y)
        {
            (void)x;
            (void)w;
            $sums
            $results
        }
        """,
        name=name,
        sums=sums,
        results=results_text(code, tile.pixels, blocks),
    )


def _literal_sums(code: IndirectCode, tile: Tile, blocks: int, form: OrderedForm = "") -> str:
    """The sums of such a tile, in C or in a form of assembly."""
    memory, moves = _partial_sums(code, tile.pixels, blocks, form)
    parts, span, read = [], code.taps_of_a_part, 0
    for offsets in input_offsets(code):
        places = enumerate(offsets[tile.first : tile.first + tile.pixels])
        reads = {p: _Read("q", place) for p, place in places if place != OUTSIDE}
        if not reads:
            parts.append(f"w += {code.channels * blocks * code.lanes};")
            continue
        if span and read and read % span == 0:
            parts.append(moves.kept if read == span else moves.added)
        read += 1
        parts.append(_literal_tap(code, reads, blocks, moves, form))
    starts = _starts(code, tile.pixels, blocks, form)
    ends = ordered_ends(form, tile.pixels, blocks) if form else ""
    return "\n".join([starts, memory, *parts, _joined(code, moves, read), ends])


def _literal_tap(
    code: IndirectCode, reads: Mapping[int, _Read], blocks: int, moves: Moves, form: OrderedForm
) -> str:
    """One tap of a tile with literals, over all channels."""
    whole, rest = divmod(code.channels, code.source.lanes)
    if form == "neon":
        places = [(p, read.offset) for p, read in reads.items()]
        first = places[0][1]
        moved = chained("q", places, first + code.source.block)
        loops = [f"const float *q = x + {first};"]
        if whole:
            loops.append(_whole_blocks(code, moves, _neon_text(moved, blocks, code.source.lanes)))
        if rest:
            loops.append(f"{{\n{_neon_text(moved, blocks, rest)}\n}}")
        return "{\n" + "\n".join(loops) + "\n}"
    loops = ["const float *q = x;"]
    if whole:
        block = _channels_text(code, reads, blocks, code.source.lanes, form)
        loops.append(_whole_blocks(code, moves, f"{block}\nq += {code.source.block};"))
    if rest:
        loops.append(_channels_text(code, reads, blocks, rest, form))
    return "{\n" + "\n".join(loops) + "\n}"


def _neon_text(reads: Sequence[Read], blocks: int, channels: int) -> str:
    """The products of a block of inputs of which so many channels are read."""
    return "\n".join(neon_products(reads, blocks, channels, "w", 0, 0))


def _partial_sums(code: IndirectCode, pixels: int, blocks: int, form: OrderedForm) -> tuple[str, Moves]:
    """Memory for the sums of a tile, empty where their products are few, and the statements that move them there."""
    names = [f"a{p}_{b}" for p in range(pixels) for b in range(blocks)]
    vec, sums = ordered_sums(form, pixels, blocks) if form else (f"vec{code.lanes}", names)
    memory, moves = moving(sums, vec)
    if code.taps_of_a_part:
        return (memory if code.taps_of_a_part < code.taps else ""), moves
    return f"{memory}\nint part = 0;", moves


def _joined(code: IndirectCode, moves: Moves, taps: int) -> str:
    """What ends a tile that reads so many taps."""
    return moves.joined if taps > code.taps_of_a_part else ""


def _whole_blocks(code: IndirectCode, moves: Moves, body: str) -> str:
    """The loop over the whole blocks of input channels of a tap."""
    parts = code.parts
    if parts.count == 1:
        return f"for (int i = 0; i < {parts.steps}; ++i) {{\n{body}\n}}"
    return fill(
        """
        for (int first = 0; first < $steps; first += $span) {
            const int count = $steps - first < $span ? $steps - first : $span;
            $moves
            ++part;
            for (int i = 0; i < count; ++i) {
                $body
            }
        }
        """,
        steps=parts.steps,
        span=parts.span,
        moves=moves.begun("part == 1", "part > 1"),
        body=body,
    ).strip()


class _Read(NamedTuple):
    """Where a pixel's channels lie: so many elements behind a pointer of the C text."""

    pointer: str
    offset: int


def _channels_text(
    code: IndirectCode, reads: Mapping[int, _Read], blocks: int, channels: int, form: OrderedForm
) -> str:
    """The loop over the channels of one block of which `channels` are read, for the pixels of a tile that read any."""
    if form == "vfp":
        return "\n".join(
            line
            for c in range(channels)
            for line in ("{", *vfp_products(_places(reads, c), blocks, "w"), "}")
        )
    unrolled = UNROLLED if channels % UNROLLED == 0 else 1
    width = blocks * code.lanes
    parts = []
    for c in range(unrolled):
        loads = " ".join(
            f"const vec{code.lanes} w{b} = {constant_vector(code.lanes, f'w + {c * width + b * code.lanes}')};"
            for b in range(blocks)
        )
        updates = []
        for p, (pointer, offset) in reads.items():
            sums = " ".join(f"a{p}_{b} += w{b} * v;" for b in range(blocks))
            updates.append(f"{{ const float v = {pointer}[c + {offset + c}]; {sums} }}")
        parts.append("{ " + "\n    ".join([loads, *updates]) + " }")
    body = f"\n{BARRIER}\n".join(parts)
    return f"for (int c = 0; c < {channels}; c += {unrolled}, w += {unrolled * width}) {{\n{body}\n}}"


def _places(reads: Mapping[int, _Read], channel: int) -> list[Place]:
    return [Place(pixel, read.pointer, read.offset + channel) for pixel, read in reads.items()]


def _inputs(window: Window) -> list[list[int]]:
    """For each tap the input of each output, or OUTSIDE."""
    places = [
        [output * window.stride - window.pad + tap * window.dilation for output in range(window.outputs)]
        for tap in range(window.taps)
    ]
    return [[i if 0 <= i < window.inputs else OUTSIDE for i in line] for line in places]
