"""Layers in phases that hand over what they compute in the scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from codegen.engines.videocore4.layer import Address, Base, QpuLayer, Uniform
from codegen.schedule import Work

Buffer = tuple[Base, int]  # with the number of the input or output


def in_scratch(layer: QpuLayer, places: Mapping[Buffer, Address]) -> QpuLayer:
    """A layer some of whose buffers lie from such an address on, in the scratch or as another input or output."""

    def moved(word: Uniform) -> Uniform:
        if isinstance(word, Address) and (place := places.get((word.base, word.index))) is not None:
            return replace(place, offset_bytes=place.offset_bytes + word.offset_bytes)
        return word

    rounds = [
        tuple(None if block is None else tuple(map(moved, block)) for block in blocks)
        for blocks in (layer.blocks, *layer.more)
    ]
    return replace(layer, blocks=rounds[0], more=tuple(rounds[1:]))


def behind(
    layer: QpuLayer, places: Mapping[Buffer, Address], passed_bytes: int, scratch_bytes: int
) -> QpuLayer:
    """A layer and its further phases where another phase's scratch, of `passed_bytes`, lies before their own: some of
    its buffers lie from such an address on. `scratch_bytes`: of all.
    """
    passed: dict[Buffer, Address] = {("scratch", 0): Address("scratch", passed_bytes)}
    then = None if layer.then is None else behind(layer.then, {}, passed_bytes, scratch_bytes)
    return replace(in_scratch(layer, {**passed, **places}), then=then, scratch_bytes=scratch_bytes)


_SUMS = (
    "alu_instructions",
    "load_instructions",
    "uniform_words",
    "store_instructions",
    "dma_stores",
    "streamed_bytes_read",
    "bytes_written",
)


def both(main: Work, other: Work) -> Work:
    """The work of two phases; what is no sum is the main one's."""
    return replace(main, **{name: getattr(main, name) + getattr(other, name) for name in _SUMS})


def share_of(work: Work, share: float) -> Work:
    """The work of such a share of a phase; what is no sum is the whole one's."""
    return replace(work, **{name: share * getattr(work, name) for name in _SUMS})
