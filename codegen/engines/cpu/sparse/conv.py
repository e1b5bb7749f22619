"""Convolution that skips zero weights: pixels on lanes, the pattern of the others walked row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

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
from codegen.engines.cpu.machine import FLOAT_BYTES, block_registers, cache_bytes, vector_lanes
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.sparse.columns_source import columns_text
from codegen.engines.cpu.sparse.pattern import Walk, entries_of, pack_walk, tile_bytes
from codegen.engines.cpu.sparse.walk_source import walk_text
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
from codegen.sparsity import QUAD, SIXTEEN
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

ROWS = (1, QUAD, SIXTEEN)
VECTORS = (4, 7, 14, 28)  # of pixels: few leave operands in the first cache, many make entries cheap
BLOCKS = (64, 128, 256)  # operands at a time
ROW_INSTRUCTIONS = 20.0  # a loop of unforeseen length ends


class CpuSparseConv(CpuKernel):
    """`rows` outputs by `vectors` vectors of pixels in registers; only weights that are not zero are multiplied.

    What a tile of pixels reads is copied, then every row of outputs walks its entries: where an operand lies, and a
    weight for each output of the row. Activations are row-major.

    Axes:
        lanes: pixels of a vector
        vectors: vectors of pixels whose sums are in registers at once
        rows: neighbouring outputs that share an entry, of which some weights may be zero
        k_block: operands (input channels by taps) that all rows walk before the next
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_sparse_conv"
    axis_names: ClassVar[AxisNames] = SHARED_NAMES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Conv2d) and spec.op.groups == 1 and spec.sparsity is not None

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        widths = {
            (lanes, rows): _vectors(spec, target, lanes, rows)
            for lanes in _lanes(spec, target)
            for rows in ROWS
        }
        depth = _depth(spec)
        return (
            Axis("lanes", _lanes(spec, target)),
            Axis("vectors", tuple(sorted({width for several in widths.values() for width in several}))),
            Axis("rows", tuple(sorted({rows for (_, rows), several in widths.items() if several}))),
            Axis("k_block", tuple(sorted({depth, *(block for block in BLOCKS if block < depth)}))),
            shared_axis(target),
            threads_axis(target),
        )

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point, point["threads"], point["shared"]).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        if point["vectors"] not in _vectors(spec, target, point["lanes"], point["rows"]):
            return "tiles of that width leave registers unused, or want more than there are"
        return nothing_shared(point) or checked_workspace(
            point["threads"] * _workspace_bytes(_walk(spec, point), point)
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        assert spec.sparsity is not None
        point = {**choice.splits, **choice.tiles}
        walk, pixels = _walk(spec, point), point["vectors"] * point["lanes"]
        entries, tiles = entries_of(spec.sparsity, walk.rows), spec.output.shape[0] * _tiles(spec, point)
        copies = choice.threads if walk.lists > 1 else 1  # each thread copies what it reads
        count = Count()
        count.add(
            float(tiles * entries),
            alu=walk.rows * pixels + LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS,
            loads=pixels + walk.rows + 1,
        )
        count.add(float(tiles * walk.blocks * walk.row_count), alu=ROW_INSTRUCTIONS, loads=2)
        sums = float(tiles * walk.row_count * walk.rows * pixels)
        count.add(sums * (walk.blocks - 1), loads=1, stores=1)
        count.add(sums, alu=epilogue_instructions(spec), stores=1)
        count.add(
            float(copies * tiles * walk.depth * pixels), alu=_copy_instructions(spec), loads=1, stores=1
        )
        stream = walk.bytes_for(entries)
        streamed = loads_of(stream, tiles, cache_bytes(target)) + copies * input_bytes(spec)
        macs = float(entries * walk.rows * spec.output.elements // walk.outputs)
        return count.work(
            spec,
            macs,
            streamed,
            tile_bytes(walk.block, pixels),
            constant_bytes=stream,
            balance=_share(spec, point, choice.threads, point["shared"]).balance,
            workspace_bytes=choice.threads * _workspace_bytes(walk, point),
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, point = spec.op, {**choice.splits, **choice.tiles}
        assert isinstance(op, Conv2d)
        windows, walk, lanes = Windows.of(spec), _walk(spec, point), point["lanes"]
        share = _share(spec, point, choice.threads, PIXELS_SHARED if walk.lists == 1 else "")
        batch, out, height, width = spec.output.shape
        _, channels, in_height, in_width = spec.inputs[0].shape
        bytes_each = _workspace_bytes(walk, point)
        source = walk_text(entry, walk, point["vectors"], lanes, height * width, op.epilogue)
        source += columns_text(entry, windows, point["vectors"] * lanes, lanes)
        source += fill(
            _ENTRY,
            entry=entry,
            share=share.declaration if walk.lists == 1 else "",
            first=share.first if walk.lists == 1 else "0",
            end=share.end if walk.lists == 1 else str(batch * _tiles(spec, point)),
            list="part" if walk.lists > 1 else "0",
            tiles=_tiles(spec, point),
            pixels=point["vectors"] * lanes,
            plane=height * width,
            input=channels * in_height * in_width,
            output=out * height * width,
            depth=walk.depth,
            block=walk.block,
            starts=walk.row_count * walk.rows,
            tile=own_workspace(choice.threads, bytes_each),
            sums=tile_bytes(walk.block, point["vectors"] * lanes) // FLOAT_BYTES,
        )
        matrix, bias = matrix_and_bias(weights)
        return CpuProgram(
            source="#include <stddef.h>\n#include <string.h>\n" + source,
            entry=entry,
            weights=pack_walk(matrix, bias, walk),
            input_sizes=(spec.inputs[0].elements,),
            output_sizes=(spec.output.elements,),
            workspace_bytes=choice.threads * bytes_each,
            threads=choice.threads,
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
    every = -(-_pixels(spec) // lanes)
    cuts = {-(-every // min(width, most)) for width in VECTORS} if most else set()
    return tuple(sorted({-(-every // cut) for cut in cuts}))


def _tiles(spec: LayerSpec, point: Point) -> int:
    """Tiles of one plane."""
    pixels: int = point["vectors"] * point["lanes"]
    return -(-_pixels(spec) // pixels)


def _walk(spec: LayerSpec, point: Point) -> Walk:
    lists = 1 if point["shared"] == PIXELS_SHARED else point["threads"]
    operand_bytes = point["vectors"] * point["lanes"] * FLOAT_BYTES
    return Walk(spec.output.shape[1], _depth(spec), point["rows"], point["k_block"], lists, operand_bytes)


def _workspace_bytes(walk: Walk, point: Point) -> int:
    """Of one thread: operands of a tile, and its sums where there are several blocks."""
    pixels = point["vectors"] * point["lanes"]
    sums = tile_bytes(walk.row_count * walk.rows, pixels) if walk.blocks > 1 else 0
    return tile_bytes(walk.block, pixels) + sums


def _share(spec: LayerSpec, point: Point, threads: int, shared: str) -> Share:
    if shared == PIXELS_SHARED:
        return Share(spec.output.shape[0] * _tiles(spec, point), threads)
    return Share(-(-spec.output.shape[1] // point["rows"]), threads)


def _copy_instructions(spec: LayerSpec) -> float:
    """A float of a pointwise layer's operands is copied with its neighbours, others one by one, if not outside."""
    return 0.0 if Windows.of(spec).is_pointwise else LOOP_INSTRUCTIONS


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        const int *words = (const void *)weights;
        float *tile = $tile, *sums = tile + $sums;
        $share
        (void)part;
        for (int t = $first; t < $end; ++t) {
            const int n = t / $tiles, p = t % $tiles * $pixels;
            const int count = $plane - p < $pixels ? $plane - p : $pixels;
            const int *s = words + words[$starts + $list];
            for (int k = 0; k < $depth; k += $block) {
                const int end = k + $block < $depth ? k + $block : $depth;
                ${entry}_columns(inputs[0] + (size_t)n * $input, k, end, p, count, tile);
                s = ${entry}_rows(tile, s, weights, sums, outputs[0] + (size_t)n * $output + p, count, k == 0,
                                  end == $depth);
            }
        }
    }
"""
