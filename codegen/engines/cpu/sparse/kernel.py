"""Products that skip zero weights: pixels on lanes, the pattern of the others walked row by row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import IN_BLOCKS, ROW_MAJOR, blocked_layout
from codegen.engines.cpu.blocked.vectors import vector_prologue
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.instructions import (
    ADDRESS_INSTRUCTIONS,
    LOOP_INSTRUCTIONS,
    Count,
    epilogue_instructions,
    input_bytes,
    loads_of,
)
from codegen.engines.cpu.kernel import CpuKernel, checked_workspace
from codegen.engines.cpu.machine import (
    FLOAT_BYTES,
    block_registers,
    cache_bytes,
    tile_registers,
    vector_lanes,
)
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.sparse.compiled_source import (
    BAND_TEXT,
    LANES,
    PIXELS_TEXT,
    SUMS,
    Stored,
    compiled_pattern,
    group_count,
    has_instructions,
)
from codegen.engines.cpu.sparse.flat_planes import FlatPlanes
from codegen.engines.cpu.sparse.pattern import (
    ROW_INSTRUCTIONS,
    ROWS,
    Places,
    Walk,
    entries_of,
    pack_walk,
    tile_bytes,
)
from codegen.engines.cpu.sparse.walk_assembly import CHANNELS, MOST_VECTORS
from codegen.engines.cpu.sparse.walk_source import WalkCode, walk_text
from codegen.engines.cpu.threads import (
    PIXELS_SHARED,
    SHARED_NAMES,
    Share,
    nothing_shared,
    own_workspace,
    shared_axis,
    threads_axis,
)
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

WALKED, COMPILED = "walked", "compiled"
VECTORS = (4, 7, 14, 28)  # of pixels: few leave operands in the first cache, many make entries cheap
BLOCKS = (64, 128, 256)  # operands at a time, about
CACHE_SHARE = 2  # operands of a block that are more than this part of the first cache are fetched ahead
TILES_SHARE = 0.75  # of the first cache, for operands of several tiles


@dataclass(frozen=True, eq=False)
class Columns:
    """What puts the operands of a tile of pixels in order: C text of a function, and what it needs.

    `text`: `<entry>_columns(x, constants, first, end, p, count, tile, scratch)`: of operands [first, end) the
    values of the `count` pixels from number `p` of the plane on, at the places of a tile.
    """

    text: str
    constants: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    scratch_bytes: int = 0


@dataclass(frozen=True)
class Workspace:
    """Of one thread: operands of a tile, and a vector behind them; sums between blocks of operands; results of a tile
    that is not whole; scratch.
    """

    tile_bytes: int
    kept_bytes: int
    results_bytes: int
    scratch_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.tile_bytes + self.kept_bytes + self.results_bytes + self.scratch_bytes


class SparseKernel(CpuKernel):
    """Base of the kernels that hold `rows` outputs by `vectors` vectors of pixels in registers.

    Operands of a tile of pixels are put in order, then every row of outputs walks its entries: where an operand
    lies, and a weight for each output of the row. Instructions made of a pattern of windows read planes, of which all
    taps lie equally far from every output, for about as many pixels: whole rows.

    Axes:
        lanes: pixels of a vector
        vectors: vectors of pixels whose sums are in registers at once
        rows: neighbouring outputs that share an entry, of which some weights may be zero
        pattern: where the pattern is: data that every row of outputs walks, or instructions made of it (compiled)
        k_block: operands (input channels by taps) that all rows walk before the next
        activations: how inputs and outputs lie: row by row, or in blocks of channels
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
        threads: how many threads of the CPU share the layer
    """

    axis_names: ClassVar[AxisNames] = {
        **SHARED_NAMES,
        "pattern": (WALKED, COMPILED),
        "activations": (ROW_MAJOR, IN_BLOCKS),
    }

    @abstractmethod
    def product(self, spec: LayerSpec) -> LayerSpec:
        """The convolution whose weights are sparse."""

    @abstractmethod
    def columns(
        self,
        spec: LayerSpec,
        target: Target,
        weights: Sequence[FloatArray],
        point: Point,
        entry: str,
        places: Places,
    ) -> Columns:
        """How operands of a tile of pixels come in order."""

    def orders(self, target: Target) -> tuple[str, ...]:
        """How activations may lie."""
        return (ROW_MAJOR,)

    @abstractmethod
    def scratch_bytes(self, spec: LayerSpec, target: Target, pixels: int, lanes: int) -> int:
        """Memory that it takes beside the tile, for a thread."""

    @abstractmethod
    def count_columns(self, count: Count, spec: LayerSpec, operands: float) -> float:
        """Adds what it takes to put so many operands in order to the count; the multiply-adds among that."""

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        spec = self.product(spec)
        widths = {
            (lanes, rows): _vectors(spec, target, lanes, rows)
            for lanes in _lanes(spec, target)
            for rows in ROWS
        }
        depth = _depth(spec)
        unit = CHANNELS * (depth // spec.inputs[0].shape[1])  # taps of whole blocks of channels
        blocks = (round_up(block, unit) for block in BLOCKS)
        return (
            Axis("lanes", _lanes(spec, target)),
            Axis("vectors", tuple(sorted({width for several in widths.values() for width in several}))),
            Axis("rows", tuple(sorted({rows for (_, rows), several in widths.items() if several}))),
            Axis("pattern", (WALKED, COMPILED) if has_instructions(target) else (WALKED,)),
            Axis("k_block", tuple(sorted({depth, *(block for block in blocks if block < depth)}))),
            Axis("activations", self.orders(target)),
            shared_axis(target),
            threads_axis(target),
        )

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        name = blocked_layout(channels_of(point))
        return (name,) * len(spec.inputs), name

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(self.product(spec), point, point["threads"], point["shared"]).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        if point["vectors"] not in _vectors(self.product(spec), target, point["lanes"], point["rows"]):
            return "tiles of that width leave registers unused, or want more than there are"
        if point["pattern"] == COMPILED and (point["lanes"], point["rows"]) != (LANES, 1):
            return "instructions are of single weights, for whole vectors"
        if channels_of(point) > 1 and point["shared"] != PIXELS_SHARED:
            return "threads would write into one block of channels"
        return nothing_shared(point) or checked_workspace(
            point["threads"] * self._workspace(spec, target, point).size_bytes
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        product, point = self.product(spec), {**choice.splits, **choice.tiles}
        assert product.sparsity is not None
        walk, pixels = _walk(product, point), point["vectors"] * point["lanes"]
        entries, tiles = (
            entries_of(product.sparsity, walk.rows),
            product.output.shape[0] * _tiles(product, point),
        )
        planes = _planes(product, point)
        copies = choice.threads if walk.lists > 1 else 1  # each thread puts in order what it reads
        count = Count()
        if point["pattern"] == COMPILED:
            groups = group_count(walk.outputs)
            met = walk.depth * (1 - (1 - entries / (walk.depth * walk.outputs)) ** (walk.outputs / groups))
            if planes:  # loads reach over two lines of the cache
                met, pixels = 2 * met, planes.vectors * LANES
            count.add(float(tiles * pixels), alu=entries, loads=groups * met + entries / LANES)
        else:
            count.add(
                float(tiles * entries),
                alu=walk.rows * pixels + LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS,
                loads=pixels + walk.rows + 1,
            )
            count.add(float(tiles * walk.blocks * walk.row_count), alu=ROW_INSTRUCTIONS, loads=2)
        sums = float(tiles * walk.row_count * walk.rows * pixels)
        count.add(sums * (walk.blocks - 1), loads=1, stores=1)
        count.add(sums, alu=epilogue_instructions(product), stores=1)
        copied = planes.elements if planes else walk.depth * pixels
        macs = self.count_columns(count, spec, float(copies * tiles * copied))
        pattern = FLOAT_BYTES * (entries + walk.outputs)
        constants = pattern if point["pattern"] == COMPILED else walk.bytes_for(entries)
        constants += sum(tensor.size_bytes for tensor in spec.weights)
        constants -= sum(tensor.size_bytes for tensor in product.weights)
        streamed = loads_of(constants, tiles, cache_bytes(target)) + copies * input_bytes(spec)
        if not planes and tile_bytes(walk.block, pixels) > cache_bytes(
            target
        ):  # every entry reads its operands anew
            streamed += float(FLOAT_BYTES * tiles * entries * pixels)
        return count.work(
            spec,
            macs + float(entries * walk.rows * product.output.elements // walk.outputs),
            streamed,
            tile_bytes(walk.block * _code(product, target, point).tiles, pixels),
            constant_bytes=constants,
            balance=_share(product, point, choice.threads, point["shared"]).balance,
            workspace_bytes=choice.threads * self._workspace(spec, target, point).size_bytes,
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        product, point = self.product(spec), {**choice.splits, **choice.tiles}
        op = product.op
        assert isinstance(op, Conv2d)
        walk, lanes, code = _walk(product, point), point["lanes"], _code(product, target, point)
        workspace = self._workspace(spec, target, point)
        share = _share(product, point, choice.threads, PIXELS_SHARED) if walk.lists == 1 else None
        batch, _, height, width = spec.output.shape
        matrix, bias = matrix_and_bias(weights[-2:])
        channels, layout = channels_of(point), layout_named(blocked_layout(channels_of(point)))
        sizes = tuple(layout.elements(tensor) for tensor in (spec.inputs[0], spec.output))
        places = _places(product, point)
        planes = _planes(product, point)
        columns = (
            Columns(planes.text(entry))
            if planes
            else self.columns(spec, target, weights, point, entry, places)
        )
        names = {"entry": entry, "depth": walk.depth, "lanes": lanes}
        if point["pattern"] == COMPILED:
            operands = [FLOAT_BYTES * places.operand * operand for operand in range(walk.depth)]
            stored = Stored(height * width, op.epilogue, gaps=planes is not None)
            compiled = compiled_pattern(
                entry, matrix, bias, planes.places if planes else operands, walk.block, stored
            )
            pattern, groups = compiled.stream, Share(compiled.groups, walk.lists)
            text = compiled.text
            product_text = fill(
                BAND_TEXT if planes else PIXELS_TEXT,
                **names,
                share="" if share else groups.declaration,
                first="0" if share else groups.first,
                end=compiled.groups if share else groups.end,
                blocks=walk.blocks,
                vector=places.vector,
                sums=SUMS,
                width=width,
                pitch=planes.pitch if planes else 0,
            )
        else:
            pattern = pack_walk(matrix, bias, walk)
            text = walk_text(entry, code)
            starts = walk.row_count * walk.rows
            product_text = fill(
                _WALKED,
                **names,
                list="0" if share else "part",
                block=walk.block,
                starts=starts,
                columns=_columns(entry, code),
            )
        source = vector_prologue(lanes, op.epilogue) + text + columns.text
        source += fill(
            _ENTRY,
            entry=entry,
            share=share.declaration if share else "",
            first=share.first if share else "0",
            end=share.end if share else str(batch * _tiles(product, point)),
            tiles=_tiles(product, point),
            several=_several(
                code, share.end if share else str(batch * _tiles(product, point)), _tiles(product, point)
            ),
            pixels=_tile_pixels(product, point),
            cleared=planes.cleared if planes else "",
            plane=height * width,
            input=sizes[0] // batch,
            output=sizes[1] // batch,
            channels=channels,
            kept=workspace.kept_bytes // FLOAT_BYTES,
            constants=columns.constants.size,
            tile=own_workspace(choice.threads, workspace.size_bytes),
            sums=workspace.tile_bytes // FLOAT_BYTES,
            results=workspace.results_bytes // FLOAT_BYTES,
            product=product_text,
        )
        return CpuProgram(
            source="#include <stddef.h>\n#include <string.h>\n" + source,
            entry=entry,
            weights=np.concatenate([columns.constants, pattern]),
            input_sizes=sizes[:1],
            output_sizes=sizes[1:],
            workspace_bytes=choice.threads * workspace.size_bytes,
            threads=choice.threads,
        )

    def _workspace(self, spec: LayerSpec, target: Target, point: Point) -> Workspace:
        code, planes = _code(self.product(spec), target, point), _planes(self.product(spec), point)
        if planes:
            return Workspace(FLOAT_BYTES * planes.elements, FLOAT_BYTES * SUMS * planes.vectors, 0, 0)
        walk, pixels = code.walk, code.pixels
        if point["pattern"] == COMPILED:
            operands, kept, results = walk.depth, FLOAT_BYTES * SUMS * code.vectors, 0
        else:
            operands, results = walk.block * code.tiles, tile_bytes(1, code.copied_elements)
            kept = tile_bytes(walk.row_count * walk.rows, pixels) * (walk.blocks > 1)
        return Workspace(
            tile_bytes(operands, pixels) + tile_bytes(code.vectors, point["lanes"]),
            kept,
            results,
            self.scratch_bytes(spec, target, pixels, point["lanes"]),
        )


def _depth(spec: LayerSpec) -> int:
    return spec.weights[0].elements // spec.weights[0].shape[0]


def _pixels(spec: LayerSpec) -> int:
    return spec.output.shape[2] * spec.output.shape[3]


def _lanes(spec: LayerSpec, target: Target) -> tuple[int, ...]:
    """A vector register's; half as many as well where whole ones leave more unused."""
    whole, pixels = vector_lanes(target), _pixels(spec)
    half = whole // 2
    return (
        (half, whole) if whole > 8 and -(-pixels // half) * half < -(-pixels // whole) * whole else (whole,)
    )


def _vectors(spec: LayerSpec, target: Target, lanes: int, rows: int) -> tuple[int, ...]:
    """Widths of tiles that cut the plane evenly and leave registers for a weight and an operand."""
    most = (block_registers(target, lanes) - 2) // rows
    if rows == 1 and tile_registers(target, lanes).scheduled:
        most = MOST_VECTORS
    every = -(-_pixels(spec) // lanes)
    cuts = {-(-every // min(width, most)) for width in VECTORS} if most else set()
    return tuple(sorted({-(-every // cut) for cut in cuts}))


def _tiles(spec: LayerSpec, point: Point) -> int:
    """Tiles of one plane."""
    return -(-_pixels(spec) // _tile_pixels(spec, point))


def _tile_pixels(spec: LayerSpec, point: Point) -> int:
    planes = _planes(spec, point)
    pixels: int = point["vectors"] * point["lanes"]
    return planes.band * spec.output.shape[3] if planes else pixels


def _planes(spec: LayerSpec, point: Point) -> FlatPlanes | None:
    """What instructions made of windows read: about as many outputs at a time as the vectors hold, whole rows."""
    windows = Windows.of(spec)
    if point["pattern"] != COMPILED or windows.is_pointwise:
        return None
    rows = point["vectors"] * point["lanes"] // windows.columns.outputs
    return FlatPlanes(windows, spec.inputs[0].shape[1], max(1, min(rows, windows.rows.outputs)))


def _walk(spec: LayerSpec, point: Point) -> Walk:
    lists = 1 if point["shared"] == PIXELS_SHARED else point["threads"]
    operand_bytes = point["vectors"] * point["lanes"] * FLOAT_BYTES
    outputs, rows, block = spec.output.shape[1], point["rows"], point["k_block"]
    return Walk(outputs, _depth(spec), rows, block, lists, operand_bytes, in_order=channels_of(point) > 1)


def _places(spec: LayerSpec, point: Point) -> Places:
    """Operands of a vector of pixels are neighbours where instructions walk them all, and go from vector to vector by
    no power of two, so that all vectors find room in a cache; else those of an entry are.
    """
    if point["pattern"] == COMPILED:
        return Places(LANES, LANES * (_depth(spec) + 1))
    return Places(point["vectors"] * point["lanes"], point["lanes"])


def channels_of(point: Point) -> int:
    """Of a block of the activations' layout."""
    return CHANNELS if point.get("activations") == IN_BLOCKS else 1


def _code(spec: LayerSpec, target: Target, point: Point) -> WalkCode:
    walk, lanes, vectors = _walk(spec, point), point["lanes"], point["vectors"]
    op = spec.op
    assert isinstance(op, Conv2d)
    return WalkCode(
        walk,
        vectors,
        lanes,
        _pixels(spec),
        op.epilogue,
        channels=channels_of(point),
        scheduled=tile_registers(target, lanes).scheduled,
        fetches=CACHE_SHARE * walk.block * walk.operand_bytes > target.cpu_l1d_bytes,
        cache_bytes=int(TILES_SHARE * target.cpu_l1d_bytes),
    )


def _several(code: WalkCode, end: str, tiles: int) -> str:
    """The C expression of how many tiles from `t` on are computed together: those of one image."""
    if code.tiles == 1:
        return "1"
    most = f"({end} - t < {code.tiles} ? {end} - t : {code.tiles})"
    return f"{tiles} - t % {tiles} < {most} ? {tiles} - t % {tiles} : {most}"


def _columns(entry: str, code: WalkCode) -> str:
    """Statements that put operands of all tiles in order."""
    call = f"{entry}_columns(x, weights, k, last, p"
    if code.tiles == 1:
        return f"{call}, count, tile, scratch);"
    count = f"count - j < {code.pixels} ? count - j : {code.pixels}"
    place = f"tile + j * {code.walk.block}"
    return f"for (int j = 0; j < count; j += {code.pixels}) {call} + j, {count}, {place}, scratch);"


def _share(spec: LayerSpec, point: Point, threads: int, shared: str) -> Share:
    if shared == PIXELS_SHARED:
        return Share(spec.output.shape[0] * _tiles(spec, point), threads)
    return Share(-(-spec.output.shape[1] // point["rows"]), threads)


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        const float *pattern = weights + $constants;
        float *tile = $tile, *sums = tile + $sums, *results = sums + $kept, *scratch = results + $results;
        $share
        (void)part, (void)results;
        $cleared
        for (int t = $first, several; t < $end; t += several) {
            const int n = t / $tiles, p = t % $tiles * $pixels;
            several = $several;
            const int count = $plane - p < several * $pixels ? $plane - p : several * $pixels;
            const float *x = inputs[0] + (size_t)n * $input;
            float *y = outputs[0] + (size_t)n * $output + p * $channels;
            $product
        }
    }
"""

_WALKED = """
    const int *s = (const int *)(const void *)pattern;
    s += s[$starts + $list];
    for (int k = 0; k < $depth; k += $block) {
        const int last = k + $block < $depth ? k + $block : $depth;
        $columns
        s = ${entry}_rows(tile, s, pattern, sums, results, y, count, k == 0, last == $depth);
    }
"""
