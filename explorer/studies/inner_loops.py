"""Compiles the candidates that the roofline likes best and looks at their inner loops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from codegen.algorithm import algorithms
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_object
from codegen.errors import ScheduleError, ToolchainError
from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from codegen.target import Target
from codegen.tensor import FloatArray
from explorer.search.roofline_ranking import ranked_candidates
from microbench.inner_loops.counts import LoopCounts, count_loop
from microbench.inner_loops.disassembly import disassemble
from microbench.inner_loops.loops import Loop, busiest_loop
from microbench.inner_loops.pipeline_model import estimate, has_model, why_no_simulator
from microbench.profile import DeviceProfile


@dataclass(frozen=True)
class Inspection:
    """The busiest inner loop of a candidate's kernel, or why there is none to look at.

    `cycles` of an iteration by llvm-mca; None where it has no model of the core, or is not installed.
    """

    layer: str
    device: str
    candidate: Candidate
    counts: LoopCounts | None
    cycles: float | None
    refusal: str | None = None

    @property
    def macs_per_cycle(self) -> float | None:
        if self.counts is None or not self.cycles:
            return None
        return self.counts.macs / self.cycles


def inspect_device(
    profile: DeviceProfile, layers: Mapping[str, LayerSpec], points: int = 1
) -> Iterator[Inspection]:
    """For every layer and CPU algorithm that applies the `points` candidates that the roofline ranks first.

    One thread each: the loops of more are the same. Raises DisassemblyError where tools are missing.
    """
    for name, spec in layers.items():
        for algorithm in algorithms().values():
            if not isinstance(algorithm, CpuAlgorithm):
                continue
            ranked = ranked_candidates(algorithm, spec, profile, threads=1)
            for candidate, _ in ranked[:points]:
                yield _inspected(name, profile, algorithm, candidate)


def compiled_loop(algorithm: CpuAlgorithm, candidate: Candidate, target: Target) -> Loop | None:
    """The busiest inner loop of a candidate's kernel as the project compiles it; None where none has products.

    Raises ScheduleError or ToolchainError where there is no kernel, DisassemblyError where it cannot be read.
    """
    spec = candidate.spec
    program = algorithm.emit(spec, target, candidate.choice, _weights(spec), "kernel")
    return busiest_loop(disassemble(compile_object({"kernel.c": program.source}, target, KERNEL_FLAGS)))


def _inspected(
    layer: str, profile: DeviceProfile, algorithm: CpuAlgorithm, candidate: Candidate
) -> Inspection:
    try:
        loop = compiled_loop(algorithm, candidate, profile.target())
    except (ScheduleError, ToolchainError) as error:
        return Inspection(layer, profile.name, candidate, None, None, str(error).splitlines()[0])
    if loop is None:
        return Inspection(layer, profile.name, candidate, None, None, "no loop with multiply-accumulates")
    modelled = has_model(profile.compiler_target, profile.cpu) and why_no_simulator() is None
    cycles = estimate(loop, profile.cpu).cycles if modelled else None
    return Inspection(layer, profile.name, candidate, count_loop(loop), cycles)


def _weights(spec: LayerSpec) -> list[FloatArray]:
    random = np.random.default_rng(0)
    return [random.standard_normal(tensor.shape, dtype=np.float32) for tensor in spec.weights]
