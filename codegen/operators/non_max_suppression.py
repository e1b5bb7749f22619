"""The best of overlapping boxes: NonMaxSuppression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import GraphSpecError
from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps
from codegen.operator import Arrays, Operator, Types
from codegen.tensor import Doubles, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode


@dataclass(frozen=True)
class NonMaxSuppression(Operator):
    """Of boxes (N, B, 4) and scores (N, C, B): rows (image, class, box), and how many there are; 0 behind them.

    In each image and class, boxes in descending order of their scores (of equals the first), without those whose
    intersection over union with one before them exceeds the fourth input, nor those whose score does not exceed the
    fifth, if there is one; as many as the third input says, at most `most`. Where `counted` the last input says of how
    many boxes, the first ones. A box is two opposite corners (y, x, y, x), or where `centered` (x, y, width, height).

    Fields:
        most: how many boxes of an image and class are kept at most
        centered: whether a box is (x, y, width, height), in place of two corners
        counted: whether the last input says how many boxes there are
    """

    most: int
    centered: bool
    counted: bool = False

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        if len(inputs) - self.counted not in (4, 5) or weights:
            raise GraphSpecError(f"{self.describe()} of {len(inputs)} inputs and {len(weights)} weights")
        boxes, scores, count, *limits = inputs[: len(inputs) - self.counted]
        counts = [count, *inputs[len(inputs) - self.counted :]]
        fits = (
            len(boxes.shape) == len(scores.shape) == 3
            and boxes.shape[0] == scores.shape[0]
            and boxes.shape[1:] == (scores.shape[2], 4)
            and all(tensor.elements == 1 for tensor in (*counts, *limits))
        )
        if not fits or self.most < 1 or {t.dtype for t in (boxes, scores, *limits)} != {"float32"}:
            raise GraphSpecError(f"NonMaxSuppression of {', '.join(map(str, inputs))}, at most {self.most}")
        if {tensor.dtype for tensor in counts} != {"int64"}:
            raise GraphSpecError(f"{self.describe()} of as many boxes as {', '.join(map(str, counts))} say")
        rows = scores.shape[0] * scores.shape[1] * self.most
        return TensorType((rows, 3), "int64"), TensorType((), "int64")

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        boxes, scores, count, overlap, *threshold = inputs[: len(inputs) - self.counted]
        boxes_read = int(inputs[-1].reshape(-1)[0]) if self.counted else scores.shape[2]
        found: list[tuple[int, int, int]] = []
        most = min(self.most, int(count.reshape(-1)[0]))
        for image, class_ in np.ndindex(*scores.shape[:2]):
            own, kept = scores[image, class_, :boxes_read], list[int]()
            corners, left = self._corners(boxes[image]), np.argsort(-own, kind="stable")
            if threshold:
                left = left[own[left] > threshold[0].reshape(-1)[0]]
            while len(left) and len(kept) < most:
                box, left = int(left[0]), left[1:]
                kept.append(box)
                left = left[~(_overlaps(corners[box], corners[left]) > overlap.reshape(-1)[0])]
            found += [(image, class_, box) for box in kept]
        result = np.zeros(outputs[0].shape)
        result[: len(found)] = np.array(found).reshape(-1, 3)
        return result, np.asarray(float(len(found)))

    def _corners(self, boxes: Doubles) -> Doubles:
        """Least and largest coordinates of each axis."""
        first, second = boxes[:, :2], boxes[:, 2:]
        if self.centered:
            return np.concatenate([first - second / 2, first + second / 2], axis=1)
        return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)

    def describe(self) -> str:
        words = (self.centered * " centered", self.counted * " counted")
        return f"NonMaxSuppression {self.most}{''.join(words)}"


def _overlaps(one: Doubles, others: Doubles) -> Doubles:
    """Intersection over union of a box with others; less than any limit where there is none."""
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    common, own = np.prod(sides, axis=1), float(np.prod(one[2:] - one[:2]))
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    is_common = (sides > 0).all(axis=1) & (areas > 0) & (own > 0)
    return np.where(is_common, common / np.where(is_common, areas + own - common, 1.0), -np.inf)


@handles("NonMaxSuppression", "all; with a length")
def non_max_suppression(node: OnnxNode, builder: GraphBuilder) -> None:
    """At most as many boxes of a class as the third input says, where it is known, or else as there are."""
    boxes, steps = builder.type(node).shape, Steps(node, builder)
    most = boxes[1] if len(boxes) > 1 else 0
    if not node.has_input(2):
        most = 0
    elif builder.is_constant(node.input(2)):
        most = min(most, builder.whole(node, 2))
    if most < 1:
        builder.define_constant(node, node.output, np.zeros((0, 3), dtype=np.int64))
        return
    names = [node.input(index) for index in range(3)]
    names.append(node.input(3) if node.has_input(3) else steps.constant(0.0, "float32"))
    names += [node.input(4)] if node.has_input(4) else []
    tensors = [builder.tensor_of(node, name) for name in names]
    length = builder.length(tensors[1]) or builder.length(tensors[0])
    if length is not None and length.axis == (2 if builder.length(tensors[1]) else 1):
        tensors = [*(builder.to_bound(node, tensor) for tensor in tensors), length.tensor]
    op = NonMaxSuppression(most, node.flag("center_point_box"), len(tensors) > len(names))
    builder.emit_bounded(node, op, tensors, (0,))
