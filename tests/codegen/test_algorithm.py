from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.algorithm import algorithm_named, algorithms, check_choice
from codegen.errors import ScheduleError
from codegen.expression import Operand
from codegen.graph import LayerSpec
from codegen.old_forms import REPLACED
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.softmax import Softmax
from codegen.operators.split import Split
from codegen.plan import Plan
from codegen.target import Target
from codegen.tensor import TensorType
from microbench.profile import load_profile
from tests.codegen.planned import qpu_plan, small_network

PI_ZERO = load_profile("pi-zero").target()


@pytest.fixture(scope="module")
def plan() -> Plan:
    return qpu_plan(small_network())


def test_choices_that_algorithms_have_made_are_theirs(plan: Plan) -> None:
    for step in plan.steps:
        check_choice(step.spec, PI_ZERO, step.choice)


def test_a_changed_choice_is_refused(plan: Plan) -> None:
    for step in plan.steps:
        for changed in (
            replace(step.choice, split=(("qpus", 99),)),
            replace(step.choice, tile=(("rows", 999),)),
            replace(step.choice, input_layouts=("zigzag",) * len(step.inputs)),
            replace(step.choice, precision="float8"),
        ):
            with pytest.raises(ScheduleError, match="does not offer"):
                check_choice(step.spec, PI_ZERO, changed)


def test_an_algorithm_of_another_layer_is_refused(plan: Plan) -> None:
    last = plan.steps[-1]
    other = next(step for step in plan.steps if step.choice.algorithm != last.choice.algorithm)
    with pytest.raises(ScheduleError, match="does not offer"):
        check_choice(last.spec, PI_ZERO, other.choice)
    with pytest.raises(ScheduleError, match=r"unknown algorithm 'magic'.*known"):
        check_choice(last.spec, PI_ZERO, replace(last.choice, algorithm="magic"))


@pytest.mark.parametrize("dtype", ["float16", "int8", "float64"])
def test_every_algorithm_refuses_element_types_that_it_does_not_take(plan: Plan, dtype: str) -> None:
    for step in plan.steps:
        inputs, outputs, weights = (
            tuple(TensorType(tensor.shape, dtype) for tensor in tensors)
            for tensors in (step.spec.inputs, step.spec.outputs, step.spec.weights)
        )
        retyped = LayerSpec(step.spec.op, inputs, outputs, weights)
        algorithm = algorithm_named(step.choice.algorithm)
        assert not algorithm.applies(retyped, PI_ZERO)
        with pytest.raises(ScheduleError, match="does not compute"):
            algorithm.choice(retyped, PI_ZERO, {**step.choice.splits, **step.choice.tiles})
        with pytest.raises(ScheduleError, match="does not offer"):
            check_choice(retyped, PI_ZERO, step.choice)


@pytest.mark.parametrize(("old", "new"), REPLACED.items())
def test_an_algorithm_that_is_no_more_names_what_replaced_it(plan: Plan, old: str, new: str) -> None:
    step = plan.steps[-1]
    with pytest.raises(ScheduleError, match=rf"'{old}' is no more: '{new}'.*explore run"):
        check_choice(step.spec, PI_ZERO, replace(step.choice, algorithm=old))
    assert new in algorithms() and old not in algorithms()


@pytest.mark.parametrize("target", [load_profile(name).target() for name in ("host", "pi-zero", "pi-3-64")])
def test_every_algorithm_says_of_any_layer_whether_it_computes_it(target: Target) -> None:
    image = TensorType((1, 8, 6, 6))
    half = TensorType((1, 4, 6, 6))
    weights = (TensorType((8, 8, 3, 3)), TensorType((8,)))
    residual = Conv2d((3, 3), pads=(1, 1, 1, 1), epilogue=Operand(0) + Operand(1))
    layers = [
        LayerSpec(Split(1, (4, 4)), (image,), (half, half)),
        LayerSpec(residual, (image, image), (image,), weights),
        LayerSpec(Map(Operand(0)), (TensorType((3,)),), (TensorType((3,)),)),
        LayerSpec(Softmax(0), (TensorType(()),), (TensorType(()),)),
    ]
    for algorithm in algorithms().values():
        assert {algorithm.applies(spec, target) for spec in layers} <= {True, False}
        assert algorithm.applies(layers[1], target) <= getattr(algorithm, "takes_residuals", False)
