"""`explore bench cpu-clock`: loops, judges and their journal; the judges' own programs in the slow suite."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from codegen.zoo import build
from explorer.plans.check import trials_of
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import load_network
from explorer.studies import cpu_clock
from explorer.studies.cpu_clock import ClockSettings, network_rows, verdict
from explorer.studies.own_clock import clock_network
from microbench.emulation.core_model import CoreModel, load_core
from microbench.emulation.core_model_out_of_order import load_core_64
from microbench.emulation.judges import userland
from microbench.emulation.judges.judge import Judged, judge, load_published
from microbench.emulation.judges.userland import NCNN_OF_THE_TABLE, make_userland, unpack_wheel
from microbench.errors import PeerError
from microbench.profile import load_profile
from tests.explorer.command_line import explore, refused

LAYER = """7767517
2 2
Input        data 0 1 data 0=32 1=32 2=3
Convolution  conv 1 1 data out 0=16 1=3 5=1 6=432
"""


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A judge that takes 100 ms at 2 GB/s and less where memory is faster; what it was asked for."""
    asked: list[float] = []

    def answer(model: CoreModel, *others: object) -> Judged:
        asked.append(model.memory["bytes_per_s"].value)
        return Judged("1.0", 0.1 * 2e9 / asked[-1], 171_000_000, (1000, 1, 1))

    monkeypatch.setattr(cpu_clock, "judge", answer)
    monkeypatch.setattr(cpu_clock, "make_userland", lambda place, tell: place)
    monkeypatch.setattr(cpu_clock, "unpack_wheel", lambda wheel, place, tell: place)
    return asked


@pytest.fixture
def params(tmp_path: Path) -> Path:
    for name in ("squeezenet", "blazeface"):
        (tmp_path / f"{name}.param").write_text(LAYER)
    return tmp_path


