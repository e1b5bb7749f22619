from __future__ import annotations

import importlib.util

import pytest
from hypothesis import given, settings

from codegen.graph import Graph
from explorer.compose.compose import compose
from explorer.compose.steps import Overheads
from explorer.errors import CompositionError, MissingExtraError, UndecidedError
from explorer.solvers.composing import SOLVERS, compose_by
from explorer.solvers.program import Program, Solved, Solver
from explorer.studies.composition_graphs import (
    OVERHEADS,
    branches,
    chain,
    dense,
    inception,
    synthetic_times,
    unet,
)
from tests.capabilities import need
from tests.explorer.command_line import explore, refused
from tests.explorer.compositions import Table, problems


@pytest.fixture(params=SOLVERS)
def solver(request: pytest.FixtureRequest) -> Solver:
    if request.param == "cp-sat":
        need("ortools")
    return SOLVERS[request.param]


@pytest.mark.parametrize("qpus", [True, False])
@pytest.mark.parametrize("graph", [chain(6), branches(3), unet(3), inception(1), dense(4)])
def test_solvers_find_the_same_price(solver: Solver, graph: Graph, qpus: bool) -> None:
    times = synthetic_times(graph, 3, qpus)
    own, found = compose(graph, times, OVERHEADS), compose_by(solver, graph, times, OVERHEADS, 60.0)
    assert found.gap == 0 and own.gap == 0
    assert found.total_s == pytest.approx(own.total_s)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_highs_composes_random_problems_alike(problem: tuple[Graph, Table, float]) -> None:
    graph, table, launch_s = problem
    try:
        own = compose(graph, table, Overheads(launch_s))
    except CompositionError:
        with pytest.raises(CompositionError, match="fits together"):
            compose_by(SOLVERS["highs"], graph, table, Overheads(launch_s), 60.0)
        return
    found = compose_by(SOLVERS["highs"], graph, table, Overheads(launch_s), 60.0)
    assert found.total_s == pytest.approx(own.total_s)


def test_a_solver_without_an_answer_is_undecided() -> None:
    class Idle:
        name = "idle"

        def solve(self, program: Program, wall_s: float) -> Solved:
            assert program.prices and program.rows
            return Solved(None, 0.0)

    graph = chain(2)
    with pytest.raises(UndecidedError, match="idle found no composition in 1 s"):
        compose_by(Idle(), graph, synthetic_times(graph, 0), OVERHEADS, 1.0)


def test_a_network_is_compared_with_highs(tmp_path_factory: pytest.TempPathFactory) -> None:
    page = tmp_path_factory.mktemp("page") / "solvers.md"
    ended = explore("bench", "search", "--network", "branches-4", "--with", "highs", "--markdown", page)
    assert ended.exit_code == 0, ended.output
    rows = [line.split("|") for line in page.read_text("utf-8").splitlines() if line.startswith("| branches")]
    assert [row[3].strip() for row in rows] == ["explore", "highs"] * 2
    assert {row[6].strip() for row in rows} == {"0"}
    assert rows[0][7] == rows[1][7] and rows[2][7] == rows[3][7]


def test_an_unknown_solver_is_refused_with_those_there_are() -> None:
    refused(explore("bench", "search", "--with", "luck"), "no solver 'luck'; there are cp-sat, highs")


def test_a_solver_that_is_not_installed_names_its_package_and_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs the package ortools of the extra `solvers`"):
        SOLVERS["cp-sat"].solve(Program(), 1.0)
