"""Convolution whose pattern of weights is compiled for AArch64: what is not zero is instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import blocked_layout, blocks_of
from codegen.engines.cpu.blocked.tile_results import Results
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of
from codegen.engines.cpu.kernel import CpuKernel, checked_workspace
from codegen.engines.cpu.machine import FLOAT_BYTES, cache_bytes, tile_registers, vector_lanes
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.sparse.compiled_neon import CHANNELS, compiled_functions, group_bounds
from codegen.engines.cpu.sparse.planes_source import Planes, planes_text
from codegen.engines.cpu.threads import Share, own_workspace, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.windows import Windows

BAND_ROWS = (1, 2, 4, 8, 16)
BLOCK_CHANNELS = (16, 32, 64, 128, 256)
CODE_BYTES = 12  # an entry, with its share of the loads of operands and weights
CACHE_SHARE = 0.75  # of the second cache, that code and weights may take which are run again for each band
LINE_BYTES = 64
LINE_LOADS = 8.0  # that a line of the second cache takes as long as
LAYOUT = blocked_layout(CHANNELS)


class CpuSparseCompiledConv(CpuKernel):
    """Sums of 24 outputs for four pixels in registers; the weights that are not zero are multiply-adds of the code.

    `band` rows of outputs at a time; of them a block of `k_block` input channels is put in order (of windows planes
    with their padding, which all taps read), then each group of outputs walks the pixels. Threads share the bands.

    Axes:
        band: rows of outputs that are computed at a time
        k_block: input channels that all outputs read before the next
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_sparse_compiled_conv"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, Conv2d) or op.groups != 1 or spec.sparsity is None:
            return False
        return (
            tile_registers(target, vector_lanes(target)).scheduled and Results.of(op.epilogue, 0) is not None
        )

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        height, channels = spec.output.shape[2], spec.inputs[0].shape[1]
        return (
            Axis("band", (*(rows for rows in BAND_ROWS if rows < height), height)),
            Axis("k_block", (*(block for block in BLOCK_CHANNELS if block < channels), channels)),
            threads_axis(target),
        )

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        return (LAYOUT,), LAYOUT

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _Shape(spec, point).share.pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        assert spec.sparsity is not None
        shape, entries = _Shape(spec, point), spec.sparsity.weights
        functions = shape.block_count * (len(group_bounds(spec.output.shape[1])) - 1)
        if CODE_BYTES * entries > functions * target.cpu_l1d_bytes and point["k_block"] > BLOCK_CHANNELS[0]:
            return "a function is larger than a first cache of instructions"
        if (CODE_BYTES + FLOAT_BYTES) * entries > CACHE_SHARE * cache_bytes(target) and shape.bands > 1:
            return "the code would come from memory again for each band"
        return checked_workspace(point["threads"] * _Shape(spec, point).workspace_bytes)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        shape = _Shape(spec, {**choice.splits, **choice.tiles})
        assert spec.sparsity is not None
        entries, depth, outputs = spec.sparsity.weights, shape.depth, spec.output.shape[1]
        groups, blocks = len(group_bounds(outputs)) - 1, shape.block_count
        met = depth * (1 - (1 - entries / (depth * outputs)) ** (outputs / groups))
        bands = spec.output.shape[0] * shape.bands
        pixels = float(bands * shape.vectors(shape.band) * CHANNELS)
        count = Count()
        count.add(pixels, alu=entries, loads=groups * met + entries / CHANNELS)
        count.add(pixels * outputs, alu=1 + epilogue_instructions(spec), loads=blocks - 1, stores=blocks)
        count.add_copy(float(bands * shape.planes.channel_elements * spec.inputs[0].shape[1]))
        tiles, cache = float(groups * bands * blocks * shape.tile_bytes), cache_bytes(target)
        if shape.tile_bytes > target.cpu_l1d_bytes:  # each group reads it from the second cache anew
            count.add(tiles / LINE_BYTES, loads=LINE_LOADS)
        constants = FLOAT_BYTES * (entries + outputs)
        streamed = loads_of(constants, bands, cache) + input_bytes(spec)
        return count.work(
            spec,
            float(entries * spec.output.elements // outputs),
            streamed + tiles * (shape.tile_bytes > CACHE_SHARE * cache),
            float(shape.tile_bytes),
            constant_bytes=constants,
            balance=shape.share.balance,
            workspace_bytes=choice.threads * shape.workspace_bytes,
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op = spec.op
        assert isinstance(op, Conv2d)
        shape = _Shape(spec, {**choice.splits, **choice.tiles})
        results = Results.of(op.epilogue, 0)
        assert results is not None
        matrix, bias = matrix_and_bias(weights)
        functions = compiled_functions(
            entry, matrix, bias, shape.planes.places, shape.block * shape.planes.taps, results
        )
        layout, batch = layout_named(LAYOUT), spec.output.shape[0]
        sizes = tuple(layout.elements(tensor) for tensor in (spec.inputs[0], spec.output))
        _, _, height, width = spec.output.shape
        source = fill(
            _ENTRY,
            entry=entry,
            share=shape.share.declaration,
            first=shape.share.first,
            end=shape.share.end,
            bands=shape.bands,
            band=shape.band,
            height=height,
            width=width,
            row_vectors=shape.planes.row_vectors,
            input=sizes[0] // batch,
            output=sizes[1] // batch,
            tile=own_workspace(choice.threads, shape.workspace_bytes),
            tile_size=shape.tile_elements,
            sums_size=shape.sums_elements,
            block=shape.block,
            channels=spec.inputs[0].shape[1],
            blocks=shape.block_count,
            groups=len(functions.bounds) - 1,
            bounds=", ".join(map(str, functions.bounds)),
            vectors=shape.vectors(shape.band),
            plane=height * width,
            lower=shape.planes.half("2 * v"),
            upper=shape.planes.half("h"),
            halves=shape.planes.halves("rows"),
            pixel=shape.planes.pixel("v"),
            valid=shape.planes.valid("v", "rows"),
            count=shape.planes.vectors("rows"),
        )
        return CpuProgram(
            source="#include <stddef.h>\n#include <string.h>\n"
            + functions.text
            + planes_text(entry, shape.planes)
            + source,
            entry=entry,
            weights=functions.stream,
            input_sizes=sizes[:1],
            output_sizes=sizes[1:],
            workspace_bytes=choice.threads * shape.workspace_bytes,
            threads=choice.threads,
        )


@dataclass(frozen=True)
class _Shape:
    """Sizes at a point of the space."""

    spec: LayerSpec
    point: Point

    @property
    def band(self) -> int:
        rows: int = self.point["band"]
        return rows

    @property
    def block(self) -> int:
        """Input channels of a block: whole blocks of the layout."""
        return round_up(self.point["k_block"], CHANNELS)

    @property
    def depth(self) -> int:
        return self.spec.weights[0].elements // self.spec.weights[0].shape[0]

    @property
    def block_count(self) -> int:
        return -(-self.spec.inputs[0].shape[1] // self.block)

    @property
    def bands(self) -> int:
        """Of an image."""
        return -(-self.spec.output.shape[2] // self.band)

    @cached_property
    def planes(self) -> Planes:
        return Planes(Windows.of(self.spec), self.band, self.block)

    @property
    def share(self) -> Share:
        return Share(self.spec.output.shape[0] * self.bands, self.point["threads"])

    def vectors(self, rows: int) -> int:
        """Vectors of four pixels that so many rows take."""
        return self.planes.vector_count(rows)

    @property
    def tile_elements(self) -> int:
        return round_up(self.planes.elements, 16)

    @property
    def tile_bytes(self) -> int:
        return FLOAT_BYTES * self.tile_elements

    @property
    def sums_elements(self) -> int:
        """Of sums between blocks of operands."""
        if self.block_count == 1:
            return 0
        return blocks_of(self.spec.output.shape[1], CHANNELS) * CHANNELS * CHANNELS * self.vectors(self.band)

    @property
    def workspace_bytes(self) -> int:
        """Of one thread: operands, sums, and the results of four pixels that are not all stored."""
        scratch = group_bounds(self.spec.output.shape[1])[-1] * CHANNELS
        return FLOAT_BYTES * round_up(self.tile_elements + self.sums_elements + scratch, 16)


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        static const int bounds[] = {$bounds};
        float *const tile = $tile, *const sums = tile + $tile_size, *const scratch = sums + $sums_size;
        $share
        memset(tile, 0, sizeof(float) * $tile_size); /* padding, which stays */
        for (int t = $first; t < $end; ++t) {
            const int n = t / $bands, top = t % $bands * $band;
            const int rows = $height - top < $band ? $height - top : $band;
            const float *x = inputs[0] + (size_t)n * $input;
            float *const y = outputs[0] + (size_t)n * $output + top * $width * 4;
            for (int b = 0; b < $blocks; ++b) {
                const int left = $channels - b * $block;
                ${entry}_planes(x, b * $block, left < $block ? left : $block, top, rows, tile);
                for (int g = 0; g < $groups; ++g) {
                    const int begin = bounds[g], count = bounds[g + 1] - begin;
                    void (*const code)(const float *, const float *, const float *, float *, float *, long) =
                        ${entry}_functions[b * $groups + g].code;
                    const float *stream = weights + ${entry}_functions[b * $groups + g].start;
                    for (int v = 0; v < $count; ++v) {
                        const int h = 2 * v + 1 < $halves ? 2 * v + 1 : 2 * v, pixel = $pixel;
                        const float *lower = tile + $lower, *upper = tile + $upper;
                        float *const kept = sums + (begin * $vectors + v * count) * 4;
                        float *const to = y + (size_t)begin * $plane + pixel * 4;
                        if (b + 1 < $blocks || pixel + 4 <= rows * $width)
                            ${entry}_call(code, lower, upper, stream, kept, to, $plane * 16l);
                        else {
                            const int valid = $valid;
                            ${entry}_call(code, lower, upper, stream, kept, scratch, 64);
                            for (int c = 0; c < count; c += 4)
                                memcpy(to + (size_t)c * $plane, scratch + c * 4, (size_t)valid * 16);
                        }
                    }
                }
            }
        }
    }
"""
