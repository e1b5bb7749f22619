"""Profiles of a small network: layers add up to the launch, and every witness tells the same."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle.arrangement import arrange
from codegen.bundle.sections import sections_of
from codegen.bundle.tasks import schedule_of
from codegen.errors import PlanError
from codegen.expression import RELU
from codegen.operators.conv2d import Conv2d
from codegen.operators.pool2d import Pool2d
from codegen.plan import Plan, plan_text
from codegen.program import GpuProgram
from explorer.studies import qpu_profile
from explorer.studies.qpu_loops import kernel_loops, loop_table
from explorer.studies.qpu_profile import BARRIER, PlanProfile, profile_plan, totals
from explorer.studies.qpu_profile_table import layer_table, network_table, write_roofline
from microbench.boards.simulated_gpu import load
from microbench.profile import load_profile
from microbench.virtual import Allocation
from tests.codegen.plan_run import layered_plan
from tests.codegen.planned import GraphBuilder
from tests.explorer.command_line import explore

PROFILE = load_profile("pi-zero")


def small_plan(engine: str = "videocore4") -> Plan:
    builder = GraphBuilder("small", (1, 16, 20, 20))
    first = builder.add(Conv2d((1, 1), epilogue=RELU), "x", ((44, 16, 1, 1), (44,)))
    second = builder.add(Conv2d((3, 3), (1, 1), (1, 1, 1, 1), groups=44), first, ((44, 1, 3, 3), (44,)))
    third = builder.add(Pool2d("max", (2, 2), (2, 2)), second)
    plan = layered_plan(builder.build(third), engine=engine)
    return plan.model_copy(update={"device": PROFILE.name})


@pytest.fixture(scope="module")
def found() -> PlanProfile:
    return profile_plan(small_plan(), PROFILE)


def test_layers_add_up_to_the_launch(found: PlanProfile) -> None:
    assert len(found.layers) >= 3 and len(found.launches_s) == 1
    inside = sum(layer.time_s for layer in found.layers)
    outside = found.time_s - PROFILE.v3d_value("launch_overhead_s") - inside
    assert 0 <= outside < 20e-6
    for layer in found.layers:
        assert sum(layer.bound.shares.values()) == pytest.approx(1.0, abs=0.05)
        assert 0 <= layer.bound.shares[BARRIER] < 0.2
        assert 0 < layer.bound_s <= layer.time_s
        assert layer.moved_bytes > 0.9 * layer.step.spec.output.size_bytes


def test_layers_of_one_shape_lie_where_those_of_different_weights_do(monkeypatch: pytest.MonkeyPatch) -> None:
    builder, weights = GraphBuilder("twice", (1, 16, 20, 20)), ((16, 16, 1, 1), (16,))
    first = builder.add(Conv2d((1, 1)), "x", weights)
    graph = builder.build(builder.add(Conv2d((1, 1)), first, weights))
    plan = layered_plan(graph, engine="videocore4").model_copy(update={"device": PROFILE.name})
    random = np.random.default_rng(0)
    values = [
        tuple(random.standard_normal(tensor.shape, np.float32) for tensor in step.spec.weights)
        for step in plan.steps
    ]
    compiled = sections_of(arrange(schedule_of(plan)), values, PROFILE.target(), "compiled").image
    loaded: list[GpuProgram] = []

    def spy(memory: Allocation, image: GpuProgram) -> None:
        loaded.append(image)
        load(memory, image)

    monkeypatch.setattr(qpu_profile, "load", spy)
    profile_plan(plan, PROFILE)
    assert compiled is not None
    assert [(one.size_bytes, len(one.words)) for one in loaded] == [
        (compiled.size_bytes, len(compiled.words))
    ]


@pytest.mark.parametrize(
    "op, weights, algorithm",
    [
        (Conv2d((3, 3), (1, 1), (1, 1, 1, 1)), ((24, 16, 3, 3), (24,)), "qpu_winograd"),
        (Conv2d((1, 1), groups=2), ((44, 8, 1, 1), (44,)), "qpu_pointwise_blocked"),
    ],
    ids=["phases", "rounds"],
)
def test_phases_and_rounds_of_a_layer_are_one_layer(
    op: Conv2d, weights: tuple[tuple[int, ...], ...], algorithm: str
) -> None:
    builder = GraphBuilder("parts", (1, 16, 20, 20))
    several = builder.add(op, "x", weights, name="several")
    behind = builder.add(Pool2d("max", (2, 2), (2, 2)), several)
    plan = layered_plan(builder.build(behind), {"several": algorithm}, engine="videocore4")
    profiled = profile_plan(plan.model_copy(update={"device": PROFILE.name}), PROFILE)
    assert [layer.step.name for layer in profiled.layers].count("several") == 1
    inside = sum(layer.time_s for layer in profiled.layers)
    assert 0 <= profiled.time_s - PROFILE.v3d_value("launch_overhead_s") - inside < 20e-6
    (layer,) = (layer for layer in profiled.layers if layer.step.name == "several")
    assert layer.step.spec.output.size_bytes <= layer.least_bytes
    assert layer.moved_bytes > 0.9 * layer.step.spec.output.size_bytes


def test_the_trace_covers_every_qpu_and_the_layers(found: PlanProfile, tmp_path: Path) -> None:
    (trace,) = found.traces
    assert len(trace.qpus) == 12
    end = trace.layers[-1].end
    for slices in trace.qpus:
        assert slices[0].start == 0 and slices[-1].end == pytest.approx(end)
        assert all(one.end == other.start and one.name != other.name for one, other in pairwise(slices))
    trace.write(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    layers = [event for event in events if event.get("cat") == "layer"]
    assert [event["name"] for event in layers] == [layer.step.name for layer in found.layers]
    shares = [event["args"]["at work"] for event in events if event["ph"] == "C"]
    assert shares and all(0 <= share <= 1.001 for share in shares) and max(shares) > 0.2


def test_tables_and_the_roofline(found: PlanProfile, tmp_path: Path) -> None:
    table = layer_table(found)
    assert len(table.rows) == len(found.layers) + 1
    (row,) = network_table([found]).rows
    of = totals(found.layers)
    larger = max(of["arithmetic_s"], of["memory_s"])
    assert row[5] == f"{100 * larger / found.time_s:.0f} %"
    write_roofline(found, tmp_path / "roofline.svg")
    assert (
        "bound by" in (tmp_path / "roofline.svg").read_text(encoding="utf-8")
        or (tmp_path / "roofline.svg").stat().st_size > 1000
    )


def test_loops_are_those_of_every_algorithm(found: PlanProfile) -> None:
    loops = list(kernel_loops([found, found]))
    assert {one.step.choice.algorithm for one in loops} == {one.step.choice.algorithm for one in found.layers}
    for one in loops:
        assert one.loop.inner and one.loop.bound <= one.loop.instructions
    table = loop_table([found])
    assert len(table.rows) == len(loops)
    assert all(
        row[5] == f"{one.loop.used} of {2 * one.loop.instructions}"
        for row, one in zip(table.rows, loops, strict=True)
    )


def test_a_plan_without_qpus_is_refused() -> None:
    with pytest.raises(PlanError, match="no layer on the QPUs"):
        profile_plan(small_plan("cpu"), PROFILE)


def test_a_board_without_qpus_is_refused() -> None:
    with pytest.raises(PlanError, match="'host' has no QPUs"):
        profile_plan(small_plan(), load_profile("host"))


def test_the_commands(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(plan_text(small_plan()), encoding="utf-8")
    page, trace = tmp_path / "page.md", tmp_path / "launch.json"
    shown = explore("profile", plan, "--markdown", page, "--trace", trace)
    assert shown.exit_code == 0, shown.output
    assert "bound by" in page.read_text(encoding="utf-8") and trace.stat().st_size > 1000
    compared = explore("bench", "qpu", plan, plan, "--markdown", page)
    assert compared.exit_code == 0, compared.output
    assert page.read_text(encoding="utf-8").count("small on pi-zero") >= 2
    assert "Inner loops of the kernels" in page.read_text(encoding="utf-8")
