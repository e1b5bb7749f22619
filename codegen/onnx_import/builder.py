"""The graph under construction, and what is known of the model's tensors so far."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from onnx import NodeProto, TensorProto

from codegen.errors import (
    EmptyTensorError,
    FoldingError,
    GraphSpecError,
    ModelError,
    NotConstantError,
    UnsupportedOperatorError,
)
from codegen.graph import Graph, Node, type_of
from codegen.lengths import Length
from codegen.onnx_import.carried_lengths import CarriedLengths
from codegen.onnx_import.dequantized import Dequantized
from codegen.onnx_import.inference import inferred_types, outer_names
from codegen.onnx_import.names import Names
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.quantities import Quantities
from codegen.onnx_import.sequences import Sequences
from codegen.onnx_import.tensors import MAX_ELEMENTS, NARROW, to_array
from codegen.operator import Operator
from codegen.tensor import Array, FloatArray, TensorType

MOST_FOLDED_BYTES = 2**30

Shape = tuple[int, ...]


class Expand(Protocol):
    """Imports ONNX nodes in the place of one, which read `constants` beside its inputs; `sets`: versions of their
    operator sets by domain, the node's own where they are not given. `is_step`: they are of the node's handler.
    """

    def __call__(
        self,
        node: OnnxNode,
        protos: Iterable[NodeProto],
        constants: Mapping[str, Array] | None = None,
        sets: Mapping[str, int] | None = None,
        *,
        is_step: bool = False,
    ) -> None: ...


class GraphBuilder:
    """Handlers read constants and activations from it and emit nodes into it, or put other ONNX nodes in their place by
    `expand`, which the reader sets.
    """

    expand: Expand

    def __init__(self, initializers: Mapping[str, TensorProto], directory: Path) -> None:
        self.directory = directory
        self.folded_bytes = 0
        self.folding_s = 0.0
        self.sequences = Sequences()
        self.quantities = Quantities()
        self.dequantized: dict[str, Dequantized] = {}
        self._initializers = dict(initializers)
        self._constants: dict[str, Array] = {}
        self._types: dict[str, TensorType] = {}
        self._nodes: list[Node] = []
        self._weights: dict[str, Array] = {}
        self._equal: dict[tuple[str, Shape, bytes], Array] = {}
        self._inputs: set[str] = set()
        self._literals: dict[str, str] = {}
        self._absent: dict[str, str] = {}
        self._unknown: set[str] = set()
        self._written: set[str] = set()
        self._names = Names()
        self._tensors = Names()
        self._lengths = CarriedLengths()
        self._kept: dict[object, str] = {}
        self._bounded: dict[object, tuple[str, ...]] = {}

    def reserve(self, nodes: set[str], tensors: set[str]) -> None:
        """Names that the model itself uses, which nothing emitted beside them may take."""
        self._names.reserve(nodes)
        self._tensors.reserve(tensors)
        self._written = tensors

    def add_input(self, name: str, type_: TensorType) -> None:
        """Declares a graph input."""
        self._define(name, type_, f"input {name!r}")
        self._inputs.add(name)

    def is_constant(self, name: str) -> bool:
        return name in self._constants or name in self._initializers

    def constant(self, node: OnnxNode, index: int) -> Array:
        """The value of an input that must be constant; raises UnsupportedOperatorError where it is not."""
        name = node.input(index)
        if not self.is_constant(name):
            self.activation(node, index)
            raise NotConstantError(
                f"{node.where}: input {index} ({name!r}) is computed from the model's inputs; only a constant is "
                "supported here: fold it when exporting",
                self.sources(name),
            )
        return self.value(name)

    def is_narrow(self, name: str) -> bool:
        """Whether it is a constant of integers of 4 bits, which those of 8 hold."""
        return name in self._initializers and self._initializers[name].data_type in NARROW

    def value(self, name: str) -> Array:
        """The value of a constant by name."""
        if name not in self._constants:
            what = f"initializer {name!r}"
            self._constants[name] = to_array(
                self._initializers[name], what, self.directory, takes_narrow=True
            )
        return self._constants[name]

    def weight(self, node: OnnxNode, index: int) -> FloatArray:
        """A constant input that must be float32."""
        value = self.constant(node, index)
        if value.dtype != np.float32:
            raise node.unsupported(
                f"input {index} ({node.inputs[index]!r}) is {value.dtype}",
                "export the model with float32 weights",
            )
        if value.size == 0:
            raise node.unsupported(
                f"input {index} ({node.inputs[index]!r}) of shape {value.shape} is empty",
                "export the model without the node",
            )
        return value.astype(np.float32, copy=False)

    def number(self, node: OnnxNode, index: int) -> FloatArray:
        """A constant input of float32, or of integers that float32 holds."""
        value = self.constant(node, index)
        if value.dtype.kind not in "iu":
            return self.weight(node, index)
        single = value.astype(np.float32)
        if not np.array_equal(single.astype(np.float64), value.astype(np.float64)):
            raise node.unsupported(
                f"input {index} ({node.inputs[index]!r}) holds integers that float32 has not",
                "use smaller ones",
            )
        return single

    def bias(self, node: OnnxNode, index: int, channels: int) -> FloatArray:
        """An optional constant input of float32, zeros where it is absent."""
        return self.weight(node, index) if node.has_input(index) else np.zeros(channels, dtype=np.float32)

    def array(self, tensor: TensorProto, what: str) -> Array:
        """The value of a tensor of the model; raises ModelError naming `what`."""
        return to_array(tensor, what, self.directory)

    def integers(self, node: OnnxNode, index: int) -> tuple[int, ...]:
        """A constant input that must be a list of integers."""
        value = self.constant(node, index)
        if value.dtype.kind not in "iu" or value.ndim > 1:
            raise node.malformed(
                f"input {index} is {value.dtype} of shape {value.shape}, not a list of integers"
            )
        return tuple(int(item) for item in value.reshape(-1))

    def whole(self, node: OnnxNode, index: int, default: int | None = None) -> int:
        """A constant input that must be one number, as an integer; absent ones are the default, where there is one."""
        if default is not None and not node.has_input(index):
            return default
        value = self.constant(node, index)
        if value.size != 1 or value.dtype.kind not in "biuf" or not np.isfinite(value).all():
            raise node.malformed(
                f"input {index} is {value.dtype} of shape {value.shape}, not one finite number"
            )
        return int(value.reshape(-1)[0])

    def activation(self, node: OnnxNode, index: int = 0) -> str:
        """The name of an input that is computed from the model's inputs."""
        name = node.input(index)
        if name in self._types:
            return name
        if name in self.sequences:
            raise node.unsupported(
                f"input {index} ({name!r}) is a sequence", "export the model with tensors in its place"
            )
        if name in self._absent:
            raise UnsupportedOperatorError(
                f"{node.where}: reads {name!r}, which {self._absent[name]} gives in training only or as an "
                "optional output that is not supported; export the model for inference"
            )
        if self.is_constant(name):
            raise node.unsupported(
                f"input {index} ({name!r}) is constant", "only a computed tensor is supported here"
            )
        if name in self._written:
            raise node.malformed(f"reads {name!r}, which is part of a cycle, or computed behind one")
        raise node.malformed(f"reads {name!r}, which nothing in the model gives")

    def require_inputs(self, node: OnnxNode) -> None:
        """Raises ModelError where a node reads what no earlier one gives."""
        for index, name in enumerate(node.inputs):
            if name and not self._is_defined(name):
                self.activation(node, index)

    def refuse_sequences(self, node: OnnxNode) -> None:
        """Raises UnsupportedOperatorError where an input is a sequence of tensors."""
        for index, name in enumerate(node.inputs):
            if name in self.sequences:
                self.activation(node, index)

    def shape(self, node: OnnxNode, index: int = 0) -> Shape:
        """The shape of a computed input."""
        return self._types[self.activation(node, index)].shape

    def shape_of(self, tensor: str) -> Shape:
        """The shape of an activation by name."""
        return self._types[tensor].shape

    def type_of(self, tensor: str) -> TensorType:
        """The type of an activation by name."""
        return self._types[tensor]

    def type(self, node: OnnxNode, index: int = 0) -> TensorType:
        """The type of an input, computed or constant."""
        if self.is_constant(node.input(index)):
            return type_of(self.constant(node, index))
        return self._types[self.activation(node, index)]

    def type_by_name(self, tensor: str) -> TensorType:
        """The type of a tensor that is known, computed or constant."""
        return type_of(self.value(tensor)) if self.is_constant(tensor) else self._types[tensor]

    def require_size(self, node: OnnxNode, shape: Sequence[int]) -> None:
        """Raises UnsupportedOperatorError where a result would have more elements than any tensor may, before anything
        of its size is made.
        """
        if any(size > MAX_ELEMENTS for size in shape) or math.prod(shape) > MAX_ELEMENTS:
            raise node.unsupported(
                f"its result of shape {tuple(shape)} has more than {MAX_ELEMENTS} elements", "make it smaller"
            )

    def tensor(self, node: OnnxNode, index: int = 0) -> str:
        """The name of an input as an activation: a constant becomes one, which is written once a run."""
        name = node.input(index)
        return self.tensor_of(node, name) if self.is_constant(name) else self.activation(node, index)

    def tensor_of(self, node: OnnxNode, name: str) -> str:
        """A tensor that is known, computed or constant, as an activation."""
        if not self.is_constant(name):
            return name
        if name not in self._literals:
            self._literals[name] = self.literal(node, self.value(name), step=f"constant/{name}")
        return self._literals[name]

    def literal(self, node: OnnxNode, value: Array, *, step: str = "") -> str:
        """An activation of a value that is known; errors as for `emit`."""
        from codegen.operators.literal import Literal

        return self.emit(node, Literal(), (), {"value": value}, step=step)

    def define_constant(self, node: OnnxNode, name: str, value: Array) -> None:
        """Makes a tensor of the model known as a constant; raises FoldingError where all are too large."""
        self._refuse_second(name, node.where)
        self.folded_bytes += value.nbytes
        if self.folded_bytes > MOST_FOLDED_BYTES:
            raise FoldingError(
                f"{node.where}: what is constant in the model has more than {MOST_FOLDED_BYTES} bytes, computed before "
                "it runs; export the model with smaller constants"
            )
        self._constants[name] = value
        if value.size == 0:  # it needs no computation, and reads as an activation all the same
            self._types[name] = type_of(value)

    def _define_empty(self, node: OnnxNode, written: Sequence[str], types: Sequence[TensorType]) -> str:
        if any(type_.elements for type_ in types):
            raise node.unsupported("some of its outputs are empty", "export the model without them")
        for name, type_ in zip(written, types, strict=True):
            self.define_constant(node, name, np.zeros(type_.shape, dtype=type_.element_type.dtype))
        return written[0]

    def emit(
        self,
        node: OnnxNode,
        op: Operator,
        tensors: str | Sequence[str],
        weights: Mapping[str, Array] | None = None,
        *,
        step: str = "",
        shape: Shape | None = None,
        outputs: Sequence[str] | None = None,
    ) -> str:
        """Appends `op` applied to one activation or several, and returns the (first) tensor it writes.

        The last node emitted for an ONNX node writes the ONNX node's output; an earlier one is told apart by
        `step`. `shape` is given for a Reshape. `outputs` are the names of what it writes where they are not the ONNX
        node's first ones. Raises ModelError where the operator does not fit its inputs.
        """
        inputs = (tensors,) if isinstance(tensors, str) else tuple(tensors)
        empty = [tensor for tensor in inputs if self._types[tensor].elements == 0]
        arrays = dict(weights or {})
        name = self._names.take(f"{node.name}/{step}") if step else node.name
        declared = [replace(self._types[inputs[0]], shape=shape)] if shape is not None else []
        try:
            types = op.infer(
                [self._types[tensor] for tensor in inputs], list(map(type_of, arrays.values())), declared
            )
        except EmptyTensorError as error:
            raise node.unsupported(
                f"its result would be empty: {error}",
                "give the network a larger input, or export it otherwise",
            ) from error
        except GraphSpecError as error:
            if empty:
                raise _reads_empty(node, empty[0]) from error
            raise node.malformed(str(error)) from error
        written = self._output_names(node, step, len(types)) if outputs is None else tuple(outputs)
        if any(type_.elements == 0 for type_ in types):
            return self._define_empty(node, written, types)
        if empty:
            raise _reads_empty(node, empty[0])
        constants = {f"{name}.{role}": self._shared(array) for role, array in arrays.items()}
        self._lengths.carry(node, op, inputs, self._types, written, types)
        read = tuple(self._filled(node, op, inputs, source) for source in range(len(inputs)))
        for output, type_ in zip(written, types, strict=True):
            self._define(output, type_, node.where)
        self._weights.update(constants)
        self._nodes.append(Node(name, op, read, written, tuple(constants)))
        return written[0]

    def _shared(self, array: Array) -> Array:
        """The array, or an equal one that another node has: weights of a loop's turns are in memory once."""
        content = hashlib.blake2b(array.tobytes(), digest_size=16).digest()
        key = (array.dtype.str, array.shape, content)
        if key not in self._equal:
            self._equal[key] = np.asarray(array, order="C")
        return self._equal[key]

    def _filled(self, node: OnnxNode, op: Operator, inputs: Sequence[str], source: int) -> str:
        from codegen.onnx_import.sizes import filled

        length = self._lengths.of(inputs[source])
        if length is None:
            return inputs[source]
        value = op.filler(length.axis, source, [self._types[name] for name in inputs])
        return inputs[source] if value is None else filled(node, self, inputs[source], value)

    def emit_bounded(
        self, node: OnnxNode, op: Operator, tensors: str | Sequence[str], axes: Sequence[int | None]
    ) -> None:
        """Appends an operator whose last output is the length of the others along these axes; None: of a fixed size.
        Errors as for `emit`.
        """
        given = (*node.outputs, *("",) * len(axes))[: len(axes)]
        names = [name or self.free_tensor(f"{node.name}/unused") for name in given]
        key = (op, tensors if isinstance(tensors, str) else tuple(tensors))
        if key in self._bounded:  # what is computed twice has one length
            for earlier, name in zip(self._bounded[key], names, strict=True):
                self.emit(node, _reshape(), earlier, shape=self.shape_of(earlier), outputs=(name,))
            return
        self._bounded[key] = tuple(names)
        length = self.length_name(node.output)
        self.emit(node, op, tensors, outputs=(*names, length))
        for name, axis in zip(names, axes, strict=True):
            if axis is not None:
                self.set_length(name, Length(axis, length))

    def free_tensor(self, name: str) -> str:
        """That name, or one like it, which no other tensor has."""
        return self._tensors.take(name)

    def length_name(self, tensor: str) -> str:
        """A new name for the length of a tensor."""
        return self.free_tensor(f"{tensor}.length")

    def to_bound(self, node: OnnxNode, tensor: str) -> str:
        """A tensor with what stands behind its length, as one all of which may be read."""
        if self._lengths.of(tensor) is None:
            return tensor
        key = ("to_bound", tensor)
        if key not in self._kept:
            view = self.emit(node, _reshape(), tensor, step="to_bound", shape=self.shape_of(tensor))
            self._lengths.drop(view)
            self._kept[key] = view
        return self._kept[key]

    def kept_step(self, key: object) -> str | None:
        """The tensor that was made for a key before."""
        return self._kept.get(key)

    def keep_step(self, key: object, tensor: str) -> str:
        """Keeps a tensor for a key; gives the tensor."""
        self._kept[key] = tensor
        return tensor

    def set_length(self, tensor: str, length: Length) -> None:
        """Declares that a tensor holds results up to a length."""
        self._lengths.set(tensor, length)

    def length(self, tensor: str) -> Length | None:
        """How much of a tensor holds results, where that depends on data."""
        return self._lengths.of(tensor)

    def require_fixed(self, node: OnnxNode, index: int = 0) -> None:
        """Raises UnsupportedOperatorError where the size of an input depends on data."""
        if self._lengths.of(node.input(index)) is not None:
            raise node.unsupported(
                f"the size of input {index} ({node.input(index)!r}) depends on data", "compute it outside"
            )

    def sources(self, tensor: str) -> frozenset[str]:
        """The graph inputs that an activation is computed from."""
        needed = {tensor}
        for node in reversed(self._nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(node.inputs)
        return frozenset(needed & self._inputs)

    def _write_constant(self, name: str) -> None:
        from codegen.operators.literal import Literal

        value = self.value(name)
        node, weight = self._names.take(f"constant/{name}"), f"{name}.value"
        del self._constants[name]
        self._initializers.pop(name, None)
        if value.size == 0:
            self._types[name] = type_of(value)
        else:
            self._define(name, type_of(value), f"output {name!r}")
        self._weights[weight] = np.asarray(value, order="C")
        self._nodes.append(Node(node, Literal(), (), (name,), (weight,)))

    def _output_names(self, node: OnnxNode, step: str, count: int) -> tuple[str, ...]:
        if step:
            return tuple(self._tensors.take(f"{node.output}/{step}") for _ in range(count))
        if len(node.outputs) < count or not all(node.outputs[:count]):
            raise node.malformed(f"it has {count} outputs, of which {len(node.outputs)} have a name")
        return node.outputs[:count]

    def finish(self, node: OnnxNode) -> None:
        """Remembers the outputs of a node that its handler did not give."""
        for name in node.outputs:
            if name and not self._is_defined(name) and name not in self._unknown:
                self._absent[name] = node.where

    def add_unknown(self, name: str) -> None:
        """Declares a tensor that there is, but of no type that is known."""
        self._unknown.add(name)

    def is_known(self, tensor: str) -> bool:
        """Whether a tensor has a type: what a node that is not supported writes may have none."""
        return self._is_defined(tensor)

    def reads_unknown(self, node: OnnxNode) -> bool:
        """Whether the node reads a tensor of which nothing is known, itself or in its subgraphs."""
        return bool(self._unknown) and not self._unknown.isdisjoint(outer_names(node))

    def forget(self, node: OnnxNode) -> None:
        """Nothing is known of what the node writes."""
        self._unknown.update(name for name in node.outputs if name and not self._is_defined(name))

    def guess(self, node: OnnxNode) -> None:
        """What a node that cannot be imported writes has the types that ONNX's own inference gives; nothing is known
        where a size of what it reads depends on data.
        """
        if any(self._lengths.of(name) for name in outer_names(node)):
            self.forget(node)
            return
        for name, type_ in inferred_types(node, self).items():
            if not self._is_defined(name) and type_.elements <= MAX_ELEMENTS:
                self._types[name] = type_
        self.forget(node)

    def _is_defined(self, name: str) -> bool:
        return name in self._types or name in self.sequences or self.is_constant(name)

    def graph(self, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
        """The imported graph; an output that is known without computing is written all the same. Raises ModelError for
        one that no node writes.
        """
        written = {tensor for node in self._nodes for tensor in node.outputs}
        for output in outputs:
            if output not in written and self.is_constant(output):
                self._write_constant(output)
            elif output not in written:
                known = output in self._types
                reason = "does not depend on any computation" if known else "is written by no supported node"
                raise ModelError(f"output {output!r} {reason}; export the model with its real outputs")
        lengths = {tensor: length for tensor in outputs if (length := self._lengths.of(tensor)) is not None}
        beside = [length.tensor for length in lengths.values()]
        outputs = tuple(dict.fromkeys((*outputs, *beside)))
        return Graph(name, inputs, outputs, tuple(self._nodes), self._types, self._weights, lengths)

    def _define(self, name: str, type_: TensorType, where: str) -> None:
        self._refuse_second(name, where)
        shape = type_.shape
        if min(shape, default=1) < 1 or math.prod(shape) > MAX_ELEMENTS:
            raise UnsupportedOperatorError(
                f"{where}: tensor {name!r} of shape {shape} is empty or has more than {MAX_ELEMENTS} elements; such "
                "tensors are not supported"
            )
        self._types[name] = type_

    def _refuse_second(self, name: str, where: str) -> None:
        if name in self._types or self.is_constant(name):
            raise ModelError(
                f"{where}: tensor {name!r} is defined twice; the model is malformed, export it again"
            )


def _reshape() -> Operator:
    from codegen.operators.reshape import Reshape

    return Reshape()


def _reads_empty(node: OnnxNode, tensor: str) -> UnsupportedOperatorError:
    return node.unsupported(f"it reads {tensor!r}, which is empty", "export the model without it")
