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
    fifth, if there is one; as many as the third input says, at most `most`. A box is two opposite corners (y, x, y, x),
    or where `centered` (x, y, width, height).

    Fields:
        most: how many boxes of an image and class are kept at most
        centered: whether a box is (x, y, width, height), in place of two corners
    """

    most: int
    centered: bool

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        if len(inputs) not in (4, 5) or weights:
            raise GraphSpecError(f"NonMaxSuppression of {len(inputs)} inputs and {len(weights)} weights")
        boxes, scores, count, *limits = inputs
        fits = (
            len(boxes.shape) == len(scores.shape) == 3
            and boxes.shape[0] == scores.shape[0]
            and boxes.shape[1:] == (scores.shape[2], 4)
            and all(tensor.elements == 1 for tensor in (count, *limits))
        )
        if not fits or self.most < 1 or {t.dtype for t in (boxes, scores, *limits)} != {"float32"}:
            raise GraphSpecError(f"NonMaxSuppression of {', '.join(map(str, inputs))}, at most {self.most}")
        if count.dtype != "int64":
            raise GraphSpecError(f"NonMaxSuppression of as many boxes as a {count.dtype} says")
        rows = scores.shape[0] * scores.shape[1] * self.most
        return TensorType((rows, 3), "int64"), TensorType((), "int64")

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        boxes, scores, count, overlap, *threshold = inputs
        found: list[tuple[int, int, int]] = []
        most = min(self.most, int(count.reshape(-1)[0]))
        for image, class_ in np.ndindex(*scores.shape[:2]):
            own, kept = scores[image, class_], list[int]()
            corners = self._corners(boxes[image])
            for box in np.argsort(-own, kind="stable"):
                if len(kept) >= most:
                    break
                if threshold and not own[box] > threshold[0].reshape(-1)[0]:
                    continue
                if all(not _overlap(corners[box], corners[other]) > overlap.reshape(-1)[0] for other in kept):
                    kept.append(int(box))
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
        return f"NonMaxSuppression {self.most}{' centered' if self.centered else ''}"


def _overlap(one: Doubles, other: Doubles) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    if min(sides) <= 0:
        return -np.inf
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    return float(np.prod(sides)) / (sum(areas) - float(np.prod(sides))) if min(areas) > 0 else -np.inf


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
    op = NonMaxSuppression(most, node.flag("center_point_box"))
    builder.emit_bounded(node, op, tensors, (0,))
