"""Elementwise layers of integers of 8 bits and floats: conversions, and sums and products of quantised tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.int8.conv_source import c_type
from codegen.engines.cpu.int8.epilogue import loaded, stored, whole_text
from codegen.engines.cpu.int8.vectors import types_text
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.machine import block_lanes
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import LINE, Share, threads_axis
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.quantized_conv2d import BYTES
from codegen.operators.typed_map import TypedMap
from codegen.program import CpuProgram
from codegen.requantization import is_arithmetic, is_within
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

ROWS, BLOCKS, QUADS = "row_major", "blocks", "to_quads"
LAYOUTS = (ROWS, BLOCKS, QUADS)
QUAD = 4


class CpuInt8Map(CpuKernel):
    """A vector of elements after another, computed in float32; threads share them.

    Of a few channels a row-major input may be written in blocks of four, for a first convolution to read.

    Axes:
        layout: of all tensors: row_major (nchw) or blocks (channel<lanes>); to_quads: from nchw to channel4
        lanes: elements computed at a time, and channels of a block
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_int8_map"
    element_types: ClassVar[frozenset[str]] = frozenset({"float32", *BYTES})
    axis_names: ClassVar[AxisNames] = {"layout": LAYOUTS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, TypedMap) or op.computed != "float32" or not is_arithmetic(op.expression):
            return False
        types = {tensor.dtype for tensor in (*spec.inputs, spec.output)}
        if any(tensor.shape != spec.output.shape for tensor in spec.inputs) or types.isdisjoint(BYTES):
            return False
        return op.result == "float32" or is_within(op.expression, op.result)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return Axis("layout", _layouts(spec)), Axis("lanes", (block_lanes(target),)), threads_axis(target)

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        source, result = _names(point["layout"], point["lanes"])
        return (source,) * len(spec.inputs), result

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point).pieces

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        assert isinstance(spec.op, TypedMap)
        count, point = Count(), {**choice.splits, **choice.tiles}
        elements = float(layout_named(choice.output_layout).elements(spec.output))
        alu = spec.op.expression.instructions + (LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS) / point["lanes"]
        count.add(elements, alu=alu, loads=len(spec.inputs), stores=1)
        return count.work(spec, 0.0, 0.0, 0.0, balance=_share(spec, point).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        point = {**choice.splits, **choice.tiles}
        share, layout = _share(spec, point), point["layout"]
        sizes = tuple(
            layout_named(name).elements(tensor)
            for name, tensor in zip(choice.input_layouts, spec.inputs, strict=True)
        )
        size = layout_named(choice.output_layout).elements(spec.output)
        body = (
            _quads_text(spec, point, share, entry)
            if layout == QUADS
            else _flat_text(spec, point, share, entry)
        )
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(
            types_text(point["lanes"]) + body, entry, nothing, sizes, (size,), 0, choice.threads
        )


def _layouts(spec: LayerSpec) -> tuple[str, ...]:
    shape = spec.output.shape
    if len(shape) not in (2, 4):
        return (ROWS,)
    is_few = len(shape) == 4 and shape[1] <= QUAD and len(spec.inputs) == 1 and spec.output.dtype in BYTES
    return (ROWS, BLOCKS, QUADS) if is_few else (ROWS, BLOCKS)


def _names(layout: str, lanes: int) -> tuple[str, str]:
    if layout == ROWS:
        return "nchw", "nchw"
    return ("nchw", f"channel{QUAD}") if layout == QUADS else (f"channel{lanes}", f"channel{lanes}")


def _share(spec: LayerSpec, point: Point) -> Share:
    """Elements, or for quads the pixels of all images."""
    if point["layout"] == QUADS:
        batch, _, pixels = plane(spec.output)
        return Share(batch * pixels, point["threads"], LINE)
    _, name = _names(point["layout"], point["lanes"])
    return Share(layout_named(name).elements(spec.output), point["threads"], 4 * LINE)


def _flat_text(spec: LayerSpec, point: Point, share: Share, entry: str) -> str:
    """Whole vectors, then what is left by way of a vector."""
    assert isinstance(spec.op, TypedMap)
    lanes, dtypes = point["lanes"], [tensor.dtype for tensor in spec.inputs]
    names = ", ".join(f"v{i} = {loaded(lanes, f'x{i} + i', dtype)}" for i, dtype in enumerate(dtypes))
    tails = ", ".join(f"v{i} = {loaded(lanes, f't{i}', dtype)}" for i, dtype in enumerate(dtypes))
    operands = [f"v{i}" for i, _ in enumerate(dtypes)]
    return fill(
        """
        void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
        {
            $share
            $pointers
            $result *const y = ($result *)outputs[0];
            (void)weights;
            (void)workspace;
            int i = $first;
            for (; i + $lanes <= $end; i += $lanes) {
                const real$lanes $names;
                $stored
            }
            if (i < $end) {
                $copies
                $result t[$lanes];
                const real$lanes $tails;
                $last
                memcpy(y + i, t, ($end - i) * sizeof *y);
            }
        }
        """,
        entry=entry,
        share=share.declaration,
        pointers="\n    ".join(
            f"const {c_type(dtype)} *const x{i} = (const {c_type(dtype)} *)inputs[{i}];"
            for i, dtype in enumerate(dtypes)
        ),
        result=c_type(spec.output.dtype),
        first=share.first,
        end=share.end,
        lanes=lanes,
        names=names,
        stored=stored(lanes, "y + i", spec.op.expression, spec.output.dtype, operands),
        copies="\n        ".join(
            f"{c_type(dtype)} t{i}[{lanes}] = {{0}}; memcpy(t{i}, x{i} + i, ({share.end} - i) * sizeof *t{i});"
            for i, dtype in enumerate(dtypes)
        ),
        tails=tails,
        last=stored(lanes, "t", spec.op.expression, spec.output.dtype, operands),
    )


def _quads_text(spec: LayerSpec, point: Point, share: Share, entry: str) -> str:
    """`lanes` pixels of all channels at a time, which become the bytes of as many words."""
    assert isinstance(spec.op, TypedMap)
    lanes, dtype = point["lanes"], spec.inputs[0].dtype
    _, channels, pixels = plane(spec.output)
    element = c_type(dtype)

    def words(place: str, pitch: int) -> str:
        parts = []
        for channel in range(channels):
            value = loaded(lanes, f"{place} + {channel * pitch}", dtype)
            whole = whole_text(lanes, spec.op.expression, [value])  # type: ignore[attr-defined]
            parts.append(f"(({whole} & 255) << {8 * channel})")
        return " | ".join(parts)

    return fill(
        """
        void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
        {
            $share
            (void)weights;
            (void)workspace;
            for (int n = $first / $pixels; n * $pixels < $end; ++n) {
                const $element *const x = (const $element *)inputs[0] + n * $image;
                uint8_t *const y = (uint8_t *)outputs[0] + (size_t)n * $size;
                const int last = $end - n * $pixels < $pixels ? $end - n * $pixels : $pixels;
                int p = $first > n * $pixels ? $first - n * $pixels : 0;
                for (; p + $lanes <= last; p += $lanes)
                    *(sum$lanes *)(y + 4 * p) = $words;
                if (p < last) {
                    $element t[$channels * $lanes] = {0};
                    for (int c = 0; c < $channels; ++c)
                        memcpy(t + c * $lanes, x + c * $pixels + p, (last - p) * sizeof *t);
                    const sum$lanes rest = $tail;
                    memcpy(y + 4 * p, &rest, 4 * (last - p));
                }
            }
        }
        """,
        entry=entry,
        share=share.declaration,
        first=share.first,
        end=share.end,
        pixels=pixels,
        element=element,
        image=channels * pixels,
        size=QUAD * pixels,
        lanes=lanes,
        channels=channels,
        words=words("x + p", pixels),
        tail=words("t", lanes),
    )
