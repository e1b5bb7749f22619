"""`explore bench cpu-clock-32`: cores in 32-bit state, their loops, and networks beside the tables of costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.zoo import build
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import load_network
from explorer.studies import clock_32
from explorer.studies.clock_32 import (
    FACTORS,
    ClockedNetwork,
    Journal,
    StepTime,
    clocked_networks,
    core_row,
    varied,
)
from microbench.emulation.core_model import ASSUMED
from microbench.emulation.core_model_32 import load_core_32
from microbench.emulation.judges.judge import is_judged
from microbench.emulation.judges.programs_32 import load_programs
from microbench.profile import load_profile
from tests.explorer.command_line import explore, refused


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(build("mobilenet_v1", resolution=32, classes=10).SerializeToString())
    return path


def silent(text: str) -> None:
    pass


@pytest.mark.needs("instruction counting")
@pytest.mark.parametrize("device", ["pi-zero", "pi-2", "pi-3"])
def test_a_plan_runs_by_the_clock_and_is_right(device: str, tiny: Path, tmp_path: Path) -> None:
    profile = load_profile(device)
    (run,) = clocked_networks(profile, [str(tiny)], Journal(tmp_path / "one"), silent)
    (again,) = clocked_networks(profile, [str(tiny)], Journal(tmp_path / "other"), silent)
    assert run == again and run.is_right
    plan = modelled_plan(load_network(tiny, {}, "tiny"), profile)
    assert [step.name for step in run.steps] == [step.name for step in plan.steps]
    macs = sum(step.spec.macs for step in plan.steps)
    assert run.clock_s > macs / 2 / 4 / profile.cpu_cost("clock_hz")
    assert run.table_s == pytest.approx(sum(step.predicted_s for step in plan.steps))


@pytest.mark.needs("instruction counting")
def test_what_the_journal_has_is_not_run_again(tiny: Path, tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        list(clocked_networks(load_profile("pi-3"), [str(tiny)], Journal(tmp_path), told.append))
    assert len(told) == 1


def test_what_is_assumed_varies_and_nothing_else() -> None:
    core = load_core_32("cortex-a7")
    slower = core.with_assumed("memory latency", 1.5)
    assert slower.memory["latency_s"].value == pytest.approx(1.5 * core.memory["latency_s"].value)
    assert slower.classes == core.classes
    later = core.with_assumed("latencies", 1.5)
    assert later.classes["multiply"] == core.classes["multiply"]  # measured
    assert later.classes["divide"].latency == 21
    assert later.classes["integer"].latency == (6, 8)
    assert later.memory == core.memory


@pytest.mark.needs("instruction counting")
def test_every_part_is_varied_both_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def answer(
        network: object, profile: object, model: object, plan: object, trial: object
    ) -> ClockedNetwork:
        return ClockedNetwork("pi-2", "small", 0.0, 1e-4, (StepTime("one", "cpu", 1e-3, 2e-3),))

    monkeypatch.setattr(clock_32, "_run", answer)
    rows = list(varied(load_profile("pi-2"), Journal(tmp_path), silent))
    assert [row.what for row in rows] == list(ASSUMED)
    assert all(row.times_s == (2e-3,) * len(FACTORS) for row in rows)


def test_layers_that_are_furthest_apart_come_first() -> None:
    steps = tuple(StepTime(str(i), "cpu", 1.0, clock_s) for i, clock_s in enumerate((1.1, 3.0, 0.2)))
    run = ClockedNetwork("pi-3", "small", 0.0, 1e-4, steps)
    assert [step.name for step in run.furthest(2)] == ["1", "2"]


def test_a_core_is_judged_by_five_programs_that_are_near() -> None:
    assert not is_judged((1.0,) * 4) and not is_judged((1.0,) * 5 + (1.3,)) and is_judged((0.8,) * 5)
    assert all(one.published_s > 0 and one.source for one in load_programs("arm1176jzf-s").values())


@pytest.mark.needs("instruction counting")
def test_cores_are_shown_with_what_judges_them(tmp_path: Path) -> None:
    row = core_row(load_profile("pi-2"), Journal(tmp_path))
    assert not row.is_judged and not row.off and row.loops == 37
    page = tmp_path / "page.md"
    given = ("bench", "cpu-clock-32", "--loops-only", "--device", "pi-2", "--cache", tmp_path)
    result = explore(*given, "--markdown", page)
    assert result.exit_code == 0, result.output
    model = load_core_32("cortex-a7")
    assert f"| cortex-a7 | {model.hash} | cortex-a7 |" in page.read_text(encoding="utf-8")
    refused(explore("bench", "cpu-clock-32", "--device", "pi-3-64"), "pi-3-64", "arm1176jzf-s")


@pytest.mark.needs("instruction counting")
def test_the_clock_in_64_bit_state_says_which_cores_there_are(tmp_path: Path) -> None:
    result = explore("bench", "cpu-clock", "--cache", tmp_path)
    assert "arm1176jzf-s, cortex-a53, cortex-a7 in 32-bit state" in " ".join(result.output.split())
