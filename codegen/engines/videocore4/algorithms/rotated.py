"""Convolutions as GEMM whose uniforms never keep a QPU waiting: part of the weights come as vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codegen.engines.videocore4.algorithms.gemm import (
    NEIGHBOURS,
    GemmConvolution,
    Packed,
    Tiling,
    is_pointwise,
)
from codegen.engines.videocore4.algorithms.geometry import Geometry
from codegen.engines.videocore4.algorithms.words import float_words
from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.relayed import BLOCKS
from codegen.engines.videocore4.kernels.results import adds_residual, coded
from codegen.engines.videocore4.kernels.rotated import (
    CHANNELS_OF_VECTOR,
    STREAMED,
    THROUGH_A,
    VECTORS_IN_PAIR,
    first_offset,
    first_request,
    hiding_instructions,
    pass_bytes,
    rotated_kernel,
)
from codegen.engines.videocore4.layer import Address
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.expression import Expression
from codegen.program import WORD_BYTES
from codegen.tensor import FloatArray

_Words = NDArray[np.uint32]


class _Rotated(GemmConvolution):
    """Two pixel blocks a tile; of each input channel's weights 16 are uniforms and the others lanes of a vector.

    Axes:
        neighbours: what the QPU of the next number computes at the same time: other channels of the same pixels, or
            other pixels of the same channels
    """

    block_values = (BLOCKS,)
    neighbours = NEIGHBOURS

    def _kernel(self, blocks: int, channels: int, input_channels: int, epilogue: Expression) -> Assembler:
        odd = input_channels % CHANNELS_OF_VECTOR == 1
        residual = adds_residual(epilogue)
        return rotated_kernel(channels, self.gather, odd, coded(epilogue), residual=residual)

    def _instructions(self, blocks: int, channels: int) -> float:
        return blocks * THROUGH_A + self._hiding_instructions(channels)

    def _hiding_instructions(self, channels: int) -> float:
        return hiding_instructions(channels, gather=self.gather)

    def _reads(self, blocks: int, channels: int) -> tuple[int, float]:
        return STREAMED, blocks + 1 / CHANNELS_OF_VECTOR

    def _first_line(self, input_channels: int) -> int:
        return first_request(input_channels)

    def _weights(
        self,
        banks: Sequence[Sequence[FloatArray]],
        tiling: Tiling,
        taps: Sequence[tuple[int, ...]],
    ) -> Packed:
        parts: list[_Words] = [np.zeros(LANES, np.uint32)]
        places: list[list[tuple[Address, Address]]] = []
        offset = first_offset(tiling.depth) % 2**32
        heads = [(*words, offset) for words in (_passes(taps, tiling, banks[0][0]) if self.gather else [()])]
        for kernel, bias in banks:
            by_pass = _by_pass(kernel, tiling)
            vectors = _vectors(by_pass, tiling)
            begin = WORD_BYTES * sum(map(len, parts)) + first_request(tiling.depth)
            parts += vectors
            found = []
            for number, start in enumerate(tiling.channel_starts):
                stop = start + tiling.channels
                padding, stream = _stream(by_pass[start:stop], bias[start:stop], heads)
                pair, beside = divmod(number, VECTORS_IN_PAIR)
                vector = begin + WORD_BYTES * len(vectors[0]) * pair + LINE_BYTES * beside
                vector -= pass_bytes(tiling.depth) if self.gather else 0  # every pass moves on to its own
                first = WORD_BYTES * (sum(map(len, parts)) + padding)
                found.append((Address("weights", vector), Address("weights", first)))
                parts.append(stream)
            places.append(found)
        return Packed(np.concatenate(parts), places)


class QpuPointwiseRotated(_Rotated):
    """1x1 convolution, two pixel blocks a tile: what the uniforms' prefetch leaves no time for comes as a vector."""

    name = "qpu_pointwise_rotated"
    gather = False
    channel_values = (20, 21, 22, 23, 24)

    def _takes(self, geometry: Geometry) -> bool:
        return is_pointwise(geometry) and geometry.output_blocks >= BLOCKS


class QpuImplicitRotated(_Rotated):
    """Any convolution as implicit GEMM on two pixel blocks, a part of the weights as vectors.

    Axes:
        depth: input channels that are gone through before the next tap of the kernel
        input_layout: the layout of the inputs
    """

    name = "qpu_implicit_rotated"
    gather = True
    channel_values = (22, 23)
    depths = (32,)  # fewer cost more addresses and more are read from memory again for each tap

    def _takes(self, geometry: Geometry) -> bool:
        return geometry.output_blocks >= BLOCKS


def _passes(taps: Sequence[tuple[int, ...]], tiling: Tiling, kernel: FloatArray) -> list[tuple[int, ...]]:
    """The words of each pass: those of its tap, and how far the input moves on, from the last channels to the first
    before a tile's first pass.
    """
    in_channels, channel_bytes = kernel.shape[1], taps[0][-1]
    moves = {
        0: tiling.depth - in_channels,
        **{i: tiling.depth for i in range(1, in_channels // tiling.depth)},
    }
    return [
        (channel_bytes * (moves[i] if tap == 0 else 0) % 2**32, *words)
        for i in moves
        for tap, words in enumerate(taps)
    ]


def _by_pass(kernel: FloatArray, tiling: Tiling) -> FloatArray:
    """[output channels][input channels of a pass][passes], taps inner."""
    outputs, in_channels = kernel.shape[:2]
    parts = kernel.reshape(outputs, in_channels // tiling.depth, tiling.depth, -1)
    return parts.transpose(0, 2, 1, 3).reshape(outputs, tiling.depth, -1)


def _vectors(by_pass: FloatArray, tiling: Tiling) -> list[_Words]:
    """[tiles / 2][passes][pairs of input channels][2 tiles][2 input channels x 8 lanes]: an array of two tiles each."""
    _, depth, passes = by_pass.shape
    half, pairs = LANES // CHANNELS_OF_VECTOR, -(-depth // CHANNELS_OF_VECTOR)
    starts = tiling.channel_starts
    image = np.zeros(
        (-(-len(starts) // VECTORS_IN_PAIR), passes, pairs, VECTORS_IN_PAIR, CHANNELS_OF_VECTOR, half),
        np.float32,
    )
    for number, start in enumerate(starts):
        rotated = by_pass[start + STREAMED : start + tiling.channels]
        lanes = np.zeros((half, pairs * CHANNELS_OF_VECTOR, passes), np.float32)
        lanes[: len(rotated), :depth] = rotated
        pair, beside = divmod(number, VECTORS_IN_PAIR)
        image[pair, :, :, beside] = lanes.transpose(2, 1, 0).reshape(-1, pairs, CHANNELS_OF_VECTOR, half)
    return [float_words(x.reshape(-1)) for x in image]


def _stream(by_pass: FloatArray, bias: FloatArray, heads: Sequence[tuple[int, ...]]) -> tuple[int, _Words]:
    """Words of padding, and the stream with them: a pass's weights begin with a line. `heads`: the words before."""
    parts = [float_words(bias)]
    if len(heads[0]) > 1:
        parts.append(np.array([len(heads) - 1], np.uint32))
    padding = -(sum(map(len, parts)) + len(heads[0])) % LANES
    for number, words in enumerate(heads):
        parts += [np.array(words, np.uint32), float_words(by_pass[:STREAMED, :, number].T)]
    return padding, np.concatenate([np.zeros(padding, np.uint32), *parts])
