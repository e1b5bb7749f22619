"""A network under comparison: its one input, and the output that onnxruntime computes from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from codegen.tensor import FloatArray
from microbench.errors import PeerError


@dataclass(frozen=True, eq=False)
class PeerNetwork:
    """A model file, an input for it (batch 1, float32, row-major NCHW) and the output expected from that."""

    name: str
    path: Path
    value: FloatArray
    expected: FloatArray


def open_peer_network(path: Path, seed: int) -> PeerNetwork:
    """A network with a normally distributed input.

    Raises PeerError where onnxruntime refuses it, or it has not one input of a fixed shape and one output.
    """
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise PeerError(f"model {path}: onnxruntime refuses it: {error}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise PeerError(
            f"model {path} has {len(inputs)} inputs and {len(outputs)} outputs; "
            "peers are compared on networks of one each"
        )
    shape = inputs[0].shape
    if not all(isinstance(length, int) for length in shape) or inputs[0].type != "tensor(float)":
        raise PeerError(
            f"model {path}: its input is {inputs[0].type} of shape {shape}; peers want float32 of a fixed shape"
        )
    value = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    expected = np.asarray(session.run(None, {inputs[0].name: value})[0], dtype=np.float32)
    return PeerNetwork(path.stem, path, value, expected)


def relative_error(output: FloatArray, expected: FloatArray) -> float:
    """Largest absolute difference over the root mean square of what is expected; infinite for another size or a NaN."""
    if output.size != expected.size:
        return float("inf")
    difference = np.abs(output.ravel().astype(np.float64) - expected.ravel())
    rms = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    worst = float(np.max(difference)) if np.all(np.isfinite(difference)) else float("inf")
    return worst / rms if rms else worst
