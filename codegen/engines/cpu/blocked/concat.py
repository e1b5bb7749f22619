"""Tensors behind each other along the channels: whole blocks are copied, others shifted into place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocks_of
from codegen.engines.cpu.instructions import ADDRESS_INSTRUCTIONS, LOOP_INSTRUCTIONS, Count
from codegen.engines.cpu.layout import BLOCKED_TYPES
from codegen.engines.cpu.source import element_header, element_pointer, fill
from codegen.engines.cpu.threads import Share, threads_axis
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.operators.concat import Concat
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

PIXELS = 128  # moved at once: pieces of one block follow each other while it is in the nearest cache
CALL_INSTRUCTIONS = 20.0  # entering and leaving a move


@dataclass(frozen=True)
class Piece:
    """`count` neighbouring channels of each pixel that go from one block of an input (None: zeros) to one of the
    output; first channels as lanes of their blocks.
    """

    input: int | None
    source_block: int
    source_lane: int
    block: int
    lane: int
    count: int


class CpuBlockedConcat(BlockedKernel):
    """A piece of a block after another; threads share the pixels of every piece."""

    name = "cpu_blocked_concat"
    element_types: ClassVar[frozenset[str]] = BLOCKED_TYPES

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Concat) and spec.op.axis == 1

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return self.lanes_axis(target), threads_axis(target)

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return _share(spec, point["threads"]).pieces

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        batch, _, pixels = plane(spec.output)
        share = _share(spec, choice.threads)
        moves = list(pieces_of(spec, choice.tiles["lanes"]))
        count = Count()
        count.add_copy(float(batch * pixels * sum(piece.count for piece in moves)))
        calls = float(batch * len(moves) * (choice.threads + share.count // PIXELS))
        count.add(calls, alu=CALL_INSTRUCTIONS + LOOP_INSTRUCTIONS + ADDRESS_INSTRUCTIONS)
        return count.work(spec, 0.0, 0.0, 0.0, balance=share.balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        lanes = choice.tiles["lanes"]
        batch, channels, pixels = plane(spec.output)
        moves = list(pieces_of(spec, lanes))
        share, element = _share(spec, choice.threads), spec.output.element_type.c_type
        rows = []
        for piece in moves:
            blocks = 0 if piece.input is None else blocks_of(spec.inputs[piece.input].shape[1], lanes)
            name = f"{entry}_{'clear' if piece.input is None else 'move'}{piece.count}"
            read = piece.source_block * pixels * lanes + piece.source_lane
            written = piece.block * pixels * lanes + piece.lane
            rows.append(f"{{{name}, {piece.input or 0}, {blocks * pixels * lanes}, {read}, {written}}}")
        counts = sorted({(piece.input is None, piece.count) for piece in moves})
        functions = [
            fill(_CLEAR if clears else _MOVE, entry=entry, element=element, count=count, lanes=lanes)
            for clears, count in counts
        ]
        source = fill(
            _SOURCE,
            entry=entry,
            share=share.declaration,
            first=share.first,
            end=share.end,
            lanes=lanes,
            batch=batch,
            moves=len(moves),
            some=PIXELS,
            rows=",\n        ".join(rows),
            element=element,
            inputs=element_pointer("inputs[m->input]", element),
            outputs=element_pointer("outputs[0]", element, written=True),
            image=blocks_of(channels, lanes) * pixels * lanes,
        )
        layout = layout_named(choice.output_layout)
        return CpuProgram(
            source="".join(["#include <string.h>\n", element_header(element), *functions, source]),
            entry=entry,
            weights=np.zeros(0, dtype=np.float32),
            input_sizes=tuple(layout.elements(tensor) for tensor in spec.inputs),
            output_sizes=(layout.elements(spec.output),),
            workspace_bytes=0,
            threads=choice.threads,
        )


def pieces_of(spec: LayerSpec, lanes: int) -> Iterator[Piece]:
    """What each block of the output is made of, in order; zeros fill the last."""
    start = 0
    for index, tensor in enumerate(spec.inputs):
        channel, end = 0, tensor.shape[1]
        while channel < end:
            lane, source_lane = (start + channel) % lanes, channel % lanes
            count = min(lanes - lane, lanes - source_lane, end - channel)
            yield Piece(index, channel // lanes, source_lane, (start + channel) // lanes, lane, count)
            channel += count
        start += end
    if start % lanes:
        yield Piece(None, 0, 0, start // lanes, start % lanes, lanes - start % lanes)


def _share(spec: LayerSpec, threads: int) -> Share:
    return Share(plane(spec.output)[2], threads)


_MOVE = """
    static void ${entry}_move$count(const $element *restrict x, $element *restrict y, int pixels)
    {
        for (int p = 0; p < pixels; ++p)
            memcpy(y + p * $lanes, x + p * $lanes, $count * sizeof *y);
    }
"""

_CLEAR = """
    static void ${entry}_clear$count(const $element *restrict x, $element *restrict y, int pixels)
    {
        (void)x;
        for (int p = 0; p < pixels; ++p)
            memset(y + p * $lanes, 0, $count * sizeof *y);
    }
"""

_SOURCE = """
    static const struct {
        void (*move)(const $element *restrict, $element *restrict, int);
        int input, image, from, to;
    } ${entry}_moves[$moves] = {
        $rows
    };

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        $element *const output = $outputs;
        $share
        (void)weights;
        (void)workspace;
        for (int n = 0; n < $batch; ++n)
            for (int p = $first; p < $end; p += $some) {
                const int pixels = $end - p < $some ? $end - p : $some;
                for (int i = 0; i < $moves; ++i) {
                    __typeof__(&${entry}_moves[0]) m = &${entry}_moves[i];
                    m->move($inputs + n * m->image + m->from + p * $lanes,
                            output + n * $image + m->to + p * $lanes, pixels);
                }
            }
    }
"""
