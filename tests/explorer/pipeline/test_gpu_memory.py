from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from codegen.bundle import Model, compose, write_bundle
from codegen.plan import read_plan, write_plan
from explorer.pipeline.gpu_memory import Checked, fastest_way, other_ways
from explorer.runs.report import CheckReport
from microbench.board import BundleRun
from microbench.profile import load_profile
from tests.microbench.test_virtual_board import on_qpus, small_graph

ZERO = load_profile("pi-zero")


def checked(time_s: float, error: float = 0.0) -> Checked:
    run = BundleRun((), (time_s,), 0.0, "simulated", {}, {}, {})
    return CheckReport(1, error, 1e-3, True, time_s, "simulated"), run


def write(model: Model, directory: Path) -> None:
    write_bundle(model, ZERO.target(), directory)


def way_of(bundle: Path) -> str:
    return str(read_plan(bundle / "plan.json").gpu_memory)


@pytest.mark.parametrize(
    ("other", "kept"),
    [(checked(2.0), "direct"), (checked(0.5), "cached"), (checked(0.5, error=1.0), "direct")],
)
def test_the_faster_way_is_kept_if_its_outputs_are_right(tmp_path: Path, other: Checked, kept: str) -> None:
    graph = small_graph()
    plan = on_qpus(graph).model_copy(update={"gpu_memory": "direct"})
    write_plan(plan, tmp_path / "plan.json")
    model = compose(graph, plan, ZERO.target())
    write(model, tmp_path / "bundle")
    found = {"direct": checked(1.0), "cached": other}
    completed = []

    def first_runs(bundles: Sequence[Path]) -> list[BundleRun]:
        return [found[way_of(bundle)][1] for bundle in bundles]

    def complete(bundle: Path, run: BundleRun) -> Checked:
        completed.append(way_of(bundle))
        assert run is found[way_of(bundle)][1]
        return found[way_of(bundle)]

    others = other_ways(plan, ZERO)
    assert others == ("cached",)
    tried = fastest_way(model, others, write, tmp_path, first_runs, complete)
    assert completed[-1] == kept and len(completed) == (2 if other[0].largest_error else 1)
    assert tried.checked is found[kept]
    assert tried.times_s == {"direct": 1.0, "cached": other[0].time_s}
    for place in (tmp_path / "plan.json", tmp_path / "bundle" / "plan.json"):
        assert read_plan(place).gpu_memory == tried.plan.gpu_memory == kept


def test_a_board_with_one_way_tries_no_other(tmp_path: Path) -> None:
    graph = small_graph()
    plan = on_qpus(graph)
    assert other_ways(plan, load_profile("pi-3")) == ()
    wrong = checked(1.0, error=1.0)
    model = compose(graph, plan, ZERO.target())
    tried = fastest_way(model, (), write, tmp_path, lambda _: [wrong[1]], lambda *_: wrong)
    assert tried.plan == plan and tried.checked is wrong and tried.times_s == {}
