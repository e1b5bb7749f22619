"""Algorithms and a board that follow a known law, so that a test knows the right answer of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from codegen.algorithm_base import AlgorithmBase
from codegen.engine_registry import layout_named
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.elementwise import Map
from codegen.operators.relayout import Relayout
from codegen.program import CpuProgram
from codegen.reference import evaluate_layer
from codegen.schedule import Axis, Candidate, Choice, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray
from explorer.measure.jobs import layer_values
from microbench.board import BundleRun, Fingerprint, Job, Kind, Measurement
from microbench.errors import BoardError, CandidateError
from microbench.profile import load_profile

Law = Callable[[Candidate], float]
Rule = Callable[[Candidate], bool]


class FakeAlgorithm(AlgorithmBase):
    """Computes clamps in one layout, with a grid of tiles; tiles in `holes` have no kernel."""

    engine: str = "cpu"

    def __init__(
        self, name: str, layout: str = "nchw", sides: int = 4, holes: frozenset[int] = frozenset()
    ) -> None:
        self.name = name
        self._layout = layout
        self._sides = sides
        self._holes = holes

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Map)

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((Axis("rows", tuple(range(self._sides))), Axis("columns", tuple(range(self._sides)))))

    def choice_at(self, spec: LayerSpec, target: Target, point: Mapping[str, int]) -> Choice:
        if point["rows"] in self._holes:
            raise ScheduleError(f"{self.name}: no kernel at {point}")
        return Choice(
            "cpu", self.name, (), values(point), (self._layout,) * len(spec.inputs), (self._layout,)
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        tiles = choice.tiles
        return Work(macs=1000.0 * (1 + tiles["rows"]), alu_instructions=2000.0 + 100 * tiles["columns"])

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        return CpuProgram(
            "", entry, np.zeros(0, np.float32), (spec.output.elements,), (spec.output.elements,), 0
        )


class FakeRelayout(FakeAlgorithm):
    """Changes layouts; there is one way to."""

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Relayout)

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((Axis("rows", (0,)), Axis("columns", (0,))))

    def choice_at(self, spec: LayerSpec, target: Target, point: Mapping[str, int]) -> Choice:
        assert isinstance(spec.op, Relayout)
        return Choice("cpu", self.name, (), values(point), (spec.op.source,), (spec.op.target,))


class FakeBoard:
    """Times by a law; the reference's outputs, spoilt where `wrong` says so; `fails` raises CandidateError.

    `limit` measurements long it answers, then it raises what a user's interrupt raises.
    """

    name = "fake"
    computes = True
    reads_clock = True
    records = True

    def __init__(
        self, law: Law, *, wrong: Rule | None = None, fails: Rule | None = None, limit: int | None = None
    ) -> None:
        self.profile = load_profile("host")
        self.target = self.profile.target()
        self.measured: list[Candidate] = []
        self._law, self._wrong, self._fails, self._limit = law, wrong, fails, limit

    def fingerprint(self) -> Fingerprint:
        return Fingerprint("fake", self.profile.hash, 0.0, "fake 1")

    def describe(self) -> str:
        return "the fake board"

    def kind_of(self, engine: str) -> Kind:
        return "host"

    def measure(self, job: Job) -> Measurement:
        if self._limit is not None and len(self.measured) >= self._limit:
            raise KeyboardInterrupt
        self.measured.append(job.candidate)
        if self._fails is not None and self._fails(job.candidate):
            raise CandidateError("it does not fit")
        spec, choice = job.candidate.spec, job.candidate.choice
        values_of_layer = layer_values(spec, 0)
        added = np.float32(0.5 if self._wrong is not None and self._wrong(job.candidate) else 0.0)
        results = evaluate_layer(spec, values_of_layer.inputs, values_of_layer.weights)
        images = [
            layout_named(name).pack(result.astype(np.float32) + added)
            for name, result in zip(choice.output_layouts, results, strict=True)
        ]
        return Measurement((self._law(job.candidate),), "host", np.concatenate(images))

    def run_bundle(self, bundle: Path, inputs: tuple[FloatArray, ...]) -> BundleRun:
        raise BoardError("the fake board runs no bundle")

    def close(self) -> None:
        """Nothing to free."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def law_s(candidate: Candidate) -> float:
    """Best at rows 2, columns 1; the algorithm `quick` is twice as fast as any other."""
    tiles = candidate.choice.tiles
    distance = (tiles["rows"] - 2) ** 2 + (tiles["columns"] - 1) ** 2
    return 1e-4 * (1 + 0.2 * distance) * (0.5 if candidate.choice.algorithm == "quick" else 1.0)
