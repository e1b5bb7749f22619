"""Which tensors of the graph under construction have a length that is known in the run alone, and along which axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.lengths import Length
from codegen.onnx_import.node import OnnxNode
from codegen.operator import Operator
from codegen.tensor import TensorType


class CarriedLengths:
    """A length goes on where an operator keeps its axis as it is (`Operator.carried`), and ends where one reads what is
    filled behind it (`Operator.filler`); any other reader is refused.
    """

    def __init__(self) -> None:
        self._lengths: dict[str, Length] = {}

    def of(self, tensor: str) -> Length | None:
        """The length of a tensor, None where all of it holds results."""
        return self._lengths.get(tensor)

    def set(self, tensor: str, length: Length) -> None:
        """Declares the length of a tensor."""
        self._lengths[tensor] = length

    def drop(self, tensor: str) -> None:
        """Declares that all of a tensor may be read."""
        self._lengths.pop(tensor, None)

    def carry(
        self,
        node: OnnxNode,
        op: Operator,
        inputs: Sequence[str],
        types: Mapping[str, TensorType],
        outputs: Sequence[str],
        results: Sequence[TensorType],
    ) -> None:
        """Gives the outputs of an operator the lengths of its inputs; raises UnsupportedOperatorError where it neither
        keeps their axes nor has them filled behind their lengths, or puts two lengths, or one and a fixed size, on one
        axis.
        """
        if not any(name in self._lengths for name in inputs):
            return
        read = [types[name] for name in inputs]
        carried: list[Length | None] = [None] * len(outputs)
        for source, name in enumerate(inputs):
            length = self._lengths.get(name)
            if length is None:
                continue
            is_filled = op.filler(length.axis, source, read) is not None
            for place, axis in enumerate(op.carried(length.axis, source, read, results)):
                if axis is None and is_filled:
                    continue
                if axis is None or carried[place] not in (None, Length(axis, length.tensor)):
                    raise _refused(node, name)
                carried[place] = Length(axis, length.tensor)
        for source, name in enumerate(inputs):
            if name not in self._lengths and self._meets(op, source, read, results, carried):
                raise _refused(node, next(other for other in inputs if other in self._lengths))
        self._lengths.update((n, length) for n, length in zip(outputs, carried, strict=True) if length)

    def _meets(
        self,
        op: Operator,
        source: int,
        read: Sequence[TensorType],
        results: Sequence[TensorType],
        carried: Sequence[Length | None],
    ) -> bool:
        """Whether an axis of fixed size of an input lies on one of the results that has a length."""
        return any(
            length is not None and axis == length.axis
            for own, size in enumerate(read[source].shape)
            if size > 1
            for axis, length in zip(op.carried(own, source, read, results), carried, strict=True)
        )


def _refused(node: OnnxNode, tensor: str) -> Exception:
    return node.unsupported(
        f"it reads {tensor!r} along an axis whose length depends on data, in a way that does not keep that axis",
        "make that tensor an output and compute the rest outside of the network",
    )
