"""How exporters write one and the same layer: torch.onnx in planes, tf2onnx with what is left of channels last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from codegen.tensor import Array
from codegen.windows import Pads

Attributes = dict[str, int | float | str | list[int]]


class Sink(Protocol):
    """What takes the nodes: each reads what the last one wrote."""

    def node(
        self, op_type: str, name: str, constants: Sequence[str] = (), attributes: Attributes | None = None
    ) -> None:
        """Appends a node."""
        ...

    def constant(self, name: str, value: Array | np.float32) -> str:
        """Adds an initializer, float32 or int64, and returns its name."""
        ...


class PyTorch:
    """torch.onnx: planes throughout, pads as attributes, a clamp as Clip."""

    def input_shape(self, resolution: int) -> tuple[int, ...]:
        return (1, 3, resolution, resolution)

    def begin(self, sink: Sink) -> None:
        """The input is in planes already."""

    def window(
        self,
        sink: Sink,
        op_type: str,
        name: str,
        constants: Sequence[str],
        pads: Pads,
        attributes: Attributes,
    ) -> None:
        """A convolution or pool whose attributes are complete but for its pads."""
        sink.node(op_type, name, constants, {**attributes, "pads": list(pads)})

    def relu6(self, sink: Sink, name: str) -> None:
        """A clamp to [0, 6]; the constants of its ends are there."""
        sink.node("Clip", name, ["relu6.low", "relu6.high"])

    def global_average(self, sink: Sink, name: str) -> None:
        """The mean of each channel as a vector."""
        sink.node("GlobalAveragePool", name)
        sink.node("Flatten", f"{name}.flatten", attributes={"axis": 1})

    def matrix(self, sink: Sink, name: str, weight: Array, bias: Array) -> None:
        """A fully connected layer; the weights are (out, in)."""
        constants = [sink.constant(f"{name}.weight", weight), sink.constant(f"{name}.bias", bias)]
        sink.node("Gemm", name, constants, {"alpha": 1.0, "beta": 1.0, "transB": 1})


class TensorFlow:
    """tf2onnx: a channels-last input is transposed, windows are padded by nodes, means are reductions."""

    def input_shape(self, resolution: int) -> tuple[int, ...]:
        return (1, resolution, resolution, 3)

    def begin(self, sink: Sink) -> None:
        """Brings the input into planes."""
        sink.node("Transpose", "to_planes", attributes={"perm": [0, 3, 1, 2]})

    def window(
        self,
        sink: Sink,
        op_type: str,
        name: str,
        constants: Sequence[str],
        pads: Pads,
        attributes: Attributes,
    ) -> None:
        """A window of stride 1 that keeps the size is SAME, any other one VALID behind a Pad."""
        if attributes["strides"] == [1, 1] and op_type == "Conv" and any(pads):
            sink.node(op_type, name, constants, {**attributes, "auto_pad": "SAME_UPPER"})
            return
        if any(pads):
            ends = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], dtype=np.int64)
            sink.node("Pad", f"{name}.pad", [sink.constant(f"{name}.pads", ends)])
        sink.node(op_type, name, constants, {**attributes, "auto_pad": "VALID"})

    def relu6(self, sink: Sink, name: str) -> None:
        """A clamp to [0, 6]; the constants of its ends are there."""
        sink.node("Max", f"{name}.low", ["relu6.low"])
        sink.node("Min", name, ["relu6.high"])

    def global_average(self, sink: Sink, name: str) -> None:
        """The mean of each channel as a vector."""
        sink.node("ReduceMean", name, attributes={"axes": [2, 3], "keepdims": 0})

    def matrix(self, sink: Sink, name: str, weight: Array, bias: Array) -> None:
        """A fully connected layer; the weights are (out, in)."""
        sink.node("MatMul", name, [sink.constant(f"{name}.weight", weight.T)])
        sink.node("Add", f"{name}.add", [sink.constant(f"{name}.bias", bias)])


Dialect = PyTorch | TensorFlow
DIALECTS: dict[str, Dialect] = {"pytorch": PyTorch(), "tensorflow": TensorFlow()}
