"""Moving a tensor between row-major order and blocks of channels."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.instructions import LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.layout import BLOCKED_TYPES, CHANNEL_LAYOUTS
from codegen.engines.cpu.source import element_pointer, fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.relayout import Relayout
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuBlockedRelayout(CpuKernel):
    """Blocks of channels by tiles of as many pixels are transposed; threads share the tiles of all blocks.

    Axes:
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_blocked_relayout"
    element_types: ClassVar[frozenset[str]] = BLOCKED_TYPES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, Relayout):
            return False
        return {op.source, op.target} & {*CHANNEL_LAYOUTS} != set() and "nchw" in (op.source, op.target)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return (threads_axis(target),)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["threads"]).pieces

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        op = _relayout(spec)
        return (op.source,), op.target

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        batch, channels, pixels = plane(spec.output)
        count = Count()
        count.add_copy(float(batch * channels * pixels))
        count.add(float(_share(spec, 1).count), alu=3 * LOOP_INSTRUCTIONS)
        balance = _share(spec, choice.threads).balance
        return count.work(spec, 0.0, 0.0, 8.0 * _lanes(spec) ** 2, balance=balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        op, lanes = _relayout(spec), _lanes(spec)
        _, channels, pixels = plane(spec.output)
        share, element = _share(spec, choice.threads), spec.output.element_type.c_type
        to_blocks = op.source == "nchw"
        source = fill(
            _SOURCE,
            entry=entry,
            tile=_tile(entry, lanes, pixels, spec.output.element_type.size_bytes, to_blocks=to_blocks),
            calls=indent(_calls(entry, lanes, channels, pixels), " " * 8),
            share=share.declaration,
            first=share.first,
            end=share.end,
            lanes=lanes,
            channels=channels,
            blocks=-(-channels // lanes),
            pixels=pixels,
            tiles=-(-pixels // lanes),
            element=element,
            inputs=element_pointer("inputs[0]", element),
            outputs=element_pointer("outputs[0]", element, written=True),
            x="plane" if to_blocks else "block",
            y="block" if to_blocks else "plane",
        )
        sizes = [layout_named(name).elements(spec.output) for name in (op.source, op.target)]
        nothing = np.zeros(0, dtype=np.float32)
        return CpuProgram(source, entry, nothing, (sizes[0],), (sizes[1],), 0, choice.threads)


def _relayout(spec: LayerSpec) -> Relayout:
    assert isinstance(spec.op, Relayout)
    return spec.op


def _lanes(spec: LayerSpec) -> int:
    op = _relayout(spec)
    return CHANNEL_LAYOUTS[op.target if op.source == "nchw" else op.source].lanes


def _share(spec: LayerSpec, threads: int) -> Share:
    batch, channels, pixels = plane(spec.output)
    lanes = _lanes(spec)
    return Share(batch * -(-channels // lanes) * -(-pixels // lanes), threads)


def _calls(entry: str, lanes: int, channels: int, pixels: int) -> str:
    """C statements that move a tile: literal sizes, of those tiles only that there are."""
    sizes = [
        (rows, columns)
        for rows in (lanes, channels % lanes)
        for columns in (lanes, pixels % lanes)
        if 0 < rows <= channels and 0 < columns <= pixels
    ]
    calls = [
        f"if (channels == {rows} && pixels == {columns})\n    {entry}_tile(x, y, {rows}, {columns});"
        for rows, columns in sizes
    ]
    return "\nelse ".join(calls)


def _tile(entry: str, lanes: int, pixels: int, size: int, *, to_blocks: bool) -> str:
    """The C function that transposes a tile of at most `lanes` by `lanes` elements of `size` bytes.

    Registers are zipped, the first half with the second, as often as brings each element to its place. Elements are
    moved as integers: 32-bit code of gcc takes vectors of floats apart.
    """
    element = f"int{8 * size}_t"
    names = [f"v{index}" for index in range(lanes)]
    channel, pixel = (
        (f"{{place}} * {pixels}", "channels", "pixels"),
        (f"{{place}} * {lanes}", "pixels", "channels"),
    )
    (source, read, _), (result, written, _) = (channel, pixel) if to_blocks else (pixel, channel)
    lines = []
    for index, name in enumerate(names):
        bytes_read = f"{size} * pixels" if to_blocks else f"{size * lanes}"
        lines.append(f"{entry}_vec {name} = {{0}};")
        lines.append(
            f"if ({index} < {read})\n    memcpy(&{name}, x + {source.format(place=index)}, {bytes_read});"
        )
    for stage in range(lanes.bit_length() - 1):
        zipped = [f"{'abcd'[stage]}{index}" for index in range(lanes)]
        for index in range(lanes // 2):
            both = f"{names[index]}, {names[index + lanes // 2]}"
            lines.append(f"const {entry}_vec {zipped[2 * index]} = {entry}_low({both});")
            lines.append(f"const {entry}_vec {zipped[2 * index + 1]} = {entry}_high({both});")
        names = zipped
    for index, name in enumerate(names):
        bytes_written = f"{size * lanes}" if to_blocks else f"{size} * pixels"
        lines.append(
            f"if ({index} < {written})\n    memcpy(y + {result.format(place=index)}, &{name}, {bytes_written});"
        )
    places = [
        [half * lanes // 2 + index // 2 + index % 2 * lanes for index in range(lanes)] for half in range(2)
    ]
    return fill(
        _TILE,
        entry=entry,
        element=element,
        lanes=lanes,
        bytes=size * lanes,
        low=", ".join(map(str, places[0])),
        high=", ".join(map(str, places[1])),
        lines=indent("\n".join(lines), "    "),
    )


_TILE = """
    typedef $element ${entry}_vec __attribute__((vector_size($bytes)));
    #ifdef __clang__
    #define ${entry}_low(a, b) __builtin_shufflevector(a, b, $low)
    #define ${entry}_high(a, b) __builtin_shufflevector(a, b, $high)
    #else
    #define ${entry}_low(a, b) __builtin_shuffle(a, b, (${entry}_vec){$low})
    #define ${entry}_high(a, b) __builtin_shuffle(a, b, (${entry}_vec){$high})
    #endif
    static inline __attribute__((always_inline)) void ${entry}_tile(
        const void *from, void *to, int channels, int pixels)
    {
        const $element *const x = from;
        $element *const y = to;
    $lines
    }
"""

_SOURCE = """
    #include <stdint.h>
    #include <string.h>
    $tile
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $element *const output = $outputs;
        $share
        (void)weights;
        (void)workspace;
        for (int t = $first; t < $end; ++t) {
            const int p = t % $tiles * $lanes, b = t / $tiles % $blocks, n = t / ($tiles * $blocks);
            const int plane = (n * $channels + b * $lanes) * $pixels + p;
            const int block = ((n * $blocks + b) * $pixels + p) * $lanes;
            const $element *const x = $inputs + $x;
            $element *const y = output + $y;
            const int channels = $channels - b * $lanes < $lanes ? $channels - b * $lanes : $lanes;
            const int pixels = $pixels - p < $lanes ? $pixels - p : $lanes;
    $calls
        }
    }
"""
