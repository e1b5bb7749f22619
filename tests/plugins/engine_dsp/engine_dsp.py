"""A signal processor as a package of its own: an operator, the algorithm that computes it, the engine it runs on.

The processor is simulated by the host's C compiler: it has the host's memory and no other, and the caller waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.algorithm import Algorithm
from codegen.algorithm_base import AlgorithmBase
from codegen.engine_base import CalledEngine
from codegen.engines.cpu.source import fill
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.layout import Layout, Nchw
from codegen.memory_space import HOST
from codegen.onnx_import.registry import handles
from codegen.operator import Arrays, Operator, Types, sole_input
from codegen.program import CpuProgram
from codegen.schedule import Axis, Candidate, Choice, Space, Work, values
from codegen.target import Target
from codegen.tensor import Doubles, FloatArray, TensorType

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

NORMALISE = """
    #include <math.h>

    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        (void)weights;
        (void)workspace;
        (void)part;
        for (int row = 0; row < $rows; ++row) {
            const float *x = inputs[0] + row * $length;
            float *y = outputs[0] + row * $length;
            float sums[$lanes] = {0};
            for (int k = 0; k < $length; ++k)
                sums[k % $lanes] += x[k] * x[k];
            float sum = 0.0f;
            for (int lane = 0; lane < $lanes; ++lane)
                sum += sums[lane];
            const float scale = sum > 0.0f ? 1.0f / sqrtf(sum) : 0.0f;
            for (int k = 0; k < $length; ++k)
                y[k] = x[k] * scale;
        }
    }
"""


@dataclass(frozen=True)
class Normalise(Operator):
    """Vectors along the last axis, each divided by its Euclidean length."""

    def infer(self, inputs: Types, weights: Types, declared: Types) -> tuple[TensorType, ...]:
        return (sole_input(self, inputs, weights, 0),)

    def evaluate(self, inputs: Arrays, weights: Arrays, outputs: Types) -> tuple[Doubles, ...]:
        lengths = np.sqrt(np.square(inputs[0]).sum(axis=-1, keepdims=True))
        return (np.divide(inputs[0], lengths, out=np.zeros_like(inputs[0]), where=lengths > 0),)


@handles("UnitLength", "over the last axis", domain="dsp")
def unit_length(node: OnnxNode, builder: GraphBuilder) -> None:
    """The form that the processor computes."""
    builder.emit(node, Normalise(), builder.activation(node))


class DspNormalise(AlgorithmBase):
    """Sums of squares in `lanes` accumulators."""

    name = "dsp_normalise"
    engine: str = "dsp"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Normalise)

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((Axis("lanes", (1, 4)),))

    def choice_at(self, spec: LayerSpec, target: Target, point: Mapping[str, int]) -> Choice:
        return Choice(self.engine, self.name, (), values(point), ("nchw",), ("nchw",))

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        elements, size_bytes = float(spec.output.elements), float(spec.output.size_bytes)
        return Work(
            macs=2 * elements,
            alu_instructions=4 * elements,
            load_instructions=2 * elements,
            store_instructions=elements,
            unique_bytes_read=size_bytes,
            streamed_bytes_read=size_bytes,
            bytes_written=size_bytes,
        )

    def print_c(self, spec: LayerSpec, choice: Choice, entry: str) -> str:
        """What the processor's compiler takes."""
        *rows, length = spec.output.shape
        return fill(NORMALISE, entry=entry, rows=math.prod(rows), length=length, lanes=choice.tiles["lanes"])


class DspEngine(CalledEngine):
    """Called layer by layer; its memory is the host's."""

    name = "dsp"
    reads: frozenset[str] = frozenset({HOST})
    writes: frozenset[str] = frozenset({HOST})
    layouts: tuple[Layout, ...] = ()
    part_layouts = frozenset({Nchw.name})
    tolerance = 1e-4
    program_modules: tuple[str, ...] = ("engine_dsp",)

    def is_on(self, target: Target) -> bool:
        return True

    def owns(self, algorithm: Algorithm) -> bool:
        return isinstance(algorithm, DspNormalise)

    def program(
        self,
        algorithm: Algorithm,
        candidate: Candidate,
        target: Target,
        weights: Sequence[FloatArray],
        entry: str,
    ) -> CpuProgram:
        if not isinstance(algorithm, DspNormalise):
            raise ScheduleError(f"algorithm {algorithm.name!r} prints no C for the signal processor")
        spec = candidate.spec
        sizes = (spec.output.elements,)
        source = algorithm.print_c(spec, candidate.choice, entry)
        return CpuProgram(source, entry, np.zeros(0, np.float32), sizes, sizes, 0)
