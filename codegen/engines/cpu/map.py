"""Elementwise layers in row-major layout, whatever broadcasts against what; and in pixel16 where nothing does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.expression_text import scalar_prologue, scalar_text, vector_text
from codegen.engines.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.machine import vector_lanes
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import LINE, Share, threads_axis
from codegen.engines.cpu.vector_math import math_prologue
from codegen.engines.videocore4.layout import LANES, block_lines
from codegen.expression import RESULT, as_clamp, clamp
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.elementwise import Map
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray, Shape

_LAYOUTS = ("nchw", "pixel16")


@dataclass(frozen=True)
class Loops:
    """Nested loops over the elements, as few as strides allow. `strides[o][l]`: elements by which operand o moves on
    in loop l, the output last; in the innermost loop they are 0 or 1.
    """

    sizes: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @staticmethod
    def over(shapes: Sequence[Shape], result: Shape) -> Loops:
        """Of row-major operands of these shapes that broadcast to the result's."""
        operands = [_aligned(shape, len(result)) for shape in (*shapes, result)]
        sizes: list[int] = []
        strides: list[list[int]] = [[] for _ in operands]
        for axis, size in enumerate(result):
            if size == 1:
                continue
            steps = [_stride(shape, axis) for shape in operands]
            if sizes and all(own[-1] == step * size for own, step in zip(strides, steps, strict=True)):
                sizes[-1] *= size
                for own, step in zip(strides, steps, strict=True):
                    own[-1] = step
            else:
                sizes.append(size)
                for own, step in zip(strides, steps, strict=True):
                    own.append(step)
        if not sizes:
            return Loops((1,), ((0,),) * len(shapes) + ((1,),))
        return Loops(tuple(sizes), tuple(map(tuple, strides)))

    @property
    def length(self) -> int:
        """Elements of the innermost loop."""
        return self.sizes[-1]

    @property
    def runs(self) -> int:
        """How often the innermost loop is run."""
        return int(np.prod(self.sizes[:-1], dtype=np.int64))


class CpuMap(CpuKernel):
    """One pass over all tensors, `block` elements a step where the C compiler has operations for the expression, a
    vector at a time where functions are called.

    `layout` may be pixel16 for tensors of equal shape with channels. Threads share the outermost loop, or the elements
    where there is but one.

    Axes:
        block: elements of a step
        layout: of all inputs and of the output
        threads: how many threads of the CPU share the layer
    """

    name = "cpu_map"
    axis_names: ClassVar[AxisNames] = {"layout": _LAYOUTS}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Map)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return Axis("block", (1, 8)), Axis("layout", _layouts(spec)), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(_loops(spec, point["layout"]), point["threads"]).pieces

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        name = point["layout"]
        return (name,) * len(spec.inputs), name

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        assert isinstance(spec.op, Map)
        loops, operands = _loops(spec, choice.output_layout), len(spec.inputs) + len(spec.weights)
        count = Count()
        loop = (LOOP_INSTRUCTIONS + (operands + 1) * ADDRESS_INSTRUCTIONS / 2) / choice.tiles["block"]
        count.add(
            float(loops.runs * loops.length),
            alu=spec.op.expression.instructions + loop,
            loads=operands,
            stores=1,
        )
        count.add(float(loops.runs), alu=LOOP_INSTRUCTIONS + operands * ADDRESS_INSTRUCTIONS)
        return count.work(spec, 0.0, 0.0, 0.0, balance=_share(loops, choice.threads).balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        assert isinstance(spec.op, Map)
        loops = _loops(spec, choice.output_layout)
        share = _share(loops, choice.threads)
        places = [f"inputs[{i}]" for i in range(len(spec.inputs))]
        offset = 0
        for value in weights:
            places.append(f"weights + {offset}")
            offset += value.size
        calls_functions = bool(scalar_prologue(as_clamp(spec.op.expression).value))
        lanes = vector_lanes(target) if calls_functions else 1
        inner = (
            _vector_loop(spec.op, loops, share, lanes)
            if lanes > 1
            else _scalar_loop(spec.op, loops, share, choice)
        )
        source = "#include <string.h>\n" + (math_prologue(lanes) if calls_functions else "")
        source += fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            body=indent(_nest(loops, share, places, inner).rstrip(), "    "),
        )
        sizes = tuple(layout_named(choice.output_layout).elements(tensor) for tensor in spec.inputs)
        packed = np.concatenate([np.zeros(0, np.float32), *(value.reshape(-1) for value in weights)])
        result = layout_named(choice.output_layout).elements(spec.output)
        return CpuProgram(source, entry, packed, sizes, (result,), 0, choice.threads)


