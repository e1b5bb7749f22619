"""A network under comparison: inputs for it, and the outputs that onnxruntime computes from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from codegen.tensor import FloatArray
from microbench.errors import PeerError

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}

QUANTIZED = frozenset({"QuantizeLinear", "QLinearConv", "QLinearMatMul"})
TOLERANCE = 1e-3  # of errors: float32 sums in another order stay far below, half precision does not
UNITS = 8  # of a quantised output: engines round otherwise, and what is off by one in a layer grows in those behind it


@dataclass(frozen=True, eq=False)
class PeerNetwork:
    """A model file, by name its inputs (row-major, NCHW), and the outputs expected from these in the model's order.
    `tolerance` is the largest `worst_error` of an engine that computes the network.
    """

    name: str
    path: Path
    inputs: Mapping[str, NDArray[Any]]
    expected: tuple[FloatArray, ...]
    tolerance: float = TOLERANCE


def open_peer_network(path: Path, seed: int) -> PeerNetwork:
    """A network with normally distributed inputs; those of integers are 0 or 1, which every vocabulary has.

    Raises PeerError where onnxruntime refuses it, or an input has no fixed shape or a type that peers do not share.
    """
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise PeerError(f"model {path}: onnxruntime refuses it: {error}") from error
    random = np.random.default_rng(seed)
    inputs = {tensor.name: _drawn(path, tensor, random) for tensor in session.get_inputs()}
    outputs = session.run(None, inputs)
    expected = tuple(np.asarray(one, dtype=np.float32) for one in outputs)
    return PeerNetwork(path.stem, path, inputs, expected, _tolerance(path, expected))


def _tolerance(path: Path, expected: Sequence[FloatArray]) -> float:
    """Of a quantised network so many units, the smallest distances between numbers of an output."""
    operators = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
    return TOLERANCE if operators.isdisjoint(QUANTIZED) else max(TOLERANCE, *map(_units, expected))


def _units(output: FloatArray) -> float:
    distances = np.diff(np.unique(output.astype(np.float64)))
    rms = float(np.sqrt(np.mean(np.square(output, dtype=np.float64))))
    return UNITS * float(np.min(distances)) / rms if distances.size and rms else 0.0


def _drawn(path: Path, tensor: Any, random: np.random.Generator) -> NDArray[Any]:
    if tensor.type not in _TYPES or not all(isinstance(length, int) for length in tensor.shape):
        raise PeerError(
            f"model {path}: its input {tensor.name!r} is {tensor.type} of shape {tensor.shape}; peers want "
            f"one of {', '.join(_TYPES)}, of a fixed shape"
        )
    dtype = np.dtype(_TYPES[tensor.type])
    drawn = random.standard_normal(tensor.shape) if dtype.kind == "f" else random.integers(0, 2, tensor.shape)
    return np.asarray(drawn, dtype=dtype)


def save_inputs(network: PeerNetwork, path: Path) -> None:
    """Writes names and arrays as serve.py reads them (.npz)."""
    np.savez(path, np.array(list(network.inputs)), *network.inputs.values())


def worst_error(outputs: Sequence[FloatArray], expected: Sequence[FloatArray]) -> float:
    """The greatest `relative_error` of several outputs; infinite where there are more or fewer than expected.

    Engines name outputs and order them as they please: each is held against the one that it is nearest to, every one
    against another.
    """
    if len(outputs) != len(expected):
        return float("inf")
    errors = np.array([[relative_error(output, wanted) for wanted in expected] for output in outputs])
    rows, columns = linear_sum_assignment(np.minimum(errors, np.finfo(np.float32).max))
    return float(errors[rows, columns].max())


def relative_error(output: FloatArray, expected: FloatArray) -> float:
    """Largest absolute difference over the root mean square of what is expected; infinite for another size or a NaN."""
    if output.size != expected.size:
        return float("inf")
    difference = np.abs(output.ravel().astype(np.float64) - expected.ravel())
    rms = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    worst = float(np.max(difference)) if np.all(np.isfinite(difference)) else float("inf")
    return worst / rms if rms else worst
