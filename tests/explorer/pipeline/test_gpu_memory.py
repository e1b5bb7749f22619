from __future__ import annotations

from pathlib import Path

import pytest

from codegen.bundle import compile_bundle
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


@pytest.mark.parametrize(
    ("other", "kept"),
    [(checked(2.0), "direct"), (checked(0.5), "cached"), (checked(0.5, error=1.0), "direct")],
)
def test_the_faster_way_is_kept_if_its_outputs_are_right(tmp_path: Path, other: Checked, kept: str) -> None:
    graph = small_graph()
    plan = on_qpus(graph).model_copy(update={"gpu_memory": "direct"})
    write_plan(plan, tmp_path / "plan.json")
    compile_bundle(graph, plan, ZERO.target(), tmp_path / "bundle")
    ran = []

    def check(bundle: Path) -> Checked:
        ran.append(read_plan(bundle / "plan.json").gpu_memory)
        return other

    tried = fastest_way(graph, plan, checked(1.0), ZERO, ZERO.target(), tmp_path, check)
    assert ran == ["cached"]
    assert tried.times_s == {"direct": 1.0, "cached": other[0].time_s}
    for place in (tmp_path / "plan.json", tmp_path / "bundle" / "plan.json"):
        assert read_plan(place).gpu_memory == tried.plan.gpu_memory == kept


def test_a_board_with_one_way_tries_no_other() -> None:
    graph = small_graph()
    assert other_ways(on_qpus(graph), load_profile("pi-3")) == ()