def _layouts(spec: LayerSpec) -> tuple[str, ...]:
    alike = not spec.weights and all(tensor.shape == spec.output.shape for tensor in spec.inputs)
    return _LAYOUTS if alike and len(spec.output.shape) >= 2 else _LAYOUTS[:1]


def _loops(spec: LayerSpec, layout: str) -> Loops:
    """Padding lines of pixel16 are left out."""
    if layout == "nchw":
        return Loops.over([t.shape for t in (*spec.inputs, *spec.weights)], spec.output.shape)
    batch, channels, pixels = plane(spec.output)
    step = (block_lines(channels) * LANES, 1)
    return Loops((batch * -(-pixels // LANES), channels * LANES), (step,) * (len(spec.inputs) + 1))


def _share(loops: Loops, threads: int) -> Share:
    return Share(loops.sizes[0], threads) if len(loops.sizes) > 1 else Share(loops.length, threads, LINE)


def _aligned(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def _stride(shape: Shape, axis: int) -> int:
    return 0 if shape[axis] == 1 else int(np.prod(shape[axis + 1 :], dtype=np.int64))


def _nest(loops: Loops, share: Share, places: Sequence[str], inner: str) -> str:
    """The outer loops, and a pointer to the run of each operand."""
    outer = range(len(loops.sizes) - 1)
    heads = [
        f"for (int i{level} = {share.first}; i{level} < {share.end}; ++i{level})"
        if level == 0
        else f"for (int i{level} = 0; i{level} < {loops.sizes[level]}; ++i{level})"
        for level in outer
    ]
    lines = []
    for number, place in enumerate((*places, "output")):
        moves = "".join(f" + (size_t)i{level} * {loops.strides[number][level]}" for level in outer)
        kind, name = ("float", "y") if number == len(places) else ("const float", f"x{number}")
        lines.append(f"{kind} *restrict {name} = {place}{moves};")
    return "\n".join([*heads, "{", indent("\n".join([*lines, inner.rstrip()]), "    "), "}"])


def _element(loops: Loops, number: int, index: str) -> str:
    return f"x{number}[{index}]" if loops.strides[number][-1] else f"x{number}[0]"


def _ends(loops: Loops, share: Share) -> tuple[int | str, int | str]:
    """Where the innermost loop begins and ends."""
    return (share.first, share.end) if len(loops.sizes) == 1 else (0, loops.length)


def _scalar_loop(op: Map, loops: Loops, share: Share, choice: Choice) -> str:
    block, (first, end) = choice.tiles["block"], _ends(loops, share)
    value, low, high = as_clamp(op.expression)
    clamped = scalar_text(clamp(RESULT, low, high), ("v",))

    def element(index: str) -> str:
        operands = [_element(loops, number, index) for number in range(len(loops.strides) - 1)]
        return f"const float v = {scalar_text(value, operands)};\ny[{index}] = {clamped};"

    shared = len(loops.sizes) == 1 and share.threads > 1
    return fill(
        """
        int i = $first;
        for (; i < $whole; i += $block)
            for (int j = 0; j < $block; ++j) {
        $inside
            }
        for (; i < $end; ++i) {
        $rest
        }
        """,
        first=first,
        whole=f"{end} - ({end} - {first}) % {block}" if shared else loops.length - loops.length % block,
        block=block,
        end=end,
        inside=indent(element("i + j"), "        "),
        rest=indent(element("i"), "    "),
    )


def _vector_loop(op: Map, loops: Loops, share: Share, lanes: int) -> str:
    """Whole vectors, and the rest as one that is filled up by what is harmless."""
    first, end = _ends(loops, share)
    names = [f"v{number}" for number in range(len(loops.strides) - 1)]
    loads = "\n".join(
        f"fvec{lanes} {name} = splat{lanes}(x{number}[0]);"
        if not loops.strides[number][-1]
        else f"fvec{lanes} {name} = splat{lanes}(1.0f);\nmemcpy(&{name}, x{number} + i, bytes);"
        for number, name in enumerate(names)
    )
    return fill(
        """
        int i = $first;
        for (; i + $lanes <= $end; i += $lanes) {
            enum { bytes = sizeof(float) * $lanes };
        $loads
            const fvec$lanes r = $value;
            memcpy(y + i, &r, bytes);
        }
        if (i < $end) {
            const size_t bytes = sizeof(float) * (size_t)($end - i);
        $loads
            const fvec$lanes r = $value;
            memcpy(y + i, &r, bytes);
        }
        """,
        first=first,
        end=end,
        lanes=lanes,
        loads=indent(loads, "    "),
        value=vector_text(lanes, op.expression, names),
    )


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)inputs;
        (void)weights;
        (void)workspace;
    $body
    }
"""
