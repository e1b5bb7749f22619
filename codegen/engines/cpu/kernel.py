"""What all C kernels share: choices in row-major layout, validated against the space."""

from __future__ import annotations

from abc import abstractmethod

from codegen.algorithm_base import AlgorithmBase
from codegen.engines.cpu.machine import MOST_WORKSPACE_BYTES
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.schedule import Axis, Choice, Point, Space, values
from codegen.stored_weights import WEIGHTS
from codegen.target import Target


class CpuKernel(AlgorithmBase):
    """Base of the C algorithms: everything of `Algorithm` that does not depend on the operator."""

    engine: str = "cpu"
    rms_tolerance: float | None = None
    """The largest error that its outputs may have, over their root mean square; None: only rounding is expected."""

    @abstractmethod
    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        """The axes of its space."""

    def refusal(self, spec: LayerSpec, target: Target, point: Point) -> str | None:
        """Why there is no kernel at a point of the space, or None."""
        return None

    def pieces(self, spec: LayerSpec, point: Point) -> int:
        """Into how many like pieces its threads may divide the work at a point; 1 where they cannot."""
        return 1

    def layouts(self, spec: LayerSpec, point: Point) -> tuple[tuple[str, ...], str]:
        """Layouts of the inputs and of every output."""
        return ("nchw",) * len(spec.inputs), "nchw"

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space(self.axes(spec, target))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        reason = self._idle(spec, point) or self.refusal(spec, target, point)
        if reason is not None:
            raise ScheduleError(f"{self.name}: no kernel at {dict(sorted(point.items()))}: {reason}")
        axes = self.axes(spec, target)
        split, tile = (
            values(
                {
                    axis.name: point[axis.name]
                    for axis in axes
                    if axis.role == role and (axis.name, point[axis.name]) != (WEIGHTS, "float32")
                }
            )
            for role in ("split", "tile")
        )
        sources, result = self.layouts(spec, point)
        return Choice(self.engine, self.name, split, tile, sources, (result,) * len(spec.outputs))

    def _idle(self, spec: LayerSpec, point: Point) -> str | None:
        threads = point.get("threads", 1)
        if threads > 1 and self.pieces(spec, point) < threads:
            return f"{threads} threads would share {self.pieces(spec, point)} pieces of work"
        return None


def checked_workspace(size_bytes: int) -> str | None:
    """The reason why a workspace of that size is refused, or None."""
    if size_bytes > MOST_WORKSPACE_BYTES:
        return f"its workspace of {size_bytes} bytes exceeds {MOST_WORKSPACE_BYTES}"
    return None


def at_most(candidates: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """The candidates up to `limit`, or the smallest of them."""
    return tuple(value for value in candidates if value <= limit) or (min(candidates),)
