"""From a candidate to a job that a board can run: seeded values, lowered or emitted code, packed inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codegen.algorithm import Algorithm
from codegen.canonical import content_hash
from codegen.engine_registry import engine_named, layout_named
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.side_by_side import members_of
from codegen.program import CpuProgram, Program
from codegen.revision import candidate_revision
from codegen.schedule import Candidate, Work
from codegen.target import Target
from codegen.tensor import AnyArray, TensorType
from codegen.trial_zeros import with_zeros
from explorer.measure.kept import Kept
from microbench.board import Job
from microbench.store import Sample

ENTRY = "candidate"
MOST_BYTES = 1 << 27  # of programs that are kept, and of values
MOST_WHOLE = 2  # of whole numbers: indices that most axes have


@dataclass(frozen=True, eq=False)
class LayerValues:
    """Activations (NCHW) and weights of one layer for a trial run, of its element types."""

    inputs: tuple[AnyArray, ...]
    weights: tuple[AnyArray, ...]

    @property
    def size_bytes(self) -> int:
        return sum(value.nbytes for value in (*self.inputs, *self.weights))


def layer_values(spec: LayerSpec, seed: int) -> LayerValues:
    """Normally distributed values, of whole numbers small ones, that depend on the layer's content and the seed alone.

    Weights are scaled so that outputs are near 1 whatever the depth of the sums, and as sparse as the layer's.
    """
    digest = content_hash([spec, seed])
    random = np.random.default_rng(int(digest[:16], 16))
    inputs = tuple(_values(random, tensor, 1.0) for tensor in spec.inputs)
    weights = tuple(_values(random, tensor, _scale(tensor)) for tensor in spec.weights)
    weights = with_zeros(spec, weights, random)
    return LayerValues(inputs, weights)


class JobBuilder:
    """Makes jobs for one target; equal candidates and seeds give equal jobs. Safe in several threads."""

    def __init__(
        self, target: Target, seed: int, algorithms: Mapping[str, Algorithm], repeats: int = 1
    ) -> None:
        self.target = target
        self.seed = seed
        self.algorithms = algorithms
        self._repeats = repeats
        self._work: dict[str, Work] = {}
        self._values: Kept[LayerSpec, LayerValues] = Kept(MOST_BYTES, lambda values: values.size_bytes)
        self._programs: Kept[str, Program] = Kept(MOST_BYTES, _size_bytes)

    def work(self, candidate: Candidate) -> Work:
        """What the candidate's algorithm says it asks of the machine."""
        if candidate.hash not in self._work:
            algorithm = self._algorithm(candidate)
            self._work[candidate.hash] = algorithm.work(candidate.spec, self.target, candidate.choice)
        return self._work[candidate.hash]

    def revision(self, candidate: Candidate) -> str:
        """Of the candidate's algorithm as it is installed."""
        self._algorithm(candidate)
        return candidate_revision(candidate, self.algorithms)

    def is_current(self, sample: Sample) -> bool:
        """Whether the code that was timed is what the sample's algorithm generates now."""
        return is_current(sample, self.algorithms)

    def job(self, candidate: Candidate) -> Job:
        """The candidate with seeded values, ready for a board of this target.

        Raises what the algorithm raises (ScheduleError, AssemblyError, LinkError) where no program can
        be made.
        """
        values = self._values_of(candidate.spec)
        layouts = [layout_named(name) for name in candidate.choice.input_layouts]
        images = tuple(layout.pack(value) for layout, value in zip(layouts, values.inputs, strict=True))
        program, work = self.program(candidate), self.work(candidate)
        return Job(candidate, program, images, work, self._repeats, self.revision(candidate))

    def program(self, candidate: Candidate) -> Program:
        """The candidate's program alone, made once while there is memory for it; raises as `job`."""
        return self._programs.get(candidate.hash, lambda: self._program(candidate))

    def _program(self, candidate: Candidate) -> Program:
        engine, weights = engine_named(candidate.choice.engine), self._values_of(candidate.spec).weights
        return engine.program(self._algorithm(candidate), candidate, self.target, weights, ENTRY)

    def _values_of(self, spec: LayerSpec) -> LayerValues:
        return self._values.get(spec, lambda: layer_values(spec, self.seed))

    def _algorithm(self, candidate: Candidate) -> Algorithm:
        name = candidate.choice.algorithm
        if name not in self.algorithms:
            raise ScheduleError(f"unknown algorithm {name!r}; known: {', '.join(self.algorithms)}")
        return self.algorithms[name]


def is_current(sample: Sample, algorithms: Mapping[str, Algorithm]) -> bool:
    """Whether the code that was timed is what one of these algorithms generates now."""
    candidate = sample.candidate
    names = {one.choice.algorithm for one in (candidate, *members_of(candidate))}
    return names <= algorithms.keys() and sample.revision == candidate_revision(candidate, algorithms)


def _size_bytes(program: Program) -> int:
    if isinstance(program, CpuProgram):
        return len(program.source) + program.weights.nbytes
    return program.words.nbytes + program.relocations.nbytes


def _scale(tensor: TensorType) -> float:
    """One over the root of the number of terms that one output element sums."""
    terms = int(np.prod(tensor.shape[1:], dtype=np.int64)) if len(tensor.shape) > 1 else 1
    return 1.0 / math.sqrt(terms)


def _values(random: np.random.Generator, tensor: TensorType, scale: float) -> AnyArray:
    dtype = tensor.element_type.dtype
    if not tensor.element_type.is_floating:
        return random.integers(0, MOST_WHOLE + 1, tensor.shape).astype(dtype)
    normal = random.standard_normal(tensor.shape, dtype=np.float32) * np.float32(scale)
    return np.asarray(normal, dtype=dtype)