@pytest.mark.needs("instruction counting")
def test_networks_stand_beside_published_times_and_the_loops(
    judged: list[float], params: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    more = ("--network", "squeezenet", "--cache", tmp_path, "--markdown", page)
    result = explore("bench", "cpu-clock", "--params", params, "--peer", NCNN_OF_THE_TABLE.version, *more)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "| squeezenet | yes | 125.58 | 100.0 | 0.80 | 80.0 | 0.64 | 171.0 |" in text
    assert f"68 of 69 loops within 6 % or 0.03 cycle. Model {load_core('cortex-a53').hash}." in text
    assert judged == [2.0e9, 2.5e9]


@pytest.mark.needs("instruction counting")
def test_threads_stand_beside_published_times_of_as_many(
    judged: list[float], params: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    more = ("--network", "squeezenet", "--cache", tmp_path, "--markdown", page, "--bandwidth", "2e9")
    given = ("bench", "cpu-clock", "--params", params, "--peer", NCNN_OF_THE_TABLE.version, *more)
    result = explore(*given, "--threads", "1", "--threads", "4")
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "1.4 GHz, 4 threads, memory of 2 GB/s" in text
    assert "| squeezenet | no | 85.22 | 100.0 | 1.17 | 171.0 |" in text
    assert judged == [2.0e9, 2.0e9]
    refused(explore(*given, "--threads", "3"), "no published time of 3 threads; there are those of 1, 4")


def test_what_the_journal_has_is_not_run_again(judged: list[float], params: Path, tmp_path: Path) -> None:
    settings = ClockSettings(params, tmp_path, 1.4e9, ("squeezenet", "blazeface"), (NCNN_OF_THE_TABLE,))
    first, again = (
        list(network_rows(load_core("cortex-a53"), settings, lambda text: None)) for _ in range(2)
    )
    assert [row.judged for row in again] == [tuple(row.judged) for row in first]
    assert len(judged) == 2  # equal files of networks, two bandwidths
    other = load_core("cortex-a53").with_memory(latency_s=90e-9)
    list(network_rows(other, settings, lambda text: None))
    assert len(judged) == 4
    said = verdict(first)
    assert "1 networks that the model had seen, 2 GB/s: median ratio 0.80" in said
    assert "1 networks kept out of it, 2 GB/s: median ratio 4.36" in said


@pytest.mark.needs("instruction counting")
def test_a_network_without_file_or_published_time_is_refused(params: Path, tmp_path: Path) -> None:
    named = ("--params", params, "--cache", tmp_path, "--network")
    refused(explore("bench", "cpu-clock", *named, "lenet"), "lenet", "squeezenet")
    refused(explore("bench", "cpu-clock", *named, "alexnet"), "alexnet", "--params")
    refused(explore("bench", "cpu-clock", "--peer", "3"), NCNN_OF_THE_TABLE.version)


def test_networks_that_the_model_had_seen_are_told_apart() -> None:
    published = load_published("cortex-a53").networks
    assert sum(one.seen for one in published.values()) == 10
    assert not any(one.seen for name, one in published.items() if name.endswith("int8"))
    assert not any(one.seen for one in load_published("cortex-a72").networks.values())


@pytest.mark.needs("instruction counting")
def test_another_core_has_published_times_and_a_page_of_its_own(
    judged: list[float], params: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    more = ("--network", "squeezenet", "--cache", tmp_path, "--markdown", page, "--varied", "squeezenet")
    given = ("bench", "cpu-clock", "--params", params, "--peer", NCNN_OF_THE_TABLE.version, *more)
    result = explore(*given, "--core", "cortex-a72")
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# The clock of a Cortex-A72")
    assert f"79 of 82 loops within 6 % or 0.03 cycle. Model {load_core_64('cortex-a72').hash}." in text
    assert "| squeezenet | no | 73.96 | 43.0 | 0.58 | 171.0 |" in text
    assert "| squeezenet | latencies | 43.0 | 1.00 | 1.00 |" in text
    refused(explore("bench", "cpu-clock", "--core", "cortex-a7"), "cortex-a53, cortex-a72")
    refused(explore("bench", "cpu-clock", "--varied", "squeezenet"), "--params")
    with pytest.raises(PeerError, match="cortex-a53, cortex-a72"):
        load_published("cortex-a7")


def test_a_machine_without_debians_tools_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(PeerError, match="no program apt-get"):
        make_userland(tmp_path, lambda text: None)


def test_a_wheel_that_cannot_be_had_is_told_and_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    false = shutil.which("false")
    assert false is not None
    monkeypatch.setattr("sys.executable", false)
    for _ in range(2):
        with pytest.raises(PeerError, match="failed"):
            unpack_wheel(NCNN_OF_THE_TABLE, tmp_path, lambda text: None)


@pytest.mark.needs("instruction counting")
def test_this_projects_plan_of_a_network_runs_by_the_clock(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(build("mobilenet_v1", resolution=32, classes=10).SerializeToString())
    network, profile = load_network(path, {}, "tiny"), load_profile("pi-3-64")
    (trial,) = trials_of(network, seed=0, count=1)
    core = load_core("cortex-a53")
    run, again = (clock_network(network, profile, core, 1.4e9, trial) for _ in range(2))
    assert run == again
    assert run.is_right
    assert sum(count for name, count in run.counts.items() if name in core_groups()) == run.instructions
    macs = sum(step.spec.macs for step in modelled_plan(network, profile).steps)
    assert run.time_s > macs / 4 / 1.4e9  # four floats a cycle
    assert run.counts["multiply-add"] > 0.9 * macs / 4  # padding is left out


@pytest.mark.needs("instruction counting")
def test_a_plan_of_four_threads_takes_less_and_the_same_every_time(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(build("mobilenet_v1", resolution=64, classes=10).SerializeToString())
    network, profile = load_network(path, {}, "tiny"), load_profile("pi-3-64")
    (trial,) = trials_of(network, seed=0, count=1)
    core = load_core("cortex-a53")
    plan = modelled_plan(network, profile, threads=4)
    assert {step.choice.threads for step in plan.steps} >= {4}
    alone = clock_network(network, profile, core, 1.4e9, trial)
    run, again = (clock_network(network, profile, core, 1.4e9, trial, plan) for _ in range(2))
    assert run.is_right and run == again
    assert 1 / 4 < run.time_s / alone.time_s < 3 / 4


def core_groups() -> set[str]:
    return {row.group for row in load_core("cortex-a53").classes.values()}


@pytest.mark.slow
@pytest.mark.needs("instruction counting")
@pytest.mark.needs("peers for arm64")
def test_another_engine_runs_a_layer_by_the_clock(tmp_path: Path) -> None:
    root = make_userland(userland.default_directory(), lambda text: None)
    site = unpack_wheel(NCNN_OF_THE_TABLE, userland.default_directory(), lambda text: None)
    param = tmp_path / "layer.param"
    param.write_text(LAYER)
    runs = [
        judge(load_core("cortex-a53"), hz, root, site, NCNN_OF_THE_TABLE, param, 32)
        for hz in (1.4e9, 1.4e9, 0.7e9)
    ]
    assert runs[0] == runs[1]
    assert runs[0].shape == (30, 30, 16)
    assert runs[0].time_s < runs[2].time_s
    # 389 thousand multiply-adds, at most four a cycle.
    assert runs[0].time_s > 30 * 30 * 16 * 27 / 4 / 1.4e9
    param.write_text(LAYER.replace("Convolution ", "Unheardof"))
    with pytest.raises(PeerError, match=r"layer\.param"):
        judge(load_core("cortex-a53"), 1.4e9, root, site, NCNN_OF_THE_TABLE, param, 32)
