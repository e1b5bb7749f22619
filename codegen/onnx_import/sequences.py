"""Sequences of tensors, which exist while a model is imported alone: nothing that runs knows of them."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.onnx_import.node import OnnxNode


class Sequences:
    """By the names that the model gives them: the names of their tensors."""

    def __init__(self) -> None:
        self._tensors: dict[str, tuple[str, ...]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def define(self, name: str, tensors: Sequence[str]) -> None:
        """A new sequence."""
        self._tensors[name] = tuple(tensors)

    def read(self, node: OnnxNode, index: int) -> tuple[str, ...]:
        """The tensors of an input; raises UnsupportedOperatorError where it is no sequence that import knows."""
        name = node.input(index)
        if name not in self._tensors:
            raise node.unsupported(
                f"input {index} ({name!r}) is no sequence whose tensors are known before the network runs",
                "export the model with tensors",
            )
        return self._tensors[name]
