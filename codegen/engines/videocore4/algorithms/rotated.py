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
from codegen.engines.videocore4.kernels.results import coded
from codegen.engines.videocore4.kernels.rotated import (
    CHANNELS_OF_VECTOR,
    PAIR_BYTES,
    STREAMED,
    VECTORS_IN_PAIR,
    first_offset,
    first_request,
    rotated_kernel,
)
from codegen.engines.videocore4.layer import Address
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.expression import Expression
from codegen.program import WORD_BYTES
from codegen.tensor import FloatArray

_Words = NDArray[np.uint32]


class _Rotated(GemmConvolution):
    """Two pixel blocks a tile; of each input channel's weights 16 are uniforms and the others lanes of a vector."""

    block_values = (BLOCKS,)
    neighbours = NEIGHBOURS

    def _kernel(self, blocks: int, channels: int, input_channels: int, epilogue: Expression) -> Assembler:
        odd = input_channels % CHANNELS_OF_VECTOR == 1
        return rotated_kernel(channels, self.gather, odd, coded(epilogue))

    def _instructions(self, blocks: int, channels: int) -> float:
        return blocks * STREAMED + (blocks + 1) * (channels - STREAMED) + 2.5

    def _hiding_instructions(self, channels: int) -> float:
        return 2.0 * BLOCKS + (BLOCKS + 1.0) * (channels - STREAMED) + 2.5

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
        for bank in banks:
            vectors = _vectors(bank[0], tiling)
            in_channels = bank[0].shape[1]
            begin = WORD_BYTES * sum(map(len, parts)) + first_request(in_channels)
            tap_bytes = PAIR_BYTES * -(-in_channels // CHANNELS_OF_VECTOR)
            parts += vectors
            found = []
            for number, start in enumerate(tiling.channel_starts):
                padding, stream = _stream(
                    bank, start, tiling.channels, taps if self.gather else None, tap_bytes
                )
                pair, beside = divmod(number, VECTORS_IN_PAIR)
                vector = begin + WORD_BYTES * len(vectors[0]) * pair + LINE_BYTES * beside
                first = WORD_BYTES * (sum(map(len, parts)) + padding)
                vector -= tap_bytes if self.gather else 0  # every tap moves on to its own
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
    """Any convolution as implicit GEMM on two pixel blocks, a part of the weights as vectors."""

    name = "qpu_implicit_rotated"
    gather = True
    channel_values = (22, 23)

    def _takes(self, geometry: Geometry) -> bool:
        return geometry.output_blocks >= BLOCKS


def _vectors(kernel: FloatArray, tiling: Tiling) -> list[_Words]:
    """[tiles / 2][taps][pairs of input channels][2 tiles][2 input channels x 8 lanes]: an array of two tiles each."""
    kernel = np.ascontiguousarray(kernel)
    in_channels, half = kernel.shape[1], LANES // CHANNELS_OF_VECTOR
    by_tap = kernel.reshape(len(kernel), in_channels, -1)
    pairs = -(-in_channels // CHANNELS_OF_VECTOR)
    starts = tiling.channel_starts
    image = np.zeros(
        (
            -(-len(starts) // VECTORS_IN_PAIR),
            by_tap.shape[2],
            pairs,
            VECTORS_IN_PAIR,
            CHANNELS_OF_VECTOR,
            half,
        ),
        np.float32,
    )
    for number, start in enumerate(starts):
        rotated = by_tap[start + STREAMED : start + tiling.channels]
        lanes = np.zeros((half, pairs * CHANNELS_OF_VECTOR, by_tap.shape[2]), np.float32)
        lanes[: len(rotated), :in_channels] = rotated
        pair, beside = divmod(number, VECTORS_IN_PAIR)
        image[pair, :, :, beside] = lanes.transpose(2, 1, 0).reshape(-1, pairs, CHANNELS_OF_VECTOR, half)
    return [float_words(x.reshape(-1)) for x in image]


def _stream(
    bank: Sequence[FloatArray],
    start: int,
    channels: int,
    taps: Sequence[tuple[int, ...]] | None,
    tap_bytes: int,
) -> tuple[int, _Words]:
    """Words of padding, and the stream with them: a tap's weights begin with a line."""
    kernel, bias = bank[0], bank[1]
    in_channels = kernel.shape[1]
    by_tap = kernel.reshape(len(kernel), in_channels, -1)
    offset = first_offset(in_channels) % 2**32
    heads = [(offset,)] if taps is None else [(*words, offset, tap_bytes) for words in taps]
    parts = [float_words(bias[start : start + channels])]
    if taps is not None:
        parts.append(np.array([len(taps) - 1], np.uint32))
    for tap, words in enumerate(heads):
        parts.append(np.array(words, np.uint32))
        if tap == 0:
            padding = -sum(map(len, parts)) % LANES
        elif len(words) % LANES:
            raise AssertionError("a tap's words must fill lines")
        parts.append(float_words(by_tap[start : start + STREAMED, :, tap].T))
    return padding, np.concatenate([np.zeros(padding, np.uint32), *parts])
