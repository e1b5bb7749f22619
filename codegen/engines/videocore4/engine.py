"""The VideoCore IV: QPU programs, several layers a launch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.algorithm import Algorithm, algorithm_named
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import LowersEach, QpuAlgorithm
from codegen.engines.videocore4.cut_sums import SumsInOrder, mended
from codegen.engines.videocore4.layer import QpuLayer
from codegen.engines.videocore4.layout import Pixel16
from codegen.engines.videocore4.link import LinkedLayer, link, link_single
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.engines.videocore4.parts import dealt_to, parts_of
from codegen.errors import PlanError, ScheduleError
from codegen.launches import Filling, LaunchLimits, Piece
from codegen.layout import Layout
from codegen.memory_space import GPU
from codegen.operators.side_by_side import SideBySide
from codegen.program import Program
from codegen.schedule import Candidate
from codegen.section import Section, SectionStep, Share
from codegen.stored_weights import stored
from codegen.target import Target
from codegen.tensor import FloatArray

MOST_MARKS = 512  # of a launch: as many as the runtime and the runner can time


class VideoCore4Engine:
    """Its QPUs run a chain of layers in one launch, on GPU memory alone; the CPU sleeps meanwhile."""

    name = "videocore4"
    memory = GPU_MEMORY
    reads: frozenset[str] = frozenset({GPU})
    writes: frozenset[str] = frozenset({GPU})
    layouts: tuple[Layout, ...] = (Pixel16(),)
    part_layouts = frozenset({Pixel16.name})
    launches = True
    keeps_cores_busy = False
    tolerance = 1e-3  # its multipliers and special functions round coarsely
    subnormals = False
    program_modules: tuple[str, ...] = (
        "codegen.engines.videocore4.layout",
        "codegen.engines.videocore4.link",
    )
    program_files: tuple[str, ...] = ()

    def is_on(self, target: Target) -> bool:
        return target.has_qpus

    def launch_limits(self, target: Target) -> LaunchLimits:
        return LaunchLimits(target.launch_limit_s, MOST_MARKS)

    def parts(self, algorithm: Algorithm, candidate: Candidate, target: Target) -> int:
        """Raises ScheduleError where no launch could hold a part."""
        return parts_of(algorithm, candidate, target)

    def owns(self, algorithm: Algorithm) -> bool:
        return algorithm.engine == self.name and isinstance(algorithm, QpuAlgorithm)

    def program(
        self,
        algorithm: Algorithm,
        candidate: Candidate,
        target: Target,
        weights: Sequence[FloatArray],
        entry: str,
    ) -> Program:
        spec, choice = candidate.spec, candidate.choice
        layer = self._lowered(algorithm, candidate, target, weights)
        read, written = (
            [layout_named(name).size_bytes(tensor) for name, tensor in zip(layouts, tensors, strict=True)]
            for layouts, tensors in (
                (choice.input_layouts, spec.inputs),
                (choice.output_layouts, spec.outputs),
            )
        )
        return link_single(layer, read, written, target.qpus)

    def section(self, share: Share, target: Target) -> Section:
        """One image for all launches."""
        launches = [launch for run in share.runs for launch in self._launches(run, target)]
        return link(
            launches, share.placement, share.inputs, share.outputs, target.qpus, target.gpu_memory_bytes
        )

    def stored(
        self, algorithm: Algorithm, candidate: Candidate, weights: Sequence[FloatArray], filled: float
    ) -> tuple[FloatArray, ...]:
        """Rounded after they were made larger by what sums lose, which is then taken from them again: what the program
        computes with.
        """
        if not isinstance(algorithm, SumsInOrder):
            return stored(weights, candidate.choice)
        larger = mended(algorithm, candidate.spec, candidate.choice, weights, filled)
        rounded = stored(larger, candidate.choice)
        return tuple(map(_without_more, rounded, larger, weights))

    def _launches(self, run: Sequence[SectionStep], target: Target) -> list[list[LinkedLayer]]:
        """The steps' phases, cut where launches would exceed their limits."""
        limits = self.launch_limits(target)
        filling, launches = Filling(limits), list[list[LinkedLayer]]()
        for step in run:
            for piece, phases in self._pieces(step, target, limits):
                if filling.starts(piece):
                    launches.append([])
                launches[-1] += phases
        return launches

    def _pieces(
        self, step: SectionStep, target: Target, limits: LaunchLimits
    ) -> list[tuple[Piece, Sequence[LinkedLayer]]]:
        """What a launch holds whole of a step. Each phase of a divided layer may take all its time: nothing tells."""
        layer = self._lowered(
            step.algorithm, step.candidate, target, step.weights, step.filled, step.output_lines
        )
        phases = LinkedLayer(step.name, layer, step.reads, step.writes).phases(target.qpus)
        most = max(map(len, phases))
        part_s = step.predicted_s / most
        if part_s > limits.seconds:
            raise PlanError(
                f"step {step.name!r} is predicted to take {step.predicted_s:.3g} s on engine {self.name!r} in {most} "
                f"{'part' if most == 1 else 'parts'}, and a launch may take {limits.seconds:g} s; make a new plan by "
                "`explore run`, which takes it to the CPU"
            )
        if most == 1:
            return [(Piece(part_s, len(phases)), [part for parts in phases for part in parts])]
        return [(Piece(part_s, 1), [part]) for parts in phases for part in parts]

    def _lowered(
        self,
        algorithm: Algorithm,
        candidate: Candidate,
        target: Target,
        weights: Sequence[FloatArray],
        filled: Sequence[float] = (),
        output_lines: Sequence[int | None] = (),
    ) -> QpuLayer:
        if algorithm.engine != self.name or not isinstance(algorithm, QpuAlgorithm):
            raise ScheduleError(
                f"algorithm {algorithm.name!r} makes no program for the QPUs: it needs a method lower"
            )
        spec, choice = candidate.spec, candidate.choice
        dealt = dealt_to(target, parts_of(algorithm, candidate, target))
        weights = _mended(candidate, weights, filled)
        if isinstance(algorithm, LowersEach):
            return algorithm.lower_each(
                spec, dealt, choice, weights, output_lines or (None,) * len(spec.outputs)
            )
        (lines,) = output_lines if len(output_lines) == 1 else (None,)
        return algorithm.lower(spec, dealt, choice, weights, output_lines=lines)


def _mended(
    candidate: Candidate, weights: Sequence[FloatArray], filled: Sequence[float]
) -> Sequence[FloatArray]:
    """What a candidate, or each of those that are computed at the same time, computes with."""
    op, algorithm = candidate.spec.op, algorithm_named(candidate.choice.algorithm)
    if isinstance(op, SideBySide):
        return [
            own
            for member, share in op.shares()
            for own in _mended(member, weights[share.weights], filled[share.inputs])
        ]
    if isinstance(algorithm, SumsInOrder):
        return mended(algorithm, candidate.spec, candidate.choice, weights, filled[0] if filled else 1.0)
    return weights


def _without_more(found: FloatArray, larger: FloatArray, plain: FloatArray) -> FloatArray:
    """By the factor by which `larger` are larger than `plain`."""
    factor = np.divide(plain, larger, out=np.ones_like(plain), where=larger != 0.0)
    return found * factor
