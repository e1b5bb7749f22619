"""Zeros for trying: a model's smallest weights set to zero, layer by layer. Nothing is trained again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from codegen.onnx_import.model_file import DEFAULT_DOMAIN, read_model
from codegen.onnx_import.tensors import to_array
from codegen.tensor import AnyArray
from explorer.errors import UsageError

STRUCTURES: Mapping[str, tuple[int, int]] = {"none": (1, 1), "4x1": (4, 1), "1x4": (1, 4), "16x1": (16, 1)}
"""Neighbouring outputs by neighbouring inputs of one tap that are zero together."""
CONVOLUTION, FIRST, DEPTHWISE, FULLY_CONNECTED = "convolution", "first", "depthwise", "fully connected"
PRODUCTS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class PrunedLayer:
    """A layer's weights: how many there are, and how many are not zero now. `kind` says why it was left whole."""

    name: str
    kind: str
    weights: int
    nonzero: int
    is_pruned: bool


def prune(
    source: Path, target: Path, sparsity: float, structure: str, kinds: frozenset[str]
) -> tuple[PrunedLayer, ...]:
    """Writes the model with the share `sparsity` of each layer's weights, or of their blocks, set to zero: those of the
    smallest magnitude.

    Layers are the Conv, Gemm and MatMul nodes of the main graph with constant weights; those of `kinds` are pruned,
    others left whole. Raises UsageError for a share or structure that there is not, and where nothing is pruned,
    ModelError for a file that cannot be read.
    """
    if not 0 < sparsity < 1:
        raise UsageError(f"--sparsity is a share of zeros between 0 and 1, as 0.9, not {sparsity:g}")
    if structure not in STRUCTURES:
        raise UsageError(f"--structure is one of {', '.join(STRUCTURES)}, not {structure!r}")
    model = read_model(source)
    layers: list[PrunedLayer] = []
    done: dict[str, PrunedLayer] = {}
    for node, name, tensor in _products(model):
        value = to_array(tensor, f"constant {name!r}", source.parent)
        if value.dtype.kind != "f" or value.ndim < 2 or (node.op_type != "Conv" and value.ndim > 2):
            continue
        kind = _kind(node, value, is_first=not layers)
        if name not in done and kind in kinds:
            value = _pruned(node, name, value, sparsity, STRUCTURES[structure])
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        nonzero = int(np.count_nonzero(value))
        layer = PrunedLayer(node.name or node.output[0], kind, value.size, nonzero, kind in kinds)
        done.setdefault(name, layer)
        layers.append(layer)
    if not any(layer.is_pruned for layer in layers):
        raise UsageError(
            f"{source} has no layer to prune: of the Conv, Gemm and MatMul nodes of its main graph none has constant "
            f"weights and is one of: {', '.join(sorted(kinds))}; ask for others, see --help"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(model.SerializeToString(deterministic=True))
    return tuple(layers)


def _products(model: ModelProto) -> Iterator[tuple[NodeProto, str, TensorProto]]:
    """The nodes that multiply by a constant, with its name and tensor."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in DEFAULT_DOMAIN:
            constants.update((node.output[0], entry.t) for entry in node.attribute if entry.name == "value")
        if node.op_type in PRODUCTS and node.domain in DEFAULT_DOMAIN:
            names = [name for name in _factors(node) if name in constants]
            if names:
                yield node, names[0], constants[names[0]]


def _factors(node: NodeProto) -> list[str]:
    """The inputs that may be its weights, the likelier first."""
    return [node.input[1]] if node.op_type == "Conv" else [node.input[1], node.input[0]]


def _kind(node: NodeProto, value: AnyArray, is_first: bool) -> str:
    if node.op_type != "Conv":
        return FULLY_CONNECTED
    if is_first:
        return FIRST
    return DEPTHWISE if _integer(node, "group", 1) > 1 and value.shape[1] == 1 else CONVOLUTION


def _pruned(node: NodeProto, name: str, value: AnyArray, sparsity: float, block: tuple[int, int]) -> AnyArray:
    result = value.copy()
    matrix = _by_outputs(node, name, result)
    outputs, inputs, taps = matrix.shape
    rows, columns = -(-outputs // block[0]), -(-inputs // block[1])
    padded = np.zeros((rows * block[0], columns * block[1], taps))
    padded[:outputs, :inputs] = np.abs(matrix)
    magnitudes = padded.reshape(rows, block[0], columns, block[1], taps).sum(axis=(1, 3))
    zero = np.zeros(magnitudes.shape, dtype=bool)
    zero.flat[np.argsort(magnitudes, axis=None, kind="stable")[: round(magnitudes.size * sparsity)]] = True
    matrix[zero.repeat(block[0], axis=0).repeat(block[1], axis=1)[:outputs, :inputs]] = 0
    return result


def _by_outputs(node: NodeProto, name: str, weights: AnyArray) -> AnyArray:
    """A view of weights as (outputs, inputs, taps), whatever the node's order."""
    if node.op_type == "Conv":
        return weights.reshape(*weights.shape[:2], -1)
    is_right = name == node.input[1]
    is_turned = bool(_integer(node, "transB" if is_right else "transA", 0))
    return (weights.T if is_right != is_turned else weights)[:, :, None]


def _integer(node: NodeProto, name: str, default: int) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == name), default)
