"""Depth first: a chain of layers by bands of rows, so that what lies between them stays in the nearest cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from codegen.engine_registry import layout_named
from codegen.engines.cpu.blocked.bands import BANDS_TEXT, Bands
from codegen.engines.cpu.blocked.chain_stages import (
    Stage,
    StageCode,
    count_stage,
    packed_stage,
    stage_call,
    stage_code,
    stages_of,
)
from codegen.engines.cpu.blocked.conv_source import CHANNELS_OUTER, PIXELS_OUTER
from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.kernel import (
    IN_BLOCKS,
    INPUT_NAMES,
    ROW_MAJOR,
    BlockedKernel,
    blocked_layout,
    blocks_of,
)
from codegen.engines.cpu.instructions import Count, input_bytes, loads_of, weight_bytes
from codegen.engines.cpu.kernel import checked_workspace
from codegen.engines.cpu.machine import FLOAT_BYTES, TileRegisters, cache_bytes, is_scalar
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.sparse.chain_stage import SparseCode
from codegen.engines.cpu.threads import LINE, Share, own_workspace, threads_axis
from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.program import CpuProgram
from codegen.schedule import Axis, AxisNames, Choice, Point, Work
from codegen.target import Target
from codegen.tensor import FloatArray

BAND_ROWS = (1, 2, 4, 8, 16)
RECOMPUTED, KEPT = "recomputed", "kept"
MULTIPLIED, SKIPPED = "multiplied", "skipped"


class CpuBlockedChain(BlockedKernel):
    """`band` rows of the last layer at a time; every layer before it computes the rows which these need.

    Rows that two bands need, their `halos`, are kept (moved to the top of their buffer) or recomputed. `outer` is
    that of the dense convolutions, whose register tiles follow from their shapes. Threads share the last layer's rows.

    Axes:
        band: rows of the last layer that are computed at a time
        halos: rows that two bands need: kept, or recomputed
        outer: what the outer loop walks: pixels (the weights are passed over again for each tile) or channels (the
            activations are)
        input: how the first input lies: in blocks (channel<lanes>) or row_major (nchw)
        zeros: of weights of pointwise layers: multiplied, or skipped by instructions made of the pattern; where the
            target has those and a layer has zeros
    """

    name = "cpu_blocked_chain"
    axis_names: ClassVar[AxisNames] = {
        "halos": (RECOMPUTED, KEPT),
        "outer": (PIXELS_OUTER, CHANNELS_OUTER),
        "zeros": (MULTIPLIED, SKIPPED),
        **INPUT_NAMES,
    }

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Chain) and stages_of(spec.op) is not None and not is_scalar(target)

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        height, stages = spec.output.shape[2], _stages(spec)
        bands = (*(rows for rows in BAND_ROWS if rows < height), height) if len(stages) > 1 else (height,)
        overlaps = any(stage.windows.rows.taps > stage.windows.rows.stride for stage in stages[1:])
        fills_block = spec.inputs[0].shape[1] >= self.lanes(target)
        source = IN_BLOCKS if fills_block or not stages[0].is_dense else ROW_MAJOR
        skips = self.registers(target).scheduled and any(stage.can_skip for stage in stages)
        return (
            self.lanes_axis(target),
            *((Axis("zeros", (MULTIPLIED, SKIPPED)),) if skips else ()),
            Axis("band", bands),
            Axis("halos", (RECOMPUTED, KEPT) if overlaps else (KEPT,)),
            Axis("outer", (PIXELS_OUTER, CHANNELS_OUTER)),
            Axis("input", (source,)),
            threads_axis(target),
        )

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        name = blocked_layout(point["lanes"])
        first = "nchw" if point["input"] == ROW_MAJOR else name
        return (first, *(name,) * (len(spec.inputs) - 1)), name

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        return spec.output.shape[2]

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        plan = _ChainPlan(spec, point, "chain", self.registers(target))
        if point["band"] * point["threads"] > spec.output.shape[2] and point["band"] < spec.output.shape[2]:
            return "a thread's share of rows is less than a band"
        if point["input"] == ROW_MAJOR and any(0 in sources for sources in _chain(spec).sources[1:]):
            return "the input is added to blocks of channels, and is row-major"
        if point["halos"] == RECOMPUTED and all(len(bands) <= 1 for bands in map(plan.bands_of, plan.shares)):
            return "one band overlaps with no other"
        return checked_workspace(point["threads"] * plan.workspace_bytes)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        plan = _ChainPlan(spec, {**choice.splits, **choice.tiles}, "chain", self.registers(target))
        batch, cache = spec.output.shape[0], cache_bytes(target)
        count, macs, zeros = Count(), 0.0, 0
        for stage, code, rows in zip(plan.stages, plan.codes, plan.bands.computed(plan.shares), strict=True):
            count_stage(count, code, stage, batch * rows, target)
            op_macs = stage.spec.weights[0].elements if stage.weights else 0
            if isinstance(code, SparseCode):
                assert stage.spec.sparsity is not None
                zeros += op_macs - stage.spec.sparsity.weights
                op_macs = stage.spec.sparsity.weights
            macs += float(op_macs) * batch * np.prod(stage.spec.output.shape[2:])
        bands = sum(len(plan.bands_of(share)) for share in plan.shares)
        constants = weight_bytes(spec) - FLOAT_BYTES * zeros
        streamed = loads_of(constants, batch * bands, cache) + input_bytes(spec)
        outputs = float(spec.output.elements)
        count.add(outputs, stores=1)
        count.alu = max(count.alu, macs)
        return count.work(
            spec,
            macs,
            streamed,
            float(plan.workspace_bytes + constants),
            constant_bytes=constants,
            balance=Share(spec.output.shape[2], choice.threads).balance,
            workspace_bytes=choice.threads * plan.workspace_bytes,
        )

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        plan = _ChainPlan(spec, {**choice.splits, **choice.tiles}, entry, self.registers(target))
        parts, texts, offsets, size, left = [], [], [], 0, list(weights)
        for stage, code in zip(plan.stages, plan.codes, strict=True):
            text, packed, bias = packed_stage(code, left[: stage.weights])
            texts.append(text)
            left = left[stage.weights :]
            offsets.append((size, size + bias))
            padded = np.zeros(round_up(packed.size, LINE), dtype=np.float32)
            padded[: packed.size] = packed
            parts.append(padded)
            size += padded.size
        layouts = (*choice.input_layouts, choice.output_layout)
        sizes = [
            layout_named(layout).elements(tensor)
            for layout, tensor in zip(layouts, (*spec.inputs, spec.output), strict=True)
        ]
        return CpuProgram(
            source="".join(texts) + _text(plan, choice.threads, offsets, sizes),
            entry=entry,
            weights=np.concatenate(parts),
            input_sizes=tuple(sizes[:-1]),
            output_sizes=(sizes[-1],),
            workspace_bytes=choice.threads * plan.workspace_bytes,
            threads=choice.threads,
        )


@dataclass(frozen=True)
class _ChainPlan:
    """Stages, their buffers of lines and their code at a point of the space."""

    spec: LayerSpec
    point: Point
    entry: str
    registers: TileRegisters

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        return _stages(self.spec)

    @cached_property
    def bands(self) -> Bands:
        windows = tuple(stage.windows.rows for stage in self.stages)
        return Bands(windows, self.point["band"], self.point["halos"] == KEPT)

    @cached_property
    def shares(self) -> tuple[tuple[int, int], ...]:
        """The rows [first, end) of every thread."""
        height, threads = self.spec.output.shape[2], self.point["threads"]
        return tuple((part * height // threads, (part + 1) * height // threads) for part in range(threads))

    def bands_of(self, share: tuple[int, int]) -> range:
        return range(*share, self.point["band"])

    @cached_property
    def images(self) -> tuple[Image, ...]:
        """The pictures that the stages write: buffers of lines, and the output."""
        rows = (*self.bands.capacities(self.shares)[:-1], self.spec.output.shape[2])
        return tuple(
            Image.blocked(self.point["lanes"], count, stage.windows.columns.outputs)
            for count, stage in zip(rows, self.stages, strict=True)
        )

    @cached_property
    def codes(self) -> tuple[StageCode, ...]:
        _, channels, height, width = self.spec.inputs[0].shape
        first = (
            Image.row_major(channels, height, width)
            if self.point["input"] == ROW_MAJOR
            else Image.blocked(self.point["lanes"], height, width)
        )
        sources = (first, *self.images[:-1])
        return tuple(
            stage_code(
                stage, f"{self.entry}_s{i}", source, result, self.point["outer"], self.registers, self.skips
            )
            for i, (stage, source, result) in enumerate(zip(self.stages, sources, self.images, strict=True))
        )

    @property
    def skips(self) -> bool:
        return self.point.get("zeros") == SKIPPED

    @property
    def scratch_elements(self) -> int:
        """For operands of a layer whose zeros are skipped."""
        return max((code.planes.elements for code in self.codes if isinstance(code, SparseCode)), default=0)

    @cached_property
    def buffer_sizes(self) -> tuple[int, ...]:
        """Elements of every buffer of lines, whole cache lines."""
        return tuple(
            round_up(blocks_of(stage.spec.output.shape[1], image.lanes) * image.block, LINE)
            for stage, image in zip(self.stages[:-1], self.images[:-1], strict=True)
        )

    @property
    def workspace_bytes(self) -> int:
        """What one thread needs."""
        return FLOAT_BYTES * (sum(self.buffer_sizes) + round_up(self.scratch_elements, LINE))


def _chain(spec: LayerSpec) -> Chain:
    assert isinstance(spec.op, Chain)
    return spec.op


def _stages(spec: LayerSpec) -> tuple[Stage, ...]:
    stages = stages_of(_chain(spec))
    assert stages is not None
    return stages


def _text(plan: _ChainPlan, threads: int, offsets: Sequence[tuple[int, int]], sizes: Sequence[int]) -> str:
    share = Share(plan.spec.output.shape[2], threads)
    batch, last = plan.spec.output.shape[0], len(plan.stages) - 1
    needed, computed = [], []
    for i in range(last - 1, -1, -1):
        window = plan.stages[i + 1].windows.rows
        reach = (window.taps - 1) * window.dilation + 1
        needed.append(
            f"const lines n{i} = lines_needed(l{i}, n{i + 1}, {window.inputs}, {window.stride}, {window.pad}, {reach}, "
            f"{int(plan.point['halos'] == KEPT)});"
        )
    for i, (stage, code, (weights, bias)) in enumerate(zip(plan.stages, plan.codes, offsets, strict=True)):
        if i < last:
            blocks = blocks_of(stage.spec.output.shape[1], code.result.lanes)
            computed.append(
                f"lines_kept(b{i}, l{i}, n{i}, {blocks}, {code.result.block}, {code.result.row});"
            )
        addend = f"inputs[{stage.addend}] + n * {sizes[stage.addend or 0] // batch}"
        places = (
            f"b{i - 1}" if i else f"inputs[0] + n * {sizes[0] // batch}",
            f"n{i - 1}.base" if i else "0",
            f"weights + {weights}",
            f"weights + {bias}",
            addend,
            f"b{i}" if i < last else f"output + n * {sizes[-1] // batch}",
            f"n{i}.base" if i < last else "0",
        )
        computed.append(stage_call(code, stage, f"n{i}", places))
        if i < last:
            computed.append(f"l{i} = n{i};")
    buffers, offset = [], 0
    for i, size in enumerate(plan.buffer_sizes):
        buffers.append(f"float *const b{i} = buffers + {offset};")
        offset += size
    if plan.skips:
        buffers.append(f"float *const scratch = buffers + {offset};")
    states = [f"lines l{i} = {{0, 0, 0}};" for i in range(last)]
    return fill(
        BANDS_TEXT + _ENTRY,
        entry=plan.entry,
        share=share.declaration,
        first=share.first,
        end=share.end,
        own=own_workspace(threads, plan.workspace_bytes),
        batch=batch,
        band=plan.point["band"],
        last=last,
        buffers="\n    ".join(buffers),
        states="\n        ".join(states),
        needed="\n            ".join(needed),
        computed="\n            ".join(computed),
    )


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        float *const buffers = $own;
        (void)buffers;
        $buffers
        for (int n = 0; n < $batch; ++n) {
            $states
            for (int row = $first; row < $end; row += $band) {
                const lines n$last = {row, row, row + $band < $end ? row + $band : $end};
                $needed
                $computed
            }
        }
    }
"""
