from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from codegen.chains import neighbours
from codegen.graph import LayerSpec
from codegen.operators.side_by_side import SideBySide
from codegen.program import CpuProgram
from codegen.schedule import Axis, Candidate, Choice, Space, Work, values
from codegen.target import Target
from codegen.tensor import FloatArray
from explorer.compose.compose import compose
from explorer.compose.steps import Overheads
from explorer.search.search import SearchResult
from tests.explorer.fakes import FakeAlgorithm, FakeBoard, law_s
from tests.explorer.networks import graph_of
from tests.explorer.search.test_search import ALGORITHMS, run

FORK = graph_of([(0,), (1,), (1,), (1,)], [2, 3, 4])


class FakePair(FakeAlgorithm):
    """Two layers at the same time, evenly or not."""

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, SideBySide)

    def space(self, spec: LayerSpec, target: Target) -> Space:
        return Space((Axis("rows", (0,)), Axis("columns", (0, 1))))

    def choice_at(self, spec: LayerSpec, target: Target, point: Mapping[str, int]) -> Choice:
        assert isinstance(spec.op, SideBySide)
        choices = [member.choice for member in spec.op.members]
        read, written = (
            tuple(name for one in choices for name in getattr(one, kind))
            for kind in ("input_layouts", "output_layouts")
        )
        return Choice("cpu", self.name, (), values(point), read, written)

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        return Work(macs=1000.0, alu_instructions=4000.0, balance=1.0 + choice.tiles["columns"])

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        sizes = tuple(tensor.elements for tensor in spec.inputs)
        return CpuProgram("", entry, np.zeros(0, np.float32), sizes, sizes, 0)


def law_of(share: float) -> FakeBoard:
    """A board on which two layers at the same time take such a share of what they take one by one."""

    def of(candidate: Candidate) -> float:
        op = candidate.spec.op
        if isinstance(op, SideBySide):
            return share * sum(law_s(member) for member in op.members)
        return law_s(candidate)

    return FakeBoard(of)


def searched(share: float, path: Path) -> SearchResult:
    return run(law_of(share), path, (*ALGORITHMS, FakePair("pair")), graph=FORK)[0]


def pairs(result: SearchResult) -> list[Candidate]:
    return [s.candidate for s in result.samples if isinstance(s.candidate.spec.op, SideBySide)]


@pytest.mark.parametrize(("share", "taken"), [(0.6, 1), (1.4, 0)])
def test_layers_of_the_plan_are_computed_together_where_that_pays(
    share: float, taken: int, tmp_path: Path
) -> None:
    result = searched(share, tmp_path / "s.sqlite")
    alone = {
        spec: ways for spec, ways in result.timed_candidates.items() if not isinstance(spec.op, SideBySide)
    }
    before = compose(FORK, alone, Overheads())
    chosen = {step.timed.candidate for step in before.steps}
    assert len(pairs(result)) == len(neighbours(FORK)) == 2
    for candidate in pairs(result):
        assert candidate.choice.tiles["columns"] == 0  # the other is not even
        assert isinstance(candidate.spec.op, SideBySide) and {*candidate.spec.op.members} <= chosen
    plan = compose(FORK, result.timed_candidates, Overheads())
    together = [step for step in plan.steps if isinstance(step.timed.candidate.spec.op, SideBySide)]
    assert len(together) == taken
    assert (plan.total_s < before.total_s) == bool(taken)


def test_a_second_run_measures_nothing(tmp_path: Path) -> None:
    first = searched(0.6, tmp_path / "s.sqlite")
    second, tally = run(
        FakeBoard(law_s, limit=0), tmp_path / "s.sqlite", (*ALGORITHMS, FakePair("pair")), graph=FORK
    )
    assert tally.measured == 0 and second.timed_candidates == first.timed_candidates


def test_nothing_is_asked_where_no_algorithm_computes_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.search.side_by_side.compose", None)  # nor anything composed for that
    assert not pairs(run(law_of(0.6), tmp_path / "s.sqlite", graph=FORK)[0])


def test_layers_of_hardly_any_time_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.search.side_by_side.LEAST_SHARE", 0.9)
    assert not pairs(searched(0.6, tmp_path / "s.sqlite"))
