"""Algorithms of a layer under other constants of the GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codegen.algorithm import algorithms
from codegen.errors import PlanError
from codegen.operators.conv2d import Conv2d
from codegen.plan import Plan, PlanStep, plan_text
from explorer.studies.qpu_kinds import SLOWER, constants_of, kinds_of, step_named
from microbench.profile import load_profile
from tests.codegen.plan_run import layered_plan
from tests.codegen.planned import GraphBuilder
from tests.explorer.command_line import explore

PROFILE = load_profile("pi-zero")


@pytest.fixture(scope="module")
def plan() -> Plan:
    builder = GraphBuilder("small", (1, 32, 12, 12))
    graph = builder.build(builder.add(Conv2d((1, 1)), "x", ((32, 32, 1, 1), (32,))))
    return layered_plan(graph, engine="videocore4").model_copy(update={"device": PROFILE.name})


def convolution(plan: Plan) -> PlanStep:
    (found,) = [step for step in plan.steps if isinstance(step.spec.op, Conv2d)]
    return found


def test_every_algorithm_of_the_qpus_is_timed_under_all_constants(plan: Plan) -> None:
    spec = convolution(plan).spec
    kinds = list(kinds_of(spec, PROFILE, 4, 2))
    own = {
        one.name
        for one in algorithms().values()
        if one.engine == "videocore4" and one.applies(spec, PROFILE.target())
    }
    assert {kind.algorithm for kind in kinds} == own
    for kind in kinds:
        assert 0 < kind.timed <= min(4, kind.candidates) and len(kind.fastest) <= 2
        times_s = [one.time_s for one in kind.fastest]
        assert times_s == sorted(times_s)
        for one in kind.fastest:
            assert set(one.ratios) == set(constants_of(PROFILE))
            assert one.ratios["memory-110"] <= 1.02 and one.ratios["careful"] > 1.1


def test_the_careful_gpu_is_nowhere_faster() -> None:
    careful = constants_of(PROFILE)["careful"]
    assert careful.v3d_value("memory_bytes_per_cycle") * careful.v3d_value("clock_hz") == pytest.approx(
        0.75e9
    )
    assert all(careful.v3d_value(name) == 2 * PROFILE.v3d_value(name) for name in SLOWER)
    assert careful.hash != PROFILE.hash


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(plan: Plan) -> None:
    with pytest.raises(PlanError, match=f"no layer 'nothing'; it has: {plan.steps[0].name}"):
        step_named(plan, "nothing")


def test_the_command_writes_a_row_for_each_candidate_shown(plan: Plan, tmp_path: Path) -> None:
    file, page = tmp_path / "plan.json", tmp_path / "kinds.md"
    file.write_text(plan_text(plan))
    name = convolution(plan).name
    found = explore(
        "bench",
        "qpu-kinds",
        file,
        "--layer",
        name,
        "--candidates",
        "2",
        "--shown",
        "1",
        "--markdown",
        page,
        "--json",
    )
    assert found.exit_code == 0, found.stderr
    (table,) = json.loads(found.stdout)
    assert table["title"] == f"Kinds of {name}"
    rows = table["rows"]
    assert len({row["algorithm"] for row in rows}) == len(rows) > 3
    assert all(row["uniform-0"] and row["half the L2"] for row in rows)
    assert table["title"] in page.read_text() and rows[0]["time"] in page.read_text()
