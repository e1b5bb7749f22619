"""Networks from files beside onnxruntime: whether they can be compiled, and how far apart their outputs are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from codegen.errors import ExploreError, ModelError, ObstaclesError
from codegen.onnx_import.model_file import read_model
from codegen.onnx_import.reader import Shapes
from explorer.backend import CompilerBackend

SIDE = 224  # of images whose height and width are open
MOST_WHOLE = 256  # integers of inputs stay below: they may be bytes, characters, or places in a small table
SEEDS = (0, 1, 2)

AnyArray = NDArray[Any]


@dataclass(frozen=True)
class Compared:
    """A network; `declined` are the reasons where it cannot be compiled. `error`: the greatest difference from
    onnxruntime over several inputs, relative to the spread of the output that it is in. Seconds are of this machine:
    of one inference on one thread, by modelled choices, and of everything from the file to the first result.
    """

    name: str
    nodes: int
    declined: tuple[str, ...] = ()
    error: float | None = None
    time_s: float | None = None
    peer_s: float | None = None
    compiled_s: float | None = None


def compared(path: Path, shapes: Shapes) -> Compared:
    """Reads, compiles and runs a network with seeded inputs, and the same by onnxruntime."""
    try:
        read_model(path)
        model = onnx.load(path)  # with its external data
    except (ModelError, onnx.checker.ValidationError, OSError) as error:
        return Compared(path.stem, 0, (str(error),))
    inputs = [seeded_inputs(model, shapes, seed) for seed in SEEDS]
    nodes = len(model.graph.node)
    start = time.perf_counter()
    prepared = CompilerBackend.prepare(model)
    try:
        results = [prepared.run(inputs[0])]
        compiled_s = time.perf_counter() - start
        results += [prepared.run(given) for given in inputs[1:]]
    except ObstaclesError as error:
        return Compared(path.stem, nodes, tuple(map(str, error.errors)))
    except ExploreError as error:
        return Compared(path.stem, nodes, (str(error),))
    times, peer_times, errors = [], [], []
    session = peer_session(path)
    for given, own in zip(inputs, results, strict=True):
        begin = time.perf_counter()
        wanted = session.run(prepared.outputs, given)
        middle = time.perf_counter()
        prepared.run(given)
        times.append(time.perf_counter() - middle)
        peer_times.append(middle - begin)
        errors += [spread_error(mine, theirs) for mine, theirs in zip(own, wanted, strict=True)]
    return Compared(path.stem, nodes, (), max(errors, default=0.0), min(times), min(peer_times), compiled_s)


def seeded_inputs(model: ModelProto, shapes: Shapes, seed: int) -> Mapping[str, AnyArray]:
    """A value for each input: normal numbers, small integers, truth values; open dimensions are 1, of images 224."""
    random = np.random.default_rng(seed)
    constants = {tensor.name for tensor in model.graph.initializer}
    given = [info for info in model.graph.input if info.name not in constants]
    return {info.name: _value(info, shapes.get(info.name), random) for info in given}


def _value(info: ValueInfoProto, given: tuple[int, ...] | None, random: np.random.Generator) -> AnyArray:
    tensor = info.type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim]
    is_image = len(sizes) == 4
    shape = (
        given
        if given is not None and len(given) == len(sizes)
        else tuple(
            size if size > 0 else SIDE if is_image and axis > 1 else 1 for axis, size in enumerate(sizes)
        )
    )
    if tensor.elem_type == TensorProto.STRING:
        return np.full(shape, "text", dtype=object)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        return np.asarray(random.integers(0, min(MOST_WHOLE, np.iinfo(dtype).max), shape)).astype(dtype)
    return np.asarray(random.standard_normal(shape)).astype(dtype)


def peer_session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def spread_error(own: AnyArray, wanted: AnyArray) -> float:
    """The greatest difference over the standard deviation of what is wanted; over its size where it is a constant."""
    mine, theirs = np.asarray(own, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    if mine.shape != theirs.shape or not np.array_equal(np.isfinite(mine), np.isfinite(theirs)):
        return np.inf
    finite = np.isfinite(theirs)
    if not finite.any():
        return 0.0
    spread = float(theirs[finite].std()) or float(np.abs(theirs[finite]).max()) or 1.0
    return float(np.abs(mine[finite] - theirs[finite]).max()) / spread
