"""Winograd convolution with strides of 2: see `kernels.winograd` for what is multiplied.

Three phases as those of `winograd`, of which the second sums up products of 4, 2 or 1 elements of a tile by one kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import ClassVar

import numpy as np

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithms.channel_lanes import (
    INSTRUCTIONS_OF_TILE,
    LinePlaces,
    PixelTiles,
    TileWords,
    TransformedProducts,
    kernel_of,
    packed_lines,
)
from codegen.engines.videocore4.algorithms.convolution import Convolution
from codegen.engines.videocore4.algorithms.gemm import group_of, in_turn
from codegen.engines.videocore4.algorithms.geometry import UNBOUNDED, starts
from codegen.engines.videocore4.algorithms.phased import Buffer, both, in_scratch
from codegen.engines.videocore4.algorithms.winograd_transforms import (
    Parts,
    around,
    has_transform,
    product_code,
    work_of_transforms,
)
from codegen.engines.videocore4.cut_sums import made_up_for
from codegen.engines.videocore4.kernels.channel_lanes import CHANNELS, VECTORS
from codegen.engines.videocore4.kernels.winograd_form import STRIDED
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LINE_BYTES, block_lines
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES
from codegen.schedule import AxisNames, Candidate, Choice, Phase, Point, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray
from codegen.winograd import TAPS

_HEAD_WORDS = 2
_SUMMED = (
    4,
    2,
    1,
)  # elements of a product: the longest sums first, so that short ones are left to fill up with
_FILTERS = np.array(
    [[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1]], np.float64
)  # of a row's elements


class QpuWinogradStrided(AlgorithmBase):
    """3x3 convolution with strides of 2 by sums and differences: 25 products of tiles for 36 of 2 x 2 outputs, as
    `qpu_pointwise_channels` has them, of any number of tiles by 32 output channels on the lanes.

    Axes:
        pixel_tiles: tiles of the products, of several transformed tiles each, that QPUs multiply at the same time; they
            share the channels among them
        neighbours: what QPUs that share caches differ in then
        channels: output channels of a tile of the products
        pixels: transformed tiles of a tile of the products
    """

    name = "qpu_winograd_strided"
    engine: str = "videocore4"
    takes_residuals = True
    _products = TransformedProducts()
    axis_names: ClassVar[AxisNames] = _products.axis_names

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        found = Convolution.of(spec)
        if found is None or not target.has_qpus:
            return False
        op, channels = found.op, found.geometry.input_channels
        return (
            op.kernel == (TAPS, TAPS)
            and op.strides == (STRIDED.stride, STRIDED.stride)
            and op.dilations == (1, 1)
            and op.groups == 1
            and channels % 2 == 0  # one kernel for all sums
            and has_transform(STRIDED, channels)
            and all(self._products.computes(layer, target) for layer in _multiplications(spec))
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return self._products.space(_multiplications(spec)[0], target)

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        inner = self._inner(spec, target, point)
        # Refuses what has no registers.
        product_code(Convolution.require(spec).op, Parts.of(spec, STRIDED))
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=inner.split,
            tile=values(inner.tiles),
            input_layouts=("pixel16",) * len(spec.inputs),
            output_layouts=("pixel16",),
        )

    def _inner(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        """The choice of the products' algorithm."""
        return self._products.choice_at(_multiplications(spec)[0], target, point)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        first, *others = (phase.work for phase in self.phases(spec, target, choice))
        for work in others:
            first = replace(both(first, work), macs=first.macs + work.macs)
        read = float(sum(tensor.size_bytes for tensor in spec.inputs))
        read += spec.weights[0].size_bytes * STRIDED.side**2 / TAPS**2
        return replace(first, unique_bytes_read=read + spec.weights[1].size_bytes)

    def phases(self, spec: LayerSpec, target: Target, choice: Choice) -> tuple[Phase, ...]:
        """The products of each number of elements, and all that is done to get at them and at what they add up to."""
        inner = self._inner(spec, target, {**choice.splits, **choice.tiles})
        layers = _multiplications(spec)
        others = work_of_transforms(Parts.of(spec, STRIDED), Convolution.require(spec))
        return (
            *(Phase(Candidate(layer, inner), self._products.work(layer, target, inner)) for layer in layers),
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
        parts = Parts.of(spec, STRIDED)
        inputs, products, _ = parts.starts()
        inner = self._inner(spec, target, {**choice.splits, **choice.tiles})
        buffers: dict[Buffer, Address] = {
            ("input", 0): Address("scratch", inputs),
            ("output", 0): Address("scratch", products),
        }
        pixels = _pixels(parts, self._products.pixel_tiles(_multiplications(spec)[0], inner))
        second = in_scratch(_multiplied(parts, spec, target, inner, pixels, weights[0]), buffers)
        found = Convolution.require(spec)
        return around(second, parts, found, target, pixels.places, weights[1], output_lines)


def _multiplications(spec: LayerSpec) -> tuple[LayerSpec, ...]:
    """Layers that multiply and add up the same, those of the most elements first."""
    parts = Parts.of(spec, STRIDED)
    return tuple(parts.multiplication(summed) for summed in _SUMMED)


def _kernels(filters: FloatArray) -> Iterator[tuple[int, int, FloatArray]]:
    """(number, first element, kernel of shape (out, elements and channels)) of each of the products, the longest first;
    a little larger, as sums lose a little.
    """
    half = np.tensordot(_FILTERS, filters.astype(np.float64), axes=(1, 2))  # row, out, in, kx
    elements = np.moveaxis(np.tensordot(half, _FILTERS, axes=(3, 1)), 3, 1)
    firsts = np.cumsum([0, *map(len, STRIDED.products)])
    for number, product in sorted(enumerate(STRIDED.products), key=lambda pair: -len(pair[1])):
        kernel = np.concatenate([elements[place] for place in product], axis=1).astype(np.float32)
        order = np.arange(kernel.shape[1])
        larger, _ = made_up_for([kernel, np.zeros(len(kernel), np.float32)], order, filled=1.0)
        yield number, int(firsts[number]), larger


def _pixels(parts: Parts, pixels: PixelTiles) -> PixelTiles:
    """The same of the inputs and outputs that `Parts` has."""
    lines, output_lines = block_lines(parts.inputs.shape[1]), parts.product_block_lines
    return replace(pixels, geometry=replace(pixels.geometry, input_lines=lines, output_lines=output_lines))


def _multiplied(
    parts: Parts, spec: LayerSpec, target: Target, inner: Choice, pixels: PixelTiles, filters: FloatArray
) -> QpuLayer:
    """The second phase: each tile is given to who has the least to do."""
    op, whole = group_of(_multiplications(spec)[0])
    channels = starts(parts.outputs, CHANNELS)
    by_qpu = in_turn(target.qpus, inner, pixels.tiles, len(channels))
    order = [tile for tiles in zip_longest(*by_qpu) for tile in tiles if tile is not None]
    packed = [pixels.table().reshape(-1)]
    loads = [0] * target.qpus
    own: list[list[Uniform]] = [[] for _ in loads]
    counts = [0] * target.qpus
    for number, first, kernel in _kernels(filters):
        depth = kernel.shape[1]
        words = _words_of(depth, pixels, channels)
        weights = sum(part.nbytes for part in packed)
        bias = np.zeros(parts.outputs, np.float32)
        packed.append(packed_lines(kernel, bias, channels, words.places).reshape(-1))
        for row, column in order:
            q = loads.index(min(loads))
            loads[q] += depth * pixels.pixels * VECTORS + INSTRUCTIONS_OF_TILE
            counts[q] += 1
            own[q] += _read_from(
                words.before(row, column, 0, weights, 0), LINE_BYTES * first * parts.channels
            )
            own[q] += words.behind(row, parts.pitch * number + channels[column])
    blocks = tuple(
        (Address("block", WORD_BYTES * _HEAD_WORDS), count, *tiles) if count else None
        for count, tiles in zip(counts, own, strict=True)
    )
    return QpuLayer(kernel_of(op, whole, target, inner).words, np.concatenate(packed), blocks)


def _words_of(depth: int, pixels: PixelTiles, channels: tuple[int, ...]) -> TileWords:
    geometry = replace(pixels.geometry, input_channels=depth)
    return TileWords(
        geometry,
        replace(pixels, geometry=geometry),
        channels,
        (-UNBOUNDED, UNBOUNDED),
        None,
        LinePlaces(depth, halves=False),
    )


def _read_from(words: Sequence[Uniform], offset_bytes: int) -> list[Uniform]:
    """Inputs so many bytes further on."""
    return [
        replace(word, offset_bytes=word.offset_bytes + offset_bytes)
        if isinstance(word, Address) and word.base == "input"
        else word
        for word in words
    ]
