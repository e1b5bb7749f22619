"""Layers of the QPUs in parts: what they compute, where they are refused, and how launches, marks and bundles count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen.algorithm import Algorithm, algorithm_named, algorithms
from codegen.bundle import compile_bundle
from codegen.bundle.model import compose
from codegen.engine_registry import engine_named, layout_named
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.engines.videocore4.engine import MOST_MARKS
from codegen.engines.videocore4.link import link_single
from codegen.engines.videocore4.parts import SHARE, dealt_to, parts_of
from codegen.errors import PlanError, ScheduleError
from codegen.graph import Graph, LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.plan import Plan
from codegen.program import GpuProgram
from codegen.reference import evaluate
from codegen.schedule import Candidate, Choice
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType
from tests.codegen.algorithm_layers import LAYERS
from tests.codegen.gpu_run import TARGET, execute, random_tensors
from tests.codegen.layers import inferred_layer
from tests.codegen.plan_run import layered_plan, run_plan
from tests.codegen.planned import PI_ZERO, GraphBuilder
from tests.codegen.test_bundle_gpu import run, slow_plan

QPU = engine_named("videocore4")
WIDE = inferred_layer(Conv2d((1, 1)), (1, 16, 24, 24), weights=((32, 16, 1, 1), (32,)))


def first_choice(algorithm: Algorithm, spec: LayerSpec) -> Choice:
    points = algorithm.space(spec, TARGET).points()
    for point in points:
        try:
            return algorithm.choice(spec, TARGET, point)
        except ScheduleError:
            continue
    raise AssertionError(f"{algorithm.name} offers nothing for {spec.describe()}")


def limited(candidate: Candidate, parts: int) -> Target:
    """A board on which a layer has so many parts."""
    algorithm = algorithm_named(candidate.choice.algorithm)
    for exponent in range(200):
        target = replace(TARGET, launch_limit_s=TARGET.launch_limit_s * 0.9**exponent)
        if parts_of(algorithm, candidate, target) >= parts:
            return target
    raise AssertionError("no limit divides it so")


def sizes_in(layouts: Sequence[str], tensors: Sequence[TensorType]) -> list[int]:
    return [layout_named(layout).size_bytes(tensor) for layout, tensor in zip(layouts, tensors, strict=True)]


def outputs(program: GpuProgram, candidate: Candidate, inputs: Sequence[FloatArray]) -> list[FloatArray]:
    """As they lie in memory."""
    layouts = map(layout_named, candidate.choice.input_layouts)
    images = [layout.pack(value) for layout, value in zip(layouts, inputs, strict=True)]
    memories, runs = execute(program, images)
    assert all(one.stale_reads == 0 for one in runs)
    return memories


IN_ONE_LAUNCH = {  # refused for more (test_qpu_split_k.py, test_qpu_side_by_side.py)
    "qpu_pointwise_split_k",
    "qpu_im2col_split_k",
    "qpu_side_by_side",
}


@pytest.mark.parametrize(
    "name", [n for n, a in algorithms().items() if isinstance(a, QpuAlgorithm) and n not in IN_ONE_LAUNCH]
)
def test_parts_compute_together_what_the_whole_does(name: str) -> None:
    algorithm = algorithm_named(name)
    assert isinstance(algorithm, QpuAlgorithm)
    taken = (spec for spec in LAYERS.values() if algorithm.applies(spec, TARGET))
    spec = max(taken, key=lambda spec: sum(tensor.elements for tensor in spec.outputs))  # has several tiles
    candidate = Candidate(spec, first_choice(algorithm, spec))
    inputs, weights = random_tensors(spec, seed=1)
    few = replace(TARGET, qpus=1)  # so that small layers have several parts
    read = sizes_in(candidate.choice.input_layouts, spec.inputs)
    written = sizes_in(candidate.choice.output_layouts, spec.outputs)
    whole, divided = (
        link_single(algorithm.lower(spec, target, candidate.choice, weights), read, written, few.qpus)
        for target in (few, dealt_to(few, 3))
    )
    assert len(whole.launches) == 1 < len(divided.launches) <= 3 * len(whole.launches[0].layers)
    for one, other in zip(
        outputs(whole, candidate, inputs), outputs(divided, candidate, inputs), strict=True
    ):
        np.testing.assert_array_equal(one.view(np.uint32), other.view(np.uint32))


def test_a_layer_has_as_many_parts_as_its_limit_asks_for() -> None:
    candidate = Candidate(WIDE, first_choice(algorithm_named("qpu_pointwise_streamed"), WIDE))
    algorithm = algorithm_named(candidate.choice.algorithm)
    assert parts_of(algorithm, candidate, TARGET) == 1
    found = [
        parts_of(algorithm, candidate, replace(TARGET, launch_limit_s=TARGET.launch_limit_s * 0.5**n))
        for n in range(12)
    ]
    assert found == sorted(found) and found[-1] > 1
    program = QPU.program(algorithm, candidate, limited(candidate, 2), random_tensors(WIDE, 0)[1], "f")
    assert isinstance(program, GpuProgram) and [len(launch.layers) for launch in program.launches] == [1, 1]


def test_a_layer_whose_tiles_take_too_long_is_refused_by_name() -> None:
    candidate = Candidate(WIDE, first_choice(algorithm_named("qpu_pointwise_streamed"), WIDE))
    algorithm = algorithm_named(candidate.choice.algorithm)
    target = replace(TARGET, launch_limit_s=1e-6)
    with pytest.raises(
        ScheduleError, match=r"Conv2d .* by qpu_pointwise_streamed would take .* parts.*1e-06 s"
    ):
        QPU.program(algorithm, candidate, target, random_tensors(WIDE, 0)[1], "f")


def test_parts_share_weights() -> None:
    candidate = Candidate(WIDE, first_choice(algorithm_named("qpu_pointwise_streamed"), WIDE))
    algorithm, weights = algorithm_named(candidate.choice.algorithm), random_tensors(WIDE, 0)[1]
    whole, divided = (
        QPU.program(algorithm, candidate, target, weights, "f") for target in (TARGET, limited(candidate, 2))
    )
    assert isinstance(whole, GpuProgram) and isinstance(divided, GpuProgram)
    assert len(divided.launches) == 2
    of_weights = [len(p.words) - p.weights_offset_bytes // 4 for p in (whole, divided)]
    assert of_weights[0] == of_weights[1]


def doubled() -> Graph:
    """A layer of two phases between two of one."""
    build = GraphBuilder("doubled", (1, 6, 10, 10))
    first = build.add(Conv2d((1, 1)), "x", [(8, 6, 1, 1), (8,)], name="first")
    twice = build.add(ConvTranspose2d((2, 2), (2, 2)), first, [(8, 8, 2, 2), (8,)], name="twice")
    return build.build(build.add(Conv2d((1, 1)), twice, [(8, 8, 1, 1), (8,)], name="last"))


def planned(graph: Graph) -> Plan:
    return layered_plan(graph, {"twice": "qpu_conv_transpose"})


def names(graph: Graph, plan: Plan, target: Target) -> list[list[str]]:
    return [[task.step.name for task in tasks] for tasks in compose(graph, plan, target).launches]


def test_a_layer_of_two_phases_has_two_marks() -> None:
    graph = doubled()
    assert names(graph, planned(graph), PI_ZERO) == [["first", "twice", "twice", "last"]]


def test_marks_of_phases_count_within_a_launch() -> None:
    build = GraphBuilder("deep", (1, 4, 2, 2))
    tensor = "x"
    for _ in range(MOST_MARKS // 2 + 4):
        tensor = build.add(ConvTranspose2d((1, 1)), tensor, [(4, 4, 1, 1), (4,)])
    graph = build.build(tensor)
    pick = {node.name: "qpu_conv_transpose" for node in graph.nodes}
    found = names(graph, layered_plan(graph, pick), PI_ZERO)
    assert list(map(len, found)) == [MOST_MARKS, 8]
    assert found[1][0] != found[0][-1]


def test_times_of_phases_are_those_of_their_step(tmp_path: Path) -> None:
    graph = doubled()
    manifest = compile_bundle(graph, planned(graph), PI_ZERO, tmp_path / "bundle")
    assert manifest.gpu is not None and manifest.gpu.launches == (("first", "twice", "twice", "last"),)
    ended, report = run(tmp_path, manifest, marks=4)
    assert ended.returncode == 0, ended.stderr
    times = {step["name"]: step["times_s"] for step in report["steps"] if step["launch"] >= 0}
    assert times == {"first": [0.125] * 2, "twice": [0.25] * 2, "last": [0.625] * 2}


def test_a_divided_step_runs_in_several_launches(tmp_path: Path) -> None:
    graph = doubled()
    plan = planned(graph)
    value = np.random.default_rng(3).standard_normal(graph.types["x"].shape).astype(np.float32)
    (twice,) = (step for step in plan.steps if step.name == "twice")
    parts = 3
    target = limited(twice.candidate, parts)
    slow = slow_plan(plan, target.launch_limit_s * 0.9)
    found = compose(graph, slow, target)
    assert len(found.launches) > 3
    counts = {name: sum(tasks.count(name) for tasks in names(graph, slow, target)) for name in ("twice",)}
    assert counts["twice"] >= 2 * parts
    result = run_plan(graph, slow, value, target=target)
    assert result.stale_reads == 0 and len(result.launches) == 2 * len(found.launches)
    expected = evaluate(graph, {"x": value})
    for name, image in result.outputs.items():
        assert np.abs(image - expected[name]).max() <= 1e-4 * np.abs(expected[name]).max()


def test_a_part_that_no_launch_may_hold_is_refused_by_name() -> None:
    graph = doubled()
    plan = planned(graph)
    (twice,) = (step for step in plan.steps if step.name == "twice")
    target = limited(twice.candidate, 3)
    with pytest.raises(PlanError, match=r"predicted to take .* parts?, and a launch may take"):
        compose(graph, slow_plan(plan, target.launch_limit_s / SHARE * 10), target)
