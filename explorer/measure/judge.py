"""Whether a candidate computed what its layer means: compared with the float64 reference."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.algorithm import algorithms
from codegen.engine_registry import engine_named, layout_named
from codegen.engines.cpu.kernel import CpuKernel
from codegen.graph import LayerSpec
from codegen.program import WORD_BYTES
from codegen.reference import evaluate_layer
from codegen.schedule import Candidate
from codegen.stored_weights import StoresNarrow, stored, weight_type
from codegen.target import WeightType
from codegen.tensor import Array, FloatArray
from explorer.measure.jobs import layer_values


@dataclass(frozen=True)
class Verdict:
    """`message` says how far off a wrong output is; `error` is relative to the largest reference value."""

    correct: bool
    error: float
    message: str = ""


def relative_error(output: NDArray[np.generic], reference: NDArray[np.float64]) -> float:
    """Largest absolute difference over the largest absolute reference value; inf for NaN or infinity that the
    reference has not, and the other way round.
    """
    found, is_number = np.asarray(output, dtype=np.float64), np.isfinite(reference)
    if not np.array_equal(found[~is_number], reference[~is_number], equal_nan=True):
        return float("inf")
    found, reference = found[is_number], reference[is_number]
    if not np.all(np.isfinite(found)):
        return float("inf")
    largest = float(np.max(np.abs(reference), initial=0.0))
    return float(np.max(np.abs(found - reference), initial=0.0)) / (largest or 1.0)


def crest_factor(reference: NDArray[np.float64]) -> float:
    """Largest absolute value over the root mean square; 1 for zeros."""
    rms = float(np.sqrt(np.mean(np.square(reference)))) if reference.size else 0.0
    return float(np.max(np.abs(reference))) / rms if rms else 1.0


def rms_tolerance(algorithm: str) -> float | None:
    """The bound that an algorithm sets itself over the root mean square of its outputs (`CpuKernel`)."""
    found = algorithms().get(algorithm)
    return found.rms_tolerance if isinstance(found, CpuKernel) else None


class Judge:
    """Computes each layer's reference once; safe to be asked from several threads."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._references: dict[tuple[LayerSpec, WeightType, bool], tuple[NDArray[np.float64], ...]] = {}
        self._lock = threading.Lock()

    def judge(self, candidate: Candidate, output: FloatArray) -> Verdict:
        """The verdict on flat output images in the candidate's output layouts, one behind the other in whole words."""
        spec, choice = candidate.spec, candidate.choice
        layouts = [layout_named(name) for name in choice.output_layouts]
        sizes = [layout.size_bytes(type_) for layout, type_ in zip(layouts, spec.outputs, strict=True)]
        places = np.cumsum([0, *(-(-size // WORD_BYTES) * WORD_BYTES for size in sizes)])
        if output.nbytes != places[-1]:
            return Verdict(False, float("inf"), f"output of {output.nbytes} bytes, not {places[-1]}")
        memory = output.view(np.uint8)
        found = [
            layout.unpack(memory[begin : begin + size].view(type_.element_type.dtype), type_)
            for layout, begin, size, type_ in zip(layouts, places[:-1], sizes, spec.outputs, strict=True)
        ]
        verdicts = [
            self._verdict(candidate, value, reference)
            for value, reference in zip(found, self._reference(candidate), strict=True)
        ]
        return max(verdicts, key=lambda verdict: (not verdict.correct, verdict.error))

    def _verdict(self, candidate: Candidate, found: Array, reference: NDArray[np.float64]) -> Verdict:
        tolerance = engine_named(candidate.choice.engine).tolerance
        if found.dtype.kind == "f":  # narrow ones round more than engines are allowed to
            tolerance = max(tolerance, float(np.finfo(found.dtype.name).eps))
        error = relative_error(found, reference)
        if not error <= tolerance:
            message = f"largest error {error:.3g} of the largest output; allowed {tolerance:g}"
            return Verdict(False, error, message)
        of_rms, allowed = error * crest_factor(reference), rms_tolerance(candidate.choice.algorithm)
        if allowed is not None and not of_rms <= allowed:
            message = f"largest error {of_rms:.3g} of the outputs' root mean square; allowed {allowed:g}"
            return Verdict(False, error, message)
        return Verdict(True, error)

    def _reference(self, candidate: Candidate) -> tuple[NDArray[np.float64], ...]:
        """With the weights that its program has."""
        spec, engine = candidate.spec, engine_named(candidate.choice.engine)
        kind = weight_type(candidate.choice)
        subnormals = isinstance(engine, StoresNarrow) and engine.subnormals
        with self._lock:
            if (spec, kind, subnormals) not in self._references:
                values = layer_values(spec, self._seed)
                weights = values.weights
                if kind != "float32":
                    weights = stored(weights, candidate.choice, subnormals=subnormals)
                self._references[spec, kind, subnormals] = evaluate_layer(spec, values.inputs, weights)
            return self._references[spec, kind, subnormals]
