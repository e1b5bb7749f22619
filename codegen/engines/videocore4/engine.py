"""The VideoCore IV: QPU programs, several layers a launch."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.algorithm import Algorithm
from codegen.engine import LaunchLimits
from codegen.engine_registry import layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.layer import QpuLayer
from codegen.engines.videocore4.layout import Pixel16
from codegen.engines.videocore4.link import LinkedLayer, link, link_single
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.errors import ScheduleError
from codegen.layout import Layout
from codegen.memory_space import GPU
from codegen.program import Program
from codegen.schedule import Candidate
from codegen.section import Section, SectionStep, Share
from codegen.target import Target
from codegen.tensor import FloatArray

MOST_LAYERS = 512  # of a launch: as many marks as the runtime and the runner can time


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
    program_modules: tuple[str, ...] = (
        "codegen.engines.videocore4.layout",
        "codegen.engines.videocore4.link",
    )
    program_files: tuple[str, ...] = ()

    def is_on(self, target: Target) -> bool:
        return target.has_qpus

    def launch_limits(self, target: Target) -> LaunchLimits:
        return LaunchLimits(target.launch_limit_s, MOST_LAYERS)

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
        launches = [[self._linked(step, target) for step in run] for run in share.runs]
        return link(
            launches, share.placement, share.inputs, share.outputs, target.qpus, target.gpu_memory_bytes
        )

    def _linked(self, step: SectionStep, target: Target) -> LinkedLayer:
        layer = self._lowered(step.algorithm, step.candidate, target, step.weights, step.output_lines)
        return LinkedLayer(step.name, layer, step.reads, step.writes)

    def _lowered(
        self,
        algorithm: Algorithm,
        candidate: Candidate,
        target: Target,
        weights: Sequence[FloatArray],
        output_lines: int | None = None,
    ) -> QpuLayer:
        if algorithm.engine != self.name or not isinstance(algorithm, QpuAlgorithm):
            raise ScheduleError(
                f"algorithm {algorithm.name!r} makes no program for the QPUs: it needs a method lower"
            )
        return algorithm.lower(candidate.spec, target, candidate.choice, weights, output_lines=output_lines)
