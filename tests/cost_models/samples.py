"""Synthetic candidates whose times follow a known law that the roofline does not know."""

from __future__ import annotations

from functools import cache

from codegen.operators.conv2d import Conv2d
from codegen.schedule import Candidate, Choice, Work, values
from codegen.tensor import TensorType
from cost_models.model import Observation
from tests.codegen.layers import layer_spec

CHANNELS = (16, 32, 64, 128, 256)
TILES = (1, 2, 4, 8)


def candidate(channels: int, tile: int, algorithm: str = "gemm") -> Candidate:
    """A pointwise convolution of 14x14 pixels and one way to compute it."""
    activations = TensorType((1, channels, 14, 14))
    weights = (TensorType((channels, channels, 1, 1)), TensorType((channels,)))
    spec = layer_spec(Conv2d((1, 1)), (activations,), activations, weights)
    choice = Choice(
        "videocore4", algorithm, values({"qpus": 12}), values({"rows": tile}), ("pixel16",), ("pixel16",)
    )  # fmt: skip
    return Candidate(spec, choice)


def work(channels: int, tile: int) -> Work:
    """Work in which a larger tile reads less."""
    macs = channels * channels * 196.0
    return Work(
        macs=macs,
        alu_instructions=macs / 16 * 1.2,
        load_instructions=macs / 16 / tile,
        uniform_words=macs / 16 / 13,
        store_instructions=channels * 13.0,
        dma_stores=13.0 * channels / tile,
        unique_bytes_read=channels * 196 * 4.0,
        streamed_bytes_read=channels * channels * 4.0 * 13,
        bytes_written=channels * 196 * 4.0,
    )


def law_s(channels: int, tile: int, algorithm: str = "gemm") -> float:
    """The true time: stalls that depend on the tile in a way no roofline term has."""
    stall = {1: 1.9, 2: 1.3, 4: 1.1, 8: 1.6}[tile]
    factor = 1.0 if algorithm == "gemm" else 1.4
    return 1e-6 * channels**1.8 * stall * factor / tile**0.2


@cache
def observations(count: int) -> tuple[Observation, ...]:
    """The first `count` of 80 distinct samples of two algorithms, in a mixed order."""
    every = [
        Observation(candidate(c + extra, t, a), work(c + extra, t), law_s(c + extra, t, a))
        for extra in (0, 8)
        for c in CHANNELS
        for t in TILES
        for a in ("gemm", "other")
    ]
    return tuple(every[(index * 37) % len(every)] for index in range(count))
