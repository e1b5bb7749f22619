"""Dense convolutions whose weights may take two bytes: those of a tile of channels are widened once for all pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from codegen.engines.cpu.blocked.conv_source import CHANNELS_OUTER, ConvCode
from codegen.engines.cpu.blocked.conv_tiles import Code, RegisterTiledConv, image_sizes, shared_spans
from codegen.engines.cpu.blocked.narrow import Stored, narrow_axis
from codegen.engines.cpu.instructions import weight_bytes
from codegen.engines.cpu.kernel import checked_workspace
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.threads import PIXELS_SHARED, own_workspace
from codegen.graph import LayerSpec
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.stored_weights import WEIGHTS, weight_type
from codegen.target import WEIGHT_TYPES, Target
from codegen.tensor import FloatArray


class WidenedConv(RegisterTiledConv[Code]):
    """Base of the dense convolutions that widen narrow weights, tiles of channels in the outer loop.

    Each thread widens those of its channels into memory of its own, which the sums of all its pixels read.

    Axes:
        weights: type of the weights as they are stored, where it is not float32
    """

    axis_names: ClassVar[AxisNames] = {**RegisterTiledConv.axis_names, WEIGHTS: WEIGHT_TYPES}

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        leaves_cache = weight_bytes(spec) > target.cpu_l1d_bytes
        return (
            *super().axes(spec, target),
            *(narrow_axis(target, self.lanes(target)) if leaves_cache else ()),
        )

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        return super().refusal(spec, target, point) or self._not_widened(spec, point)

    def _not_widened(self, spec: LayerSpec, point: Point) -> str | None:
        if not Stored(point.get(WEIGHTS, "float32")).is_narrow:
            return None
        if point["outer"] != CHANNELS_OUTER:
            return "weights would be widened for each tile of pixels"
        return checked_workspace(point["threads"] * _wide_bytes(self.code(spec, point, "kernel")))

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        work, stored = super().work(spec, target, choice), Stored(weight_type(choice))
        if not stored.is_narrow:
            return work
        elements = spec.weights[0].elements
        widened = elements * (choice.threads if choice.splits["shared"] == PIXELS_SHARED else 1)
        saved = stored.saved_bytes(elements)
        code = self.code(spec, {**choice.splits, **choice.tiles}, "kernel")
        return replace(
            work,
            alu_instructions=work.alu_instructions + widened,
            load_instructions=work.load_instructions + widened,
            store_instructions=work.store_instructions + widened,
            unique_bytes_read=work.unique_bytes_read - saved,
            streamed_bytes_read=work.streamed_bytes_read - saved,
            workspace_bytes=float(choice.threads * _wide_bytes(code)),
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        stored = Stored(weight_type(choice))
        if not stored.is_narrow:
            return super().emit(spec, target, choice, weights, entry)
        code = self.code(spec, {**choice.splits, **choice.tiles}, entry)
        registers = self.registers(target)
        code = replace(code, by_element=registers.scheduled, ordered=registers.ordered, widened=True)
        share, (b_first, b_end, t_first, t_end) = shared_spans(code, choice)
        sizes, batch = image_sizes(spec, choice), spec.output.shape[0]
        source = fill(
            _ENTRY,
            entry=entry,
            share=share.declaration,
            wide=own_workspace(choice.threads, _wide_bytes(code)),
            narrow=stored.weights,
            lanes=code.lanes,
            vector=stored.vector(code.lanes, "narrow + i"),
            b_first=b_first,
            b_end=b_end,
            blocks=code.blocks,
            block_weights=code.block_weights,
            batch=batch,
            input=sizes[0] // batch,
            output=sizes[1] // batch,
            first_row=self.first_row,
            bias=stored.bias_place(code.weights_size),
            tiles=f"{t_first}, {t_end}",
        )
        return CpuProgram(
            source=self.text(code) + stored.prologue(code.lanes) + source,
            entry=entry,
            weights=stored.packed(self.pack(weights, code), code.weights_size),
            input_sizes=sizes[:1],
            output_sizes=sizes[1:],
            workspace_bytes=choice.threads * _wide_bytes(code),
            threads=choice.threads,
        )


def _wide_bytes(code: ConvCode) -> int:
    """The weights of a tile of channels as floats."""
    return round_up(FLOAT_BYTES * min(code.blocks, code.out_blocks) * code.block_weights, 64)


_ENTRY = """
    static void ${entry}_widen(const uint16_t *restrict narrow, float *restrict wide, int count)
    {
        for (int i = 0; i < count; i += $lanes)
            *(vec$lanes *)(wide + i) = $vector;
    }

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0], *const wide = $wide;
        const uint16_t *const narrow = $narrow;
        $share
        for (int b = $b_first; b < $b_end; b += $blocks) {
            const int b_end = b + $blocks < $b_end ? b + $blocks : $b_end;
            ${entry}_widen(narrow + b * $block_weights, wide, (b_end - b) * $block_weights);
            for (int n = 0; n < $batch; ++n)
                ${entry}_span(inputs[0] + n * $input, $first_row wide, weights + $bias,
                              output + n * $output, $first_row b, b_end, $tiles);
        }
    }
"""
