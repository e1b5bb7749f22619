"""Chains of a pointwise convolution, the expansion, and the depthwise one that reads it: see the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import gcd
from typing import ClassVar

import numpy as np

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.expanded_bands import (
    COPY,
    INPUT,
    ONCE,
    SOURCES,
    Band,
    Expanded,
    Task,
    Walk,
    block_of,
    group_lines,
    has_kernel,
)
from codegen.engines.videocore4.algorithms.geometry import (
    busiest_share,
    dealt,
    starts,
)
from codegen.engines.videocore4.algorithms.images import for_each_image, images_of, work_of_images
from codegen.engines.videocore4.algorithms.phased import both
from codegen.engines.videocore4.algorithms.pixel_source import PixelSource
from codegen.engines.videocore4.kernels.expand_depthwise import check, expand_depthwise_kernel
from codegen.engines.videocore4.kernels.expand_form import (
    KEPT_ROW,
    KEPT_ROWS,
    LEAST_CHANNELS,
    MOST_CHANNELS,
    TAPS,
    Form,
    step_instructions,
)
from codegen.engines.videocore4.kernels.pieces import VPM_ROWS, dma_store_rows, vpm_write_rows
from codegen.engines.videocore4.kernels.row_pieces import PIECES, vpm_columns
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES
from codegen.schedule import Axis, AxisNames, Choice, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray

ROWS = (1, 2, 3)
PIXELS = (4, 5, 6, 7, 8, 10, 14)
_TASK_WORDS = 4  # once, beside the input's addresses
_KEPT_SLOTS = (VPM_ROWS - KEPT_ROW) // KEPT_ROWS


class QpuExpandDepthwise(AlgorithmBase):
    """A pointwise convolution of few channels, clamped from 0 on, and the 3x3 depthwise one with stride 1 or 2 that
    reads it, in one kernel: what lies between them is never stored.

    Axes:
        rows: output rows of a band, along which a task of 16 channels goes
        pixels: columns of it that are stored together
        source: where pixels are read: from the input, 16 lines a time; from a copy that is written first, in which the
            channels of a pixel lie beside each other; or each row of the input once, with stride 2, what it adds to the
            outputs above being kept in memory until their other rows come
    """

    name = "qpu_expand_depthwise"
    engine: str = "videocore4"
    axis_names: ClassVar[AxisNames] = {"source": SOURCES}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Expanded.of(spec)
        return (
            found is not None
            and target.has_qpus
            and found.window.strides in ((1, 1), (2, 2))
            and LEAST_CHANNELS <= found.expansion.input_channels <= MOST_CHANNELS
            and found.window.output_channels >= LANES
            and bool(_forms(found, spec, target))
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        forms = _forms(Expanded.require(spec), spec, target)
        return Space(
            (
                Axis("rows", tuple(sorted({form.rows for form in forms}))),
                Axis("pixels", tuple(sorted({form.pixels for form in forms}))),
                Axis("source", SOURCES),
            )
        )

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        found = Expanded.require(spec)
        if point["source"] == ONCE and _is_refused_once(found, spec, target, point):
            raise ScheduleError(
                f"{self.name}: what rows add to outputs above has no place in {spec.describe()}"
            )
        check(found.form(point, spec, target))
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values({}),
            tile=values({axis: point[axis] for axis in ("rows", "pixels", "source")}),
            input_layouts=("pixel16",),
            output_layouts=("pixel16",),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        found = Expanded.require(spec)
        form, window, expansion = found.form(choice.tiles, spec, target), found.window, found.expansion
        if form.once:
            shares = shared_rows(window.output_rows, len(found.groups), target.qpus)
            own = [sum(len(rows) + 1 for _, rows in share) for share in shares]
            count, balance = sum(own), busiest_share(own)
        else:
            count = len(starts(window.output_rows, form.rows)) * len(found.groups)
            balance = busiest_share(dealt(count, target.qpus))
        walk = Walk.of(window, form)
        steps, stores = sum(walk.steps), len(walk.steps)
        lines = len(form.vectors) + 2 + len(form.weights) + TAPS * TAPS
        results = steps if form.once else stores * form.rows * form.pixels
        kept_bytes = float(LINE_BYTES * window.output_pixels * len(found.groups) * form.once)
        moved = form.rows_stored * (form.pixels - form.unrolled) * steps / form.unrolled
        pixels = steps * len(form.step)
        input_bytes = spec.inputs[0].size_bytes // images_of(spec)
        read_rows = count / len(found.groups) * len(form.step) / form.stride / expansion.input_rows
        work = Work(
            macs=float(spec.macs // images_of(spec)),
            alu_instructions=count
            * (
                steps * (step_instructions(form) + 8.0)
                + 0.5 * moved
                + 2.0 * results
                + 30.0 * stores
                + 80.0
                + 3 * lines
            ),
            load_instructions=float(count * (pixels * len(form.vectors) + lines)),
            uniform_words=float(count * (2 * pixels + stores * (6 * form.rows + 4) + 10)),
            store_instructions=float(count * results),
            dma_stores=float(count * stores * form.rows_stored * PIECES),
            unique_bytes_read=float(input_bytes + sum(tensor.size_bytes for tensor in spec.weights)),
            streamed_bytes_read=input_bytes * read_rows * -(-len(found.groups) // target.qpus)
            + float(count * lines * LINE_BYTES)
            + kept_bytes,
            bytes_written=float(WORD_BYTES * window.output_pixels * window.output_channels) + kept_bytes,
            balance=balance,
            working_set_bytes=float(2 * form.input_rows * form.channels * LINE_BYTES * target.qpus),
        )
        if choice.tiles["source"] == COPY:
            work = both(work, _source(found, form, choice).copying())
        return work_of_images(work, spec)

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        found = Expanded.require(spec)
        form = found.form(choice.tiles, spec, target)
        source = _source(found, form, choice)
        if form.once:
            return _once(found, form, source, weights, target, output_lines)
        stored = found.window.within(output_lines)
        packed = [group_lines(form, source, weights, channel) for channel in found.groups]
        group_bytes = packed[0].nbytes
        size = group_bytes * len(packed)
        streams: dict[bytes, int] = {}  # where they lie
        tasks: list[Task] = []
        for row in starts(stored.output_rows, form.rows):
            band = Band(found, stored, form, source, row)
            stream = band.stream()
            image = stream.tobytes()
            if image not in streams:
                streams[image] = size
                packed.append(stream)
                size += stream.nbytes
            tasks += [
                Task(
                    Address("weights", group * group_bytes),
                    tuple(source.of_vector(v, band.first_pixel) for v in range(len(form.vectors))),
                    Address("output", band.output_bytes + LINE_BYTES * channel),
                    Address("weights", streams[image]),
                )
                for group, channel in enumerate(found.groups)
            ]
        own = [vpm_columns(q, form.pixels) if form.own else () for q in range(target.qpus)]
        blocks = [
            block_of([replace(task, own=own[q]) for task in tasks[q :: target.qpus]])
            for q in range(target.qpus)
        ]
        code = expand_depthwise_kernel(form).words
        layer = QpuLayer(code, np.concatenate(packed), tuple(blocks))
        layer = for_each_image(layer, spec, choice, output_lines, source.copy_bytes)
        if not source.copied:
            return layer
        size = source.copy_bytes * images_of(spec)
        copy = source.copy(target, images_of(spec))
        return replace(copy, then=replace(layer, scratch_bytes=size), scratch_bytes=size)


def _is_refused_once(found: Expanded, spec: LayerSpec, target: Target, point: Point) -> bool:
    window = found.window
    return (
        window.strides != (2, 2)
        or window.pads[1] > 1
        or point["rows"] != 1
        or point["pixels"] % KEPT_ROWS != 0
        or target.qpus > _KEPT_SLOTS
        or images_of(spec) != 1
    )


def _once(
    found: Expanded,
    form: Form,
    source: PixelSource,
    weights: Sequence[FloatArray],
    target: Target,
    output_lines: int | None,
) -> QpuLayer:
    """Each QPU goes down rows of a group, and expands each row of the input once but where it begins."""
    stored = found.window.within(output_lines)
    rows, row_bytes = stored.output_rows, LINE_BYTES * stored.output_columns
    packed = [group_lines(form, source, weights, channel) for channel in found.groups]
    group_bytes = packed[0].nbytes
    size = group_bytes * len(packed)
    streams: dict[bytes, int] = {}
    blocks: list[tuple[Uniform, ...] | None] = []
    for q, shares in enumerate(shared_rows(rows, len(found.groups), target.qpus)):
        passes = [(group, own, row) for group, own in shares for row in range(own.start, own.stop + 1)]
        slot = KEPT_ROWS * (q % _KEPT_SLOTS)
        vpm = vpm_write_rows(KEPT_ROW + slot), dma_store_rows(slot, 0, 0) - dma_store_rows(0, 0, 0)
        task_words = _TASK_WORDS + len(form.vectors)
        behind = len(passes) * (task_words + 2)
        tasks: list[Task] = []
        lines: list[Uniform] = []
        for number, (group, own, row) in enumerate(passes):
            first = rows * group
            band = Band(found, stored, form, source, row - 1, row > own.start, row < own.stop)
            stream = band.stream()
            image = stream.tobytes()
            if image not in streams:
                streams[image] = size
                packed.append(stream)
                size += stream.nbytes
            above = first + row - 1 if row > own.start else rows * len(found.groups)  # a row never written
            tasks.append(
                Task(
                    Address("weights", group * group_bytes),
                    tuple(source.of_vector(v, band.first_pixel) for v in range(len(form.vectors))),
                    Address("block", WORD_BYTES * (behind + len(lines))),
                    Address("weights", streams[image]),
                    (Address("scratch", row_bytes * above),),
                )
            )
            lines += [
                *vpm,
                Address("output", band.output_bytes + LINE_BYTES * found.groups[group]),
                Address("scratch", row_bytes * (first + min(row, rows - 1))),
                Address("block", WORD_BYTES * (number * (task_words + 2) + task_words + 1)),
            ]
        block = block_of(tasks)
        blocks.append(None if block is None else (*block, *lines))
    kept_bytes = row_bytes * (rows * len(found.groups) + 1)
    code = expand_depthwise_kernel(form).words
    return QpuLayer(code, np.concatenate(packed), tuple(blocks), scratch_bytes=kept_bytes)


def shared_rows(rows: int, groups: int, qpus: int) -> list[list[tuple[int, range]]]:
    """Of each QPU (group, rows), as many of each as there may be: neighbours have the same rows of other groups, whose
    lines they share.
    """
    parts = min(rows, qpus // gcd(groups, qpus))
    ends = [rows * part // parts for part in range(parts + 1)]
    every = [(group, range(first, end)) for first, end in pairwise(ends) for group in range(groups)]
    return [every[q::qpus] for q in range(qpus)]


def _source(found: Expanded, form: Form, choice: Choice) -> PixelSource:
    return PixelSource(found.expansion, form.vectors, choice.tiles["source"] == COPY)


def _forms(found: Expanded, spec: LayerSpec, target: Target) -> list[Form]:
    """Those that have a kernel."""
    window = found.window
    forms = (
        found.form({"rows": rows, "pixels": pixels, "source": INPUT}, spec, target)
        for rows in ROWS
        if rows <= window.output_rows
        for pixels in PIXELS
        if pixels <= max(window.output_columns, min(PIXELS))
    )
    return [form for form in forms if has_kernel(form)]
