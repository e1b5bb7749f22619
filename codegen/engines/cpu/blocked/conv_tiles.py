"""Convolutions that hold a tile of pixels by blocks of output channels in registers: space, shares, work, program."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.conv_source import CHANNELS_OUTER, PIXELS_OUTER, ConvCode
from codegen.engines.cpu.blocked.kernel import BlockedKernel, blocks_of
from codegen.engines.cpu.instructions import Count, epilogue_instructions, input_bytes, loads_of, weight_bytes
from codegen.engines.cpu.machine import FLOAT_BYTES, TileRegisters, cache_bytes
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import (
    PIXELS_SHARED,
    SHARED_NAMES,
    Share,
    nothing_shared,
    shared_axis,
    threads_axis,
)
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

BLOCKS = (1, 2, 3, 4)
WIDTHS = 2  # of tiles, for each number of blocks: the widest that fits and the next that cuts evenly

Code = TypeVar("Code", bound=ConvCode)


class RegisterTiledConv(BlockedKernel, Generic[Code]):
    """Base of the dense convolutions of `pixels` outputs by `blocks` blocks of output channels in registers.

    `outer` is walked in the outer loop: tiles of pixels (the weights are passed over for each) or tiles of channels
    (the inputs are); `shared` is what threads share out.

    Axes:
        pixels: outputs whose sums are in registers at once, of each channel
        blocks: blocks of output channels whose sums are in registers at once
        outer: what the outer loop walks: pixels (the weights are passed over again for each tile) or channels (the
            activations are)
        shared: what the threads share out: pixels (or rows) of all channels, or all pixels of some channels
    """

    axis_names: ClassVar[AxisNames] = {**SHARED_NAMES, "outer": (PIXELS_OUTER, CHANNELS_OUTER)}

    first_row = ""
    """C arguments that say with which row the pictures begin, where the kernel's span function has them."""

    @abstractmethod
    def widths(self, spec: LayerSpec, blocks: int, registers: TileRegisters) -> tuple[int, ...]:
        """Widths of tiles worth trying with so many blocks of output channels."""

    @abstractmethod
    def code(self, spec: LayerSpec, point: Point, entry: str) -> Code:
        """What the text at a point depends on."""

    @abstractmethod
    def text(self, code: Code) -> str:
        """The C text of `<entry>_span`."""

    @abstractmethod
    def pack(self, weights: Sequence[FloatArray], code: Code) -> FloatArray:
        """Weights in the order that the text reads them, then the bias."""

    def input_axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        """Axes that choose how the input lies or is found."""
        return ()

    def count_tiles(self, count: Count, code: Code, tiles: float, target: Target) -> None:
        """Adds the instructions of so many register tiles to the count."""
        steps = tiles * code.channels * code.taps
        count.add_tiles(steps, code.pixels, code.blocks * code.lanes, target, self.registers(target).ordered)

    def packed_bytes(self, spec: LayerSpec, target: Target, code: Code) -> int:
        """Bytes of the weights as the kernel reads them."""
        return weight_bytes(spec)

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Conv2d) and spec.op.groups == 1

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        widths = self.widths_of_blocks(spec, target)
        pixels = sorted({width for several in widths.values() for width in several})
        return (
            self.lanes_axis(target),
            Axis("pixels", tuple(pixels)),
            Axis("blocks", tuple(widths)),
            Axis("outer", (PIXELS_OUTER, CHANNELS_OUTER)),
            *self.input_axes(spec, target),
            shared_axis(target),
            threads_axis(target),
        )

    def widths_of_blocks(self, spec: LayerSpec, target: Target) -> dict[int, tuple[int, ...]]:
        """The numbers of blocks that a tile may have, and the widths worth trying with each."""
        most = blocks_of(spec.output.shape[1], self.lanes(target))
        every = {b: self.widths(spec, b, self.registers(target)) for b in BLOCKS if b <= most}
        return {blocks: widths for blocks, widths in every.items() if widths}

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return conv_share(self.code(spec, point, "kernel"), point["shared"], point["threads"]).pieces

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        if point["pixels"] not in self.widths(spec, point["blocks"], self.registers(target)):
            return "tiles of that width leave registers unused, or want more than there are"
        return nothing_shared(point)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        code = self.code(spec, {**choice.splits, **choice.tiles}, "kernel")
        cache, batch, lanes = cache_bytes(target), spec.output.shape[0], code.lanes
        shared, outer = choice.splits["shared"], choice.tiles["outer"]
        channel_tiles = -(-code.out_blocks // code.blocks)
        count = Count()
        self.count_tiles(count, code, float(batch * code.tile_count * channel_tiles), target)
        outputs = batch * code.out_blocks * lanes * code.windows.rows.outputs * code.windows.columns.outputs
        count.add(float(outputs), alu=epilogue_instructions(spec), stores=1)
        readers = (choice.threads, 1) if shared == PIXELS_SHARED else (1, choice.threads)
        passes = (code.tile_count, 1) if outer == PIXELS_OUTER else (1, channel_tiles)
        streamed = readers[0] * loads_of(
            self.packed_bytes(spec, target, code), batch * passes[0] / readers[0], cache
        )
        streamed += readers[1] * loads_of(input_bytes(spec), passes[1] / readers[1], cache)
        held = (
            FLOAT_BYTES
            * code.channels
            * (code.taps * code.blocks * lanes + code.windows.rows.taps * code.pixels)
        )
        macs = float(spec.output.elements * code.channels * code.taps)
        balance = conv_share(code, shared, choice.threads).balance
        return count.work(spec, macs, streamed, held, balance=balance)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        code = self.code(spec, {**choice.splits, **choice.tiles}, entry)
        registers = self.registers(target)
        code = replace(code, by_element=registers.scheduled, ordered=registers.ordered)
        share, spans = shared_spans(code, choice)
        sizes = image_sizes(spec, choice)
        batch = spec.output.shape[0]
        source = self.text(code) + fill(
            _ENTRY,
            entry=entry,
            share=share.declaration,
            batch=batch,
            input=sizes[0] // batch,
            output=sizes[1] // batch,
            first_row=self.first_row,
            bias=code.weights_size,
            spans=", ".join(spans),
        )
        return CpuProgram(
            source=source,
            entry=entry,
            weights=self.pack(weights, code),
            input_sizes=(sizes[0],),
            output_sizes=(sizes[1],),
            workspace_bytes=0,
            threads=choice.threads,
        )


def even_widths(outputs: int, widest: int) -> tuple[int, ...]:
    """Widths of the fewest tiles of at most so many pixels that cut `outputs` evenly, and of one more tile; none where
    none fits.

    A row is cut evenly, so that of two widths which need as many tiles the smaller is as good.
    """
    fewest = -(-outputs // max(1, widest))
    widths = {-(-outputs // count) for count in range(fewest, fewest + WIDTHS)}
    return tuple(sorted(widths)) if widest > 0 else ()


def shared_spans(code: ConvCode, choice: Choice) -> tuple[Share, tuple[str, str, str, str]]:
    """What threads share, and in C of which blocks and tiles each begins and ends."""
    share = conv_share(code, choice.splits["shared"], choice.threads)
    if choice.splits["shared"] == PIXELS_SHARED:
        return share, ("0", str(code.out_blocks), share.first, share.end)
    return share, (share.first, share.end, "0", str(code.tile_count))


def image_sizes(spec: LayerSpec, choice: Choice) -> tuple[int, int]:
    """Elements of the first input and of the output as they lie."""
    source, result = layout_named(choice.input_layouts[0]), layout_named(choice.output_layout)
    return source.elements(spec.inputs[0]), result.elements(spec.output)


def conv_share(code: ConvCode, shared: str, threads: int) -> Share:
    """What threads share of a convolution: its tiles, or blocks of output channels."""
    if shared == PIXELS_SHARED:
        return Share(code.tile_count, threads)
    return Share(code.out_blocks, threads, code.blocks)


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)workspace;
        for (int n = 0; n < $batch; ++n)
            ${entry}_span(inputs[0] + n * $input, $first_row weights, weights + $bias,
                          output + n * $output, $first_row $spans);
    }
"""
