"""A random graph under construction: tensors by name, what may be read next, and nodes that read it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = 20
MOST_ELEMENTS = 6000
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph. `exact`: its elements are the same whatever the order of sums, so that they may be
    compared, rounded and ranked.
    """

    name: str
    shape: Shape
    dtype: str = "float32"
    exact: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


class Growing:
    """Nodes are appended by `add`; every tensor that nobody reads becomes an output of the model."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.tensors: list[Tensor] = []
        self._inputs: list[Tensor] = []
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, np.ndarray] = {}
        self._read: set[str] = set()

    def input(self, shape: Shape, dtype: str = "float32") -> Tensor:
        tensor = Tensor(f"x{len(self._inputs)}", shape, dtype, True)
        self._inputs.append(tensor)
        self.tensors.append(tensor)
        return tensor

    def whole(self, low: int, high: int) -> int:
        """From `low` to `high`, both among them."""
        return int(self.random.integers(low, high + 1))

    def chance(self, share: float = 0.5) -> bool:
        return bool(self.random.random() < share)

    def one_of(self, things: Sequence[Any]) -> Any:
        return things[self.whole(0, len(things) - 1)]

    def find(self, fits: Callable[[Tensor], bool]) -> Tensor | None:
        """A tensor that fits, a young one rather than an old one."""
        found = [tensor for tensor in self.tensors if fits(tensor)]
        if not found:
            return None
        return found[max(self.whole(0, len(found) - 1), self.whole(0, len(found) - 1))]

    def real(self, *ranks: int, exact: bool = False) -> Tensor | None:
        """A tensor of float32, of one of these ranks where some are given."""
        return self.find(
            lambda t: t.dtype == "float32" and (not ranks or len(t.shape) in ranks) and (t.exact or not exact)
        )

    def constant(self, value: Any, dtype: str = "int64") -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = np.asarray(value, dtype=dtype)
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant(self.random.standard_normal(shape) * scale, "float32")

    def add(
        self,
        op: str,
        inputs: Sequence[Tensor | str],
        *results: tuple[Shape, str, bool],
        **attributes: Any,
    ) -> list[Tensor]:
        """A node and its outputs, each of a shape, an element type and whether it is exact."""
        number = len(self._nodes)
        written = [Tensor(f"t{number}_{i}", *result) for i, result in enumerate(results)]
        names = [one if isinstance(one, str) else one.name for one in inputs]
        renamed = {name.rstrip("_"): value for name, value in attributes.items()}
        node = helper.make_node(op, names, [one.name for one in written], name=f"n{number}", **renamed)
        self._nodes.append(node)
        self._read.update(names)
        self.tensors += written
        return written

    def free(self, what: str) -> str:
        """A name for the tensors of a body, that nothing else has."""
        return f"{what}{len(self._nodes)}"

    def read(self, tensor: Tensor) -> None:
        """Says that a body reads it."""
        self._read.add(tensor.name)

    def forget(self, *tensors: Tensor) -> None:
        """Nothing else reads these, whose shapes are not known before the run."""
        self.tensors = [one for one in self.tensors if one not in tensors]

    def model(self) -> ModelProto:
        """The model; a graph of no node gets one."""
        if not self._nodes:
            x = self.tensors[0]
            self.add("Neg", [x], (x.shape, x.dtype, True))
        inputs = {tensor.name for tensor in self._inputs}
        results = [t for t in self.tensors if t.name not in self._read and t.name not in inputs]
        graph = helper.make_graph(
            self._nodes,
            "random",
            [_info(tensor) for tensor in self._inputs],
            [_info(tensor) for tensor in results],
            [numpy_helper.from_array(value, name) for name, value in self._constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)

    def values(self) -> dict[str, np.ndarray]:
        """Inputs: numbers of few bits, so that what is made of them exactly is exact; integers of one digit."""
        return {tensor.name: self._value(tensor) for tensor in self._inputs}

    def _value(self, tensor: Tensor) -> np.ndarray:
        if tensor.dtype == "bool":
            return self.random.integers(0, 2, tensor.shape).astype(bool)
        if tensor.dtype != "float32":
            return self.random.integers(0, 10, tensor.shape).astype(tensor.dtype)
        return (np.round(self.random.standard_normal(tensor.shape) * 64) / 64).astype(np.float32)


def _info(tensor: Tensor) -> Any:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, TensorProto.DataType.ValueType(element), tensor.shape)
