"""Layers in several rounds of one kernel: groups of channels, and the images of a batch one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from codegen.engine_registry import layout_named
from codegen.engines.videocore4.layer import Address, QpuLayer, Uniform
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.graph import LayerSpec
from codegen.layout import plane
from codegen.schedule import Choice, Work
from codegen.tensor import TensorType

Round = Sequence[tuple[Uniform, ...] | None]  # by QPU


def images_of(spec: LayerSpec) -> int:
    """Images of the batch."""
    return spec.output.shape[0]


def first_image(spec: LayerSpec) -> LayerSpec:
    """The layer of a batch's first image; the layer itself where it is no batch of planes, or has other constants for
    each image.
    """
    shape = spec.output.shape
    if len(shape) != 4 or shape[0] == 1 or any(_is_batched(weight, spec) for weight in spec.weights):
        return spec
    inputs, outputs = (
        tuple(_one(tensor) if _is_batched(tensor, spec) else tensor for tensor in tensors)
        for tensors in (spec.inputs, spec.outputs)
    )
    return replace(spec, inputs=inputs, outputs=outputs)


def _is_batched(tensor: TensorType, spec: LayerSpec) -> bool:
    shape, result = tensor.shape, spec.output.shape
    return len(shape) == len(result) and shape[0] == result[0]


def _one(tensor: TensorType) -> TensorType:
    return replace(tensor, shape=(1, *tensor.shape[1:]))


def layer_in_rounds(code: tuple[int, ...], weights: NDArray[np.uint32], rounds: Sequence[Round]) -> QpuLayer:
    """A layer whose QPUs go through the kernel once a round. Each round deals its tiles out from the first QPU on: the
    next one begins where the last has left QPUs with a tile less.
    """
    dealt, first = [], 0
    for blocks in rounds:
        dealt.append((*blocks[len(blocks) - first :], *blocks[: len(blocks) - first]))
        lengths = [len(block or ()) for block in blocks]
        first = (first + lengths.count(max(lengths))) % len(blocks)
    return QpuLayer(code, weights, dealt[0], tuple(dealt[1:]))


def image_bytes(layout: str, tensor: TensorType, output_lines: int | None = None) -> int:
    """From one image of a batch to the next; `output_lines` as in `QpuAlgorithm.lower`."""
    one = _one(tensor)
    if output_lines is not None:
        return -(-plane(one)[2] // LANES) * output_lines * LINE_BYTES
    return layout_named(layout).size_bytes(one)


def for_each_image(
    layer: QpuLayer,
    spec: LayerSpec,
    choice: Choice,
    output_lines: int | None = None,
    scratch_bytes: int = 0,
) -> QpuLayer:
    """The layer of a batch from that of its first image. Inputs with one image alone serve all. `scratch_bytes`: from
    one image in the scratch memory to the next.
    """
    images = images_of(spec)
    if images == 1:
        return layer
    steps = {
        ("input", index): image_bytes(layout, tensor) if _is_batched(tensor, spec) else 0
        for index, (layout, tensor) in enumerate(zip(choice.input_layouts, spec.inputs, strict=True))
    }
    steps["scratch", 0] = scratch_bytes
    steps["output", 0] = image_bytes(choice.output_layout, spec.output, output_lines)

    def moved(word: Uniform, image: int) -> Uniform:
        if not isinstance(word, Address) or word.base in ("weights", "block"):
            return word
        return replace(word, offset_bytes=word.offset_bytes + image * steps[word.base, word.index])

    rounds = [
        tuple(None if block is None else tuple(moved(word, image) for word in block) for block in blocks)
        for image in range(images)
        for blocks in (layer.blocks, *layer.more)
    ]
    return layer_in_rounds(layer.code, layer.weights, rounds)


def work_of_images(work: Work, spec: LayerSpec) -> Work:
    """The work of a batch from that of one image, whose weights are the same bytes for all. Each image
    begins with the QPUs that the last one has left with less to do (`layer_in_rounds`).
    """
    images = images_of(spec)
    weights = sum(tensor.size_bytes for tensor in spec.weights)
    return replace(
        work,
        macs=work.macs * images,
        alu_instructions=work.alu_instructions * images,
        load_instructions=work.load_instructions * images,
        uniform_words=work.uniform_words * images,
        store_instructions=work.store_instructions * images,
        dma_stores=work.dma_stores * images,
        unique_bytes_read=(work.unique_bytes_read - weights) * images + weights,
        streamed_bytes_read=work.streamed_bytes_read * images,
        bytes_written=work.bytes_written * images,
        balance=max(1.0, work.balance / images),
    )
