"""Winograd convolution: 3x3 filters as products of transformed tiles, of which there are fewer than of the taps.

Three phases: tiles of the input are transformed, products summed by a pointwise kernel (an element of a tile is a group
of channels of its own, tiles are its pixels), and sums transformed back into their places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.channel_lanes import TransformedProducts
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.phased import Buffer, both, in_scratch
from codegen.engines.videocore4.algorithms.rotated import QpuPointwiseRotated
from codegen.engines.videocore4.algorithms.winograd_transforms import (
    Parts,
    Places,
    around,
    has_transform,
    product_code,
    work_of_transforms,
)
from codegen.engines.videocore4.cut_sums import made_up_for
from codegen.engines.videocore4.kernels.winograd_form import POINTS, Form, element_order
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LINE_BYTES, block_lines
from codegen.graph import LayerSpec
from codegen.schedule import Axis, AxisNames, Candidate, Choice, Phase, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.winograd import TAPS, TILES, transformed_filters

_HEAD_WORDS = 2  # of a block of the products: where its tiles' words are, and how many tiles


class _Winograd(AlgorithmBase):
    """F(`tile` x `tile`, 3 x 3) around an algorithm of the products, which has the other axes.

    Axes:
        tile: rows and columns of outputs of a transformed tile
        pixel_tiles: tiles of the products, of several transformed tiles each, that QPUs multiply at the same time; they
            share the channels among them
        channels: output channels of a tile of the products
        neighbours: what QPUs that share caches differ in then
    """

    engine: str = "videocore4"
    takes_residuals = True
    _products: QpuPointwiseRotated | TransformedProducts

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Convolution.of(spec)
        if found is None or not target.has_qpus:
            return False
        op = found.op
        return (
            op.kernel == (TAPS, TAPS)
            and op.strides == op.dilations == (1, 1)
            and op.groups == 1
            and bool(self._tiles(spec, target))
        )

    def _tiles(self, spec: LayerSpec, target: Target) -> tuple[int, ...]:
        channels = Convolution.require(spec).geometry.input_channels
        return tuple(
            tile
            for tile in TILES
            if has_transform(Form(tile), channels)
            and self._products.computes(_multiplication(spec, tile), target)
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        tiles = self._tiles(spec, target)
        inner = self._products.space(_multiplication(spec, tiles[0]), target)
        return Space((Axis("tile", tiles), *inner.axes))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        op, tile = Convolution.require(spec).op, point["tile"]
        inner = self._inner(spec, target, point)
        # Refuses what has no registers.
        product_code(op, Parts.of(spec, Form(tile)))
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=inner.split,
            tile=values({"tile": tile, **inner.tiles}),
            input_layouts=("pixel16",) * len(spec.inputs),
            output_layouts=("pixel16",),
        )

    def _inner(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        """The choice of the products' algorithm."""
        own = {name: value for name, value in point.items() if name != "tile"}
        return self._products.choice_at(_multiplication(spec, point["tile"]), target, own)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        products, others = (phase.work for phase in self.phases(spec, target, choice))
        elements = choice.tiles["tile"] + TAPS - 1
        read = sum(tensor.size_bytes for tensor in spec.inputs)
        read += spec.weights[0].size_bytes * elements**2 / TAPS**2
        return replace(both(products, others), unique_bytes_read=float(read + spec.weights[1].size_bytes))

    def phases(self, spec: LayerSpec, target: Target, choice: Choice) -> tuple[Phase, ...]:
        """The products, and all that is done to get at them and at what they add up to."""
        tile = choice.tiles["tile"]
        multiplication = _multiplication(spec, tile)
        inner = self._inner(spec, target, {**choice.splits, **choice.tiles})
        others = work_of_transforms(Parts.of(spec, Form(tile)), Convolution.require(spec))
        return (
            Phase(
                Candidate(multiplication, inner),
                self._products.work(multiplication, target, inner),
            ),
            Phase(Candidate(spec, replace(choice, split=(), tile=())), others),
        )

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        tile = choice.tiles["tile"]
        parts, multiplication = Parts.of(spec, Form(tile)), _multiplication(spec, tile)
        inputs, products, _ = parts.starts()
        inner = self._inner(spec, target, {**choice.splits, **choice.tiles})
        order = self._products.order_of_sums(multiplication, inner)
        by_element = made_up_for(_by_element(weights[0], tile), order, filled=1.0)
        multiplied = self._products.lower(multiplication, target, inner, by_element)
        buffers: dict[Buffer, Address] = {
            ("input", 0): Address("scratch", inputs),
            ("output", 0): Address("scratch", products),
        }
        second = in_scratch(_spread(_in_one_round(multiplied), parts), buffers)
        places = self._places(multiplication, inner)
        return around(second, parts, Convolution.require(spec), target, places, weights[1], output_lines)

    def _places(self, multiplication: LayerSpec, inner: Choice) -> Places:
        """Where the products have their inputs' tiles."""
        return np.arange(multiplication.output.shape[-1])


