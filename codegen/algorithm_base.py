"""What algorithms share: the element types that they take, and points outside their spaces refused alike."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import ClassVar, final

from codegen.element_type import FLOAT32
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operator import reads_further_tensor
from codegen.schedule import AxisNames, Choice, Phase, Point, Space
from codegen.target import Target

SPACES = 64  # kept: the points of one are asked for one after another


def first_sentence(algorithm: object) -> str:
    """The first sentence of an algorithm's description, without its full stop."""
    text = " ".join((type(algorithm).__doc__ or "").split())
    return re.split(r"(?<=\.)\s", text)[0].rstrip(".")


class AlgorithmBase(ABC):
    """Base of the algorithms: which layers they may be asked for, and at which points, is checked here for all."""

    name: str
    element_types: ClassVar[frozenset[str]] = frozenset({FLOAT32.name})
    """Names of the element types that its inputs, outputs and weights may have."""
    axis_names: ClassVar[AxisNames] = {}
    """The values of its axes of names, in the order in which models of costs number them from 0."""
    takes_residuals: ClassVar[bool] = False
    """Whether it computes epilogues that read a tensor beside the layer's result."""

    @abstractmethod
    def computes(self, spec: LayerSpec, target: Target) -> bool:
        """Whether the operator, shapes and board are this algorithm's."""

    @abstractmethod
    def space(self, spec: LayerSpec, target: Target) -> Space:
        """See `Algorithm.space`."""

    @abstractmethod
    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        """The choice at a point of the space; raises ScheduleError where no kernel exists for it."""

    def phases(self, spec: LayerSpec, target: Target, choice: Choice) -> tuple[Phase, ...]:
        """See `Algorithm.phases`."""
        return ()

    @final
    def applies(self, spec: LayerSpec, target: Target) -> bool:
        """Whether it takes the layer's element types and what its epilogue reads, and computes it on that board."""
        if reads_further_tensor(spec.op) and not self.takes_residuals:
            return False
        tensors = (*spec.inputs, *spec.outputs, *spec.weights)
        return all(tensor.dtype in self.element_types for tensor in tensors) and self.computes(spec, target)

    @final
    def choice(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        """The choice at a point; raises ScheduleError where the algorithm does not apply, the point lies outside the
        space, or no kernel exists for it.
        """
        space = _space(self, spec, target)
        if space is None:
            raise ScheduleError(f"{self.name} does not compute {spec.describe()} on {target.name}")
        self._check_point(space, point)
        return self.choice_at(spec, target, point)

    def _check_point(self, space: Space, point: Point) -> None:
        if {axis.name for axis in space.axes} != set(point):
            raise ScheduleError(
                f"{self.name}: a point has the axes {', '.join(axis.name for axis in space.axes) or '(none)'}, "
                f"not {', '.join(sorted(point)) or '(none)'}"
            )
        for axis in space.axes:
            if point[axis.name] not in axis.values:
                raise ScheduleError(
                    f"{self.name}: {axis.name} is one of {axis.values}, not {point[axis.name]}"
                )


@lru_cache(maxsize=SPACES)
def _space(algorithm: AlgorithmBase, spec: LayerSpec, target: Target) -> Space | None:
    """None where the algorithm does not apply."""
    return algorithm.space(spec, target) if algorithm.applies(spec, target) else None
