"""What becomes of one random graph, or of one changed model, by its number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from codegen.errors import EmptyTensorError, ExploreError, GraphSpecError, ModelError
from codegen.onnx_import.reader import OBSTACLES, import_model
from codegen.passes import optimize
from codegen.reference import evaluate
from explorer.backend import CompilerBackend
from tests.random_graphs.growing import Growing
from tests.random_graphs.kinds import KINDS, grown
from tests.random_graphs.mutations import changed_bytes, changed_fields

TOLERANCE = 1e-4  # of the largest element of an output
ROUNDING = 1e-6  # of float32 sums of numbers near 1, all that is left where these cancel
COMPILED = ("-O1",)
RUNTIME_EACH = 3  # of so many graphs one is read as onnxruntime's optimiser writes it, too
MODELS = 64  # that are changed in turn
"""How many graphs stand at the beginning of changed models."""


@dataclass(frozen=True)
class Outcome:
    """A verdict (agreed, declined, refused as malformed, imported, no witness, wrong, crashed), and why."""

    verdict: str
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        return self.verdict in ("wrong", "crashed")


def graph_of(number: int) -> Growing:
    """The random graph of a number; every kind in turn."""
    kinds = list(KINDS)
    return grown(kinds[number % len(kinds)], np.random.default_rng([number, 1]))


def judged_graph(number: int, compiled_each: int) -> Outcome:
    """Imports a graph and compares its float64 evaluation with onnxruntime, before and behind the passes; each so many
    graphs are compiled and run too.
    """
    growing = graph_of(number)
    model, values = growing.model(), growing.values()
    wanted = _by_runtime(model, values)
    if wanted is None:
        return Outcome("no witness")
    try:
        imported = import_model(model)
        results = {"imported": evaluate(imported, values), "optimized": evaluate(optimize(imported), values)}
        if number % RUNTIME_EACH == 0 and (rewritten := _rewritten(model)) is not None:
            results["optimized by onnxruntime"] = evaluate(import_model(rewritten), values)
        if number % compiled_each == 0:
            outputs = CompilerBackend.prepare(model, flags=COMPILED).run(values)
            results["compiled"] = dict(zip(imported.outputs, outputs, strict=True))
    except OBSTACLES as error:
        return Outcome("declined", f"{type(error).__name__}: {error}")
    except ModelError as error:
        return Outcome("wrong", f"a valid model is called malformed: {error}")
    for way, found in results.items():
        for name, expected in wanted.items():
            if reason := _difference(np.asarray(found[name]), expected):
                return Outcome("wrong", f"{way}: output {name!r} {reason}")
    return Outcome("agreed", "compiled" if "compiled" in results else "evaluated")


def _session(model: ModelProto, level: str, written: str = "") -> Any:
    """A session of onnxruntime, which writes the optimised model where a file is given; None where it declines."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    if written:
        options.optimized_model_filepath = written
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except (faults.NotImplemented, faults.InvalidGraph, faults.Fail):
        return None


def _by_runtime(model: ModelProto, values: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    session = _session(model, "ORT_DISABLE_ALL")
    names = [info.name for info in model.graph.output]
    try:
        return None if session is None else dict(zip(names, session.run(names, values), strict=True))
    except (faults.NotImplemented, faults.Fail, faults.RuntimeException):
        return None


def _rewritten(model: ModelProto) -> ModelProto | None:
    """The model as onnxruntime's optimiser writes it, for any machine."""
    with TemporaryDirectory() as place:
        path = Path(place) / "optimised.onnx"
        return None if _session(model, "ORT_ENABLE_EXTENDED", str(path)) is None else onnx.load(path)


def _difference(found: np.ndarray, expected: np.ndarray) -> str:
    """What is wrong about an output; empty where nothing is."""
    if found.shape != expected.shape:
        return f"has shape {found.shape}, not {expected.shape}"
    mine, theirs = found.astype(np.float64), expected.astype(np.float64)
    if not np.array_equal(np.isfinite(mine), np.isfinite(theirs)):
        return "is not finite in other places"
    finite = np.isfinite(theirs)
    largest = float(np.abs(theirs[finite]).max(initial=0.0))
    error = float(np.abs(mine[finite] - theirs[finite]).max(initial=0.0))
    is_whole = expected.dtype.kind in "iub"
    return (
        f"is off by {error:.2e} of {largest:.2e}"
        if error > (0 if is_whole else max(TOLERANCE * largest, ROUNDING))
        else ""
    )


def judged_change(number: int) -> Outcome:
    """Imports a changed model, by bytes and by fields in turn; what is imported is optimized."""
    random = np.random.default_rng([number, 2])
    data: Any = graph_of(number // 2 % MODELS).model().SerializeToString()
    changed = (changed_bytes if number % 2 else changed_fields)(data, random)
    model = ModelProto()
    try:
        model.ParseFromString(changed)
    except Exception:  # noqa: BLE001 - the reader of files turns it into the error that a test of its own asks for
        return Outcome("refused", "no message")
    try:
        with np.errstate(all="ignore"):
            optimize(import_model(model))
    except (EmptyTensorError, GraphSpecError) as error:
        return Outcome("crashed", f"{type(error).__name__}: {error}")
    except OBSTACLES as error:
        return Outcome("declined", type(error).__name__)
    except ExploreError as error:
        return Outcome("refused", type(error).__name__)
    return Outcome("imported")
