"""GPU memory is reused between launches, and one account says what a bundle allocates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.bundle import compile_bundle
from codegen.bundle.arrangement import Arrangement, arrange
from codegen.bundle.memory import MemoryUse, memory_use
from codegen.bundle.model import compose
from codegen.bundle.step_weights import weights_of_steps
from codegen.bundle.tasks import schedule_of
from codegen.engine_registry import engine_named
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.errors import PlanError
from codegen.expression import RELU
from codegen.graph import Graph
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from codegen.plan import Plan, PlanStep
from codegen.reference import evaluate
from codegen.section import Section, Share
from codegen.target import Target
from tests.codegen.plan_run import layered_plan, run_plan
from tests.codegen.planned import HOST, PI_ZERO, GraphBuilder, branched_network, plan_of, small_network

SAME = Conv2d((3, 3), pads=(1, 1, 1, 1), epilogue=RELU)


def arranged(plan: Plan) -> Arrangement:
    return arrange(schedule_of(plan))


def chain(layers: int = 6) -> Graph:
    """Convolutions behind each other, of changing width."""
    build = GraphBuilder("chain", (1, 5, 8, 9))
    tensor, channels = "x", 5
    for index in range(layers):
        width = (12, 8, 16)[index % 3]
        tensor = build.add(SAME, tensor, [(width, channels, 3, 3), (width,)], name=f"c{index}")
        channels = width
    return build.build(tensor)


def residual() -> Graph:
    """Branches of which one end is read much later, a concatenation, and two outputs, one early."""
    build = GraphBuilder("residual", (1, 8, 8, 8))
    early = build.add(SAME, "x", [(8, 8, 3, 3), (8,)], name="early")
    left = build.add(SAME, early, [(12, 8, 3, 3), (12,)], name="left")
    right = build.add(Pool2d("max", (3, 3), pads=(1, 1, 1, 1)), early, name="right")
    joined = build.add(Concat(1), (left, right), name="join")
    middle = build.add(SAME, joined, [(16, 20, 3, 3), (16,)], name="middle")
    late = build.add(SAME, middle, [(8, 16, 3, 3), (8,)], name="late")
    both = build.add(Concat(1), (late, early), name="both")
    return build.build(build.add(SAME, both, [(9, 16, 3, 3), (9,)], name="end"), left)


def checked(graph: Graph, plan: Plan) -> int:
    """Bytes of activations on the GPU of a plan that computes the right values three times over, nothing stale."""
    value = np.random.default_rng(1).normal(size=graph.types["x"].shape).astype(np.float32)
    run = run_plan(graph, plan, value, runs=3)
    assert run.stale_reads == 0
    for name, expected in evaluate(graph, {"x": value}).items():
        assert np.abs(run.outputs[name] - expected).max() <= 1e-4 * np.abs(expected).max()
    return run.memory.gpu_bytes


def test_memory_of_the_gpu_shrinks_with_every_launch() -> None:
    graph = chain()
    starts = [(), ("c3",), ("c2", "c4"), ("c1", "c2", "c3", "c4", "c5")]
    plans = [layered_plan(graph, starts_launch=names) for names in starts]
    assert [len(arranged(plan).runs) for plan in plans] == [1, 2, 3, 6]
    found = [checked(graph, plan) for plan in plans]
    assert found == sorted(found, reverse=True) and len(set(found)) == 4
    sizes = schedule_of(plans[0]).sizes
    largest = max(sizes[f"t{i}@pixel16"] + sizes[f"t{i + 1}@pixel16"] for i in range(5))
    assert found[-1] == largest + 2 * 512


def test_reuse_within_a_launch_would_be_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain()
    plan = layered_plan(graph, starts_launch=["c2", "c3", "c4", "c5"])
    value = np.ones(graph.types["x"].shape, np.float32)
    assert run_plan(graph, plan, value).stale_reads == 0

    engine = engine_named("videocore4")
    section = engine.section

    def in_one(share: Share, target: Target) -> Section:
        return section(replace(share, runs=[share.steps]), target)

    monkeypatch.setattr(engine, "section", in_one)
    assert run_plan(graph, plan, value).stale_reads > 0


@pytest.mark.parametrize("starts", [("middle",), ("left", "late", "end"), ("right", "middle", "both")])
@pytest.mark.parametrize("in_c", [(), ("middle",), ("join", "late")])
def test_branches_share_memory_where_they_may(starts: tuple[str, ...], in_c: tuple[str, ...]) -> None:
    graph = residual()
    names = {"join": "cpu_concat nchw"}
    pick = {name: names.get(name, "cpu_conv_direct") for name in in_c}
    cut = layered_plan(graph, pick, starts_launch=[name for name in starts if name not in in_c])
    assert checked(graph, cut) < memory_of_all(cut)


def memory_of_all(plan: Plan) -> int:
    arrangement = arranged(plan)
    sizes = arrangement.schedule.sizes
    return sum(-(-sizes[name] // 64) * 64 + 512 for name in arrangement.launched_wholes)


def test_no_address_of_a_launch_belongs_to_two_buffers() -> None:
    plan = layered_plan(residual(), starts_launch=["left", "middle", "late", "end"])
    arrangement = arranged(plan)
    regions, lives = arrangement.launched.regions, arrangement.lives
    shared = 0
    for one, two in combinations(sorted(arrangement.launched_wholes), 2):
        a, b = regions[one], regions[two]
        apart = (
            a.offset_bytes + a.size_bytes + 512 <= b.offset_bytes
            or b.offset_bytes + b.size_bytes + 512 <= a.offset_bytes
        )
        meet = lives[one][0] <= lives[two][1] and lives[two][0] <= lives[one][1]
        assert apart or not meet
        shared += not apart
    assert shared
    for run in arrangement.runs:
        touched = {name for task in run for name in (*task.reads, *task.writes)}
        assert all(lives[n][0] <= run[0].index and lives[n][1] >= run[0].index for n in touched)


def test_inputs_and_outputs_outlive_all_launches() -> None:
    arrangement = arranged(layered_plan(residual(), starts_launch=["middle"]))
    schedule, lives = arrangement.schedule, arrangement.lives
    assert lives["x@nchw"][0] == -1
    assert {lives[name][1] for name in schedule.outputs} == {len(schedule.tasks)}


def test_cuts_at_the_time_limit_release_nothing() -> None:
    plan = layered_plan(chain())
    steps = tuple(PlanStep.model_validate({**dict(s), "predicted_s": 0.5, "high_s": 0.5}) for s in plan.steps)
    slow = plan.model_copy(update={"steps": steps})
    assert len(compose(chain(), slow, replace(PI_ZERO, launch_limit_s=0.8)).launches) == 6
    assert memory_use(slow, {}).gpu_bytes == memory_use(plan, {}).gpu_bytes


def with_joins() -> Graph:
    build = GraphBuilder("joins", (1, 6, 8, 8))
    left = build.add(SAME, "x", [(8, 6, 3, 3), (8,)], name="left")
    right = build.add(SAME, "x", [(9, 6, 3, 3), (9,)], name="right")
    joined = build.add(Concat(1), (left, right), name="join")
    return build.build(build.add(SAME, joined, [(7, 17, 3, 3), (7,)], name="end"), joined)


PLANS: dict[str, Callable[[], tuple[Graph, Plan, Target]]] = {
    "all in C, with views": lambda: ((g := small_network()), plan_of(g), HOST),
    "branches in C": lambda: ((g := branched_network()), plan_of(g), HOST),
    "mixed, with views": lambda: ((g := small_network()), layered_plan(g), PI_ZERO),
    "branches, mixed": lambda: ((g := branched_network()), layered_plan(g), PI_ZERO),
    "one launch": lambda: ((g := chain()), layered_plan(g), PI_ZERO),
    "several launches": lambda: ((g := chain()), layered_plan(g, starts_launch=["c2", "c5"]), PI_ZERO),
    "branches, launches": lambda: ((g := residual()), layered_plan(g, starts_launch=["late"]), PI_ZERO),
    "in place on the QPUs": lambda: ((g := with_joins()), layered_plan(g, in_place=["join"]), PI_ZERO),
    "in place in C": lambda: ((g := with_joins()), layered_plan(g, {}, ["join"], (), "cpu"), HOST),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_account_is_what_a_bundle_allocates(name: str, tmp_path: Path) -> None:
    graph, plan, target = PLANS[name]()
    manifest = compile_bundle(graph, plan, target, tmp_path)
    weights = weights_of_steps(graph, plan)
    workspaces = {
        step.name: algorithm.emit(step.spec, target, step.choice, constants, "f").workspace_bytes
        for step, constants in zip(plan.steps, weights, strict=True)
        if not step.is_view and isinstance(algorithm := algorithm_named(step.choice.algorithm), CpuAlgorithm)
    }
    gpu_bytes = manifest.gpu.activation_bytes if manifest.gpu else 0
    use = memory_use(plan, workspaces)
    assert use == MemoryUse(gpu_bytes, manifest.arena_bytes)
    assert use.total_bytes == gpu_bytes + manifest.arena_bytes
    if manifest.gpu:
        assert 0 < gpu_bytes < manifest.gpu.size_bytes - manifest.gpu.weights_offset_bytes
        regions = (*manifest.gpu.inputs, *manifest.gpu.outputs)
        assert min(r.offset_bytes for r in regions) >= manifest.gpu.size_bytes - gpu_bytes


def test_a_workspace_of_no_step_is_refused() -> None:
    with pytest.raises(PlanError, match="step 'nowhere', which the plan does not have"):
        memory_use(plan_of(small_network()), {"nowhere": 64})


def test_starts_launch_is_for_steps_of_the_qpus() -> None:
    graph = small_network()
    with pytest.raises(ValueError, match="nothing of it is launched"):
        layered_plan(graph, engine="cpu", starts_launch=["layer 1"])
    with pytest.raises(ValueError, match="nothing of it is launched"):
        layered_plan(with_joins(), in_place=["join"], starts_launch=["join"])


def test_workspaces_and_buffers_of_the_arena_share() -> None:
    plan = plan_of(small_network())
    names = [step.name for step in plan.steps if not step.is_view]
    one, all_of_them = (memory_use(plan, dict.fromkeys(chosen, 1 << 16)) for chosen in (names[:1], names))
    assert one.gpu_bytes == 0
    assert all_of_them.arena_bytes < one.arena_bytes + (1 << 16)
