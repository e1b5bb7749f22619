"""Two layers that do not depend on each other between the same two barriers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import ClassVar

from codegen.algorithm import algorithm_named, check_choice
from codegen.algorithm_base import AlgorithmBase
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.layer import QpuLayer
from codegen.engines.videocore4.side_by_side import behind_others, side_by_side
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.side_by_side import SideBySide
from codegen.schedule import Axis, AxisNames, Candidate, Choice, Phase, Point, Space, Work, values
from codegen.stored_weights import weight_type
from codegen.target import Target
from codegen.tensor import FloatArray

SLICE = 4  # QPUs with an instruction cache and TMUs of their own
APART, FIRST_AHEAD, SECOND_AHEAD = "apart", "first_ahead", "second_ahead"


class QpuSideBySide(AlgorithmBase):
    """Two layers at the same time, each by its own kernel, with one barrier behind both: apart, on QPUs of their own,
    or on all, each QPU going on with one when it has done its tiles of the other.

    Axes:
        qpus: QPUs that begin with the first layer
        order: what comes then: apart, nothing, while the other QPUs compute the second layer; first_ahead, the second
            layer, while the other QPUs begin with that and go on with the first; second_ahead, all begin with the
            second and go on with the first
    """

    name = "qpu_side_by_side"
    engine = "videocore4"
    axis_names: ClassVar[AxisNames] = {"order": (APART, FIRST_AHEAD, SECOND_AHEAD)}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        op = spec.op
        if not isinstance(op, SideBySide) or len(op.members) != 2 or target.qpus < 2 or target.parts != 1:
            return False
        return all(self._takes(member, target) for member in op.members)

    def _takes(self, member: Candidate, target: Target) -> bool:
        algorithm = algorithm_named(member.choice.algorithm)
        return (
            isinstance(algorithm, QpuAlgorithm)
            and not isinstance(member.spec.op, SideBySide)
            and weight_type(member.choice) == "float32"
            and algorithm.applies(member.spec, target)
        )

    def space(self, spec: LayerSpec, target: Target) -> Space:
        step = SLICE if target.qpus > SLICE else 1
        counts = (*range(step, target.qpus, step), target.qpus)
        return Space((Axis("qpus", counts, "split"), Axis("order", self.axis_names["order"], "split")))

    def choice_at(self, spec: LayerSpec, target: Target, point: Point) -> Choice:
        members, order = _members(spec), point["order"]
        if (order == APART and point["qpus"] == target.qpus) or (
            order == SECOND_AHEAD and point["qpus"] < target.qpus
        ):
            raise ScheduleError(f"{point['qpus']} QPUs that begin with the first layer are none of {order}")
        for member, own in zip(members, _targets(target, point), strict=True):
            check_choice(member.spec, own, member.choice)
        return Choice(
            engine=self.engine,
            algorithm=self.name,
            split=values(point),
            tile=(),
            input_layouts=tuple(name for member in members for name in member.choice.input_layouts),
            output_layouts=tuple(name for member in members for name in member.choice.output_layouts),
        )

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        targets = _targets(target, choice.splits)
        works = [
            algorithm_named(member.choice.algorithm).work(member.spec, own, member.choice)
            for member, own in zip(_members(spec), targets, strict=True)
        ]
        busiest = [
            work.instructions * work.balance / own.qpus for work, own in zip(works, targets, strict=True)
        ]
        longest = max(busiest) if choice.splits["order"] == APART else sum(busiest)
        both = _sum(*works)
        even = both.instructions / target.qpus
        return replace(both, balance=max(1.0, longest / even) if even else 1.0)

    def phases(self, spec: LayerSpec, target: Target, choice: Choice) -> tuple[Phase, ...]:
        """Those of both layers, as if the second came behind the first."""
        found: list[Phase] = []
        for member, own in zip(_members(spec), _targets(target, choice.splits), strict=True):
            algorithm = algorithm_named(member.choice.algorithm)
            whole = Phase(member, algorithm.work(member.spec, own, member.choice))
            found += algorithm.phases(member.spec, own, member.choice) or (whole,)
        return tuple(found)

    def lower(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        *,
        output_lines: int | None = None,
    ) -> QpuLayer:
        if output_lines is not None:
            raise ScheduleError(f"{self.name} has several outputs: `lower_each` takes the lines of each")
        return self.lower_each(spec, target, choice, weights, (None,) * len(spec.outputs))

    def lower_each(
        self,
        spec: LayerSpec,
        target: Target,
        choice: Choice,
        weights: Sequence[FloatArray],
        output_lines: Sequence[int | None],
    ) -> QpuLayer:
        """See `LowersEach`."""
        if target.parts != 1:
            raise ScheduleError(f"{self.name} deals no layers out to several launches")
        assert isinstance(spec.op, SideBySide)
        layers = []
        for (member, share), own in zip(spec.op.shares(), _targets(target, choice.splits), strict=True):
            algorithm = algorithm_named(member.choice.algorithm)
            assert isinstance(algorithm, QpuAlgorithm)
            (lines,) = output_lines[share.outputs] if len(member.spec.outputs) == 1 else (None,)
            layers.append(
                algorithm.lower(member.spec, own, member.choice, weights[share.weights], output_lines=lines)
            )
        first, second = layers
        qpus, order = choice.splits["qpus"], choice.splits["order"]
        if order == APART:
            second = behind_others(second, qpus)
        swaps = [order == SECOND_AHEAD or (order == FIRST_AHEAD and q >= qpus) for q in range(target.qpus)]
        before = spec.op.members[0].spec
        return side_by_side(first, second, swaps, len(before.inputs), len(before.outputs))


def _members(spec: LayerSpec) -> tuple[Candidate, ...]:
    assert isinstance(spec.op, SideBySide)
    return spec.op.members


def _targets(target: Target, point: Point) -> tuple[Target, Target]:
    """The board as each member sees it."""
    if point["order"] != APART:
        return target, target
    qpus = point["qpus"]
    return replace(target, qpus=qpus), replace(target, qpus=target.qpus - qpus)


def _sum(first: Work, second: Work) -> Work:
    return Work(
        **{field.name: getattr(first, field.name) + getattr(second, field.name) for field in fields(Work)}
    )