class QpuWinograd(_Winograd):
    """F(`tile` x `tile`, 3 x 3): the products as `qpu_pointwise_rotated` has them, of 2 blocks of 16 tiles by
    `channels` output channels.

    Axes:
        blocks: blocks of 16 tiles that a QPU multiplies at a time
    """

    name = "qpu_winograd"
    _products = QpuPointwiseRotated()
    axis_names: ClassVar[AxisNames] = _products.axis_names


class QpuWinogradChannels(_Winograd):
    """F(`tile` x `tile`, 3 x 3): the products as `qpu_pointwise_channels` has them, of any number of tiles by 32 output
    channels on the lanes.

    Axes:
        pixels: transformed tiles of a tile of the products
    """

    name = "qpu_winograd_channels"
    _products = TransformedProducts()
    axis_names: ClassVar[AxisNames] = _products.axis_names

    def _places(self, multiplication: LayerSpec, inner: Choice) -> Places:
        return self._products.pixel_tiles(multiplication, inner).places


def _multiplication(spec: LayerSpec, tile: int) -> LayerSpec:
    """The products, of one element each."""
    return Parts.of(spec, Form(tile)).multiplication(1)


def _by_element(kernel: FloatArray, tile: int) -> list[FloatArray]:
    """Kernel and biases of the products: a group for each element of a tile."""
    elements = transformed_filters(kernel, tile, POINTS)
    ordered = np.stack([elements[row, column] for row, column in element_order(Form(tile))])
    outputs = len(kernel) * len(ordered)
    return [
        ordered.reshape(outputs, -1, 1, 1).astype(np.float32),
        np.zeros(outputs, np.float32),
    ]


def _in_one_round(layer: QpuLayer) -> QpuLayer:
    """All tiles of a QPU as one block: a launch has room for few marks, and each round would pass one."""
    merged: list[tuple[Uniform, ...] | None] = []
    for q in range(len(layer.blocks)):
        own = layer.of_qpu(q)
        tiles = [word for block in own for word in block[_HEAD_WORDS:]]
        count = sum(number for block in own if isinstance(number := block[1], int))
        merged.append((own[0][0], count, *tiles) if own else None)
    return replace(layer, blocks=tuple(merged), more=())


def _spread(layer: QpuLayer, parts: Parts) -> QpuLayer:
    """The products of each element of a tile where `Parts` has them: each store is of one element's."""
    outputs, from_block = parts.outputs, block_lines(parts.products.shape[1])

    def moved(word: Uniform) -> Uniform:
        if not isinstance(word, Address) or word.base != "output":
            return word
        line, inside = divmod(word.offset_bytes, LINE_BYTES)
        block, line = divmod(line, from_block)
        element, channel = divmod(line, outputs)
        at = block * parts.product_block_lines + element * parts.pitch + channel
        return replace(word, offset_bytes=at * LINE_BYTES + inside)

    blocks = (None if block is None else tuple(map(moved, block)) for block in layer.blocks)
    return replace(layer, blocks=tuple(blocks))
