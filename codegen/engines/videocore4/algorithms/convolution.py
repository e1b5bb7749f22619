"""Convolutions on planes in the forms that a graph has them: alone, with a residual in the epilogue, and with an
addition behind it as a chain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from codegen.engines.videocore4.algorithms.geometry import Geometry
from codegen.engines.videocore4.kernels.results import RESIDUAL, adds_residual
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operator import reads_further_tensor
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map


@dataclass(frozen=True)
class Convolution:
    """A convolution of a layer's first input. `residual`: the number of the input that its epilogue adds, or None."""

    op: Conv2d
    geometry: Geometry
    residual: int | None = None

    @staticmethod
    @cache
    def of(spec: LayerSpec) -> Convolution | None:
        """None where the layer is none that kernels compute."""
        if isinstance(spec.op, Chain):
            return _with_addition(spec, spec.op)
        if not isinstance(spec.op, Conv2d):
            return None
        return _on_planes(spec, spec.op, 1 if reads_further_tensor(spec.op) else None)

    @staticmethod
    def require(spec: LayerSpec) -> Convolution:
        """Raises ScheduleError where the layer is none that kernels compute."""
        found = Convolution.of(spec)
        if found is None:
            raise ScheduleError(f"no convolution on planes: {spec.describe()}")
        return found


def _on_planes(spec: LayerSpec, op: Conv2d, residual: int | None) -> Convolution | None:
    geometry = Geometry.of(replace(spec, op=op, inputs=spec.inputs[:1]))
    if geometry is None:
        return None
    if residual is not None and (not adds_residual(op.epilogue) or spec.inputs[residual] != spec.output):
        return None
    return Convolution(op, geometry, residual)


def _with_addition(spec: LayerSpec, chain: Chain) -> Convolution | None:
    if len(chain.members) != 2 or chain.sources[0] != (0,):
        return None
    (first, addition), sources = chain.members, chain.sources[1]
    others = [source for source in sources if source >= 0]
    if not isinstance(first.op, Conv2d) or not isinstance(addition.op, Map):
        return None
    if len(sources) != 2 or len(others) != 1 or addition.op.chain_part != "end":
        return None
    terms = [first.op.epilogue if source < 0 else RESIDUAL for source in sources]
    op = replace(first.op, epilogue=addition.op.expression.substitute(terms))
    return _on_planes(spec, op, others[0])
