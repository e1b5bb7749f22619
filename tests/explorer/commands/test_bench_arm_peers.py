"""`explore bench arm-peers`: contenders, their journal, ratios, refusals; engines' own programs in the slow suite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from codegen.operators.fully_connected import FullyConnected
from codegen.plan import Plan, write_plan
from codegen.stored_weights import weight_type
from codegen.zoo import build
from explorer.plans.check import Trial
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import load_network
from explorer.studies import arm_peers
from explorer.studies.arm_peers import OURS, ArmRow, Clocked, forms, means
from explorer.studies.own_clock import OwnRun
from microbench.emulation.core_model import CoreModel, load_core
from microbench.emulation.judges import userland
from microbench.emulation.judges.engine import NUMPY, EngineRun, run_engine
from microbench.emulation.judges.userland import Wheel, make_userland, unpack_wheel
from microbench.errors import PeerError
from microbench.peers.conversion import convert
from microbench.peers.environments import default_directory, make_environment
from microbench.peers.network import PeerNetwork, open_peer_network, worst_error
from microbench.peers.registry import chosen_peers, read_peers
from microbench.profile import load_profile
from tests.codegen.planned import GraphBuilder
from tests.explorer.command_line import explore, refused

FAST, WRONG, ABSENT = Wheel("ncnn", "1"), Wheel("ncnn", "2"), Wheel("MNN", "3")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(build("mobilenet_v1", resolution=32, classes=10).SerializeToString())
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Contenders of which one is right and takes 100 ms at 2 GB/s, one wrong, one not to be had; who was run."""
    runs: list[str] = []
    peer = chosen_peers(("ncnn",), read_peers())[0]

    def engine_run(
        core: CoreModel, hz: float, root: Path, sites: object, wheel: Wheel, *others: object
    ) -> EngineRun:
        runs.append(str(wheel))
        if wheel == ABSENT:
            raise PeerError("it wrote no result")
        *_, network, threads = others
        assert threads in (1, 4)
        assert isinstance(network, PeerNetwork)
        outputs = tuple(one + (1.0 if wheel == WRONG else 0.0) for one in network.expected)
        return EngineRun(0.1 * 2e9 / core.memory["bytes_per_s"].value, 7_000_000, outputs)

    def own_run(*given: object) -> OwnRun:
        runs.append(OURS)
        return OwnRun("tiny", 0.09, 5_000_000, {}, 1e-6, 1e-4)

    contenders = [arm_peers._Contender(peer, wheel, Path("python")) for wheel in (FAST, WRONG, ABSENT)]
    monkeypatch.setattr(arm_peers, "_contenders", lambda settings, tell: contenders)
    monkeypatch.setattr(arm_peers, "run_engine", engine_run)
    monkeypatch.setattr(arm_peers, "clock_network", own_run)
    monkeypatch.setattr(arm_peers, "make_userland", lambda place, tell: place)
    monkeypatch.setattr(arm_peers, "unpack_wheel", lambda wheel, place, tell: place)
    monkeypatch.setattr(arm_peers, "convert", lambda *given: Path("converted"))
    return runs


def test_contenders_stand_beside_each_other_and_are_run_once(
    asked: list[str], model: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    for _ in range(2):
        result = explore("bench", "arm-peers", model, "--cache", tmp_path, "--markdown", page)
        assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "| tiny | 90.0 | 100.0 | - | - | 0.90 |" in text
    assert "| tiny | 90.0 | 80.0 | - | - | 1.12 |" in text
    assert "| tiny | 5.0 | 7.0 | - | - | 1.0e-06 |" in text
    assert "its output is off by" in text and "it wrote no result" in text
    assert asked.count(OURS) == asked.count(str(FAST)) == 2  # two bandwidths
    assert asked.count(str(WRONG)) == 2  # a failure is no result: it is tried again


def test_every_contender_has_as_many_threads(asked: list[str], model: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    more = ("--cache", tmp_path, "--markdown", page, "--bandwidth", "2e9")
    result = explore("bench", "arm-peers", model, "--threads", "1", "--threads", "4", *more)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "## One thread, memory of 2 GB/s" in text and "## 4 threads, memory of 2 GB/s" in text
    assert "2.5 GB/s" not in text
    assert asked.count(OURS) == asked.count(str(FAST)) == 2  # each number of threads has runs of its own


def test_a_plan_of_more_threads_is_refused(asked: list[str], model: Path, tmp_path: Path) -> None:
    plan = modelled_plan(load_network(model, {}, "tiny"), load_profile("pi-3-64"), threads=4)
    path = tmp_path / "plan.json"
    write_plan(plan, path)
    result = explore("bench", "arm-peers", model, "--plan", path, "--cache", tmp_path)
    refused(result, "has 4 threads", "--threads 4")


def test_every_assumed_constant_is_varied(asked: list[str], model: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    result = explore("bench", "arm-peers", model, "--vary-assumed", "--cache", tmp_path, "--markdown", page)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assumed = [
        name for name, one in load_core("cortex-a53").memory.items() if one.source.startswith("assumed")
    ]
    assert {"latency_s", "bytes_per_s"} <= set(assumed)
    assert all(text.count(f"| {name} |") == 2 for name in assumed)
    assert "| bytes_per_s | 1.5e+09 | 0.67 |" in text and "| bytes_per_s | 3e+09 | 1.35 |" in text
    assert "| latency_s | 8.25e-08 | 0.90 |" in text
    assert asked.count(OURS) == 2 + 2 * len(assumed)


def test_own_networks_stand_beside_those_that_they_are_forms_of(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], model: Path, tmp_path: Path
) -> None:
    monkeypatch.undo()  # without other engines no contender is made, nor asked for
    monkeypatch.setattr(
        arm_peers, "clock_network", lambda *given: OwnRun("tiny", 0.09, 5_000_000, {}, 1e-6, 1e-4)
    )
    page, form = tmp_path / "page.md", model.with_name("tiny-90.onnx")
    form.write_bytes(model.read_bytes())
    given = ("--own", "--bandwidth", "2e9", "--cache", tmp_path, "--markdown", page)
    result = explore("bench", "arm-peers", model, form, *given)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "| tiny | 90.0 |  | 5.0 | 1.0e-06 |" in text
    assert "| tiny-90 | 90.0 | 1.00 | 5.0 | 1.0e-06 |" in text


def test_own_networks_have_narrow_weights_too(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], tmp_path: Path
) -> None:
    """One fully connected layer whose weights leave the caches: the model's plans take the narrow ones."""
    plans: list[Plan] = []

    def own_run(*given: object) -> OwnRun:
        *_, trial, plan = given
        assert isinstance(plan, Plan) and isinstance(trial, Trial)
        plans.append(plan)
        assert (trial.exact is None) == (weight_type(plan.steps[-1].choice) == "float32")
        return OwnRun("tiny", 0.09 / len(plans), 5_000_000, {}, 1e-6, 1e-4)

    monkeypatch.setattr(arm_peers, "clock_network", own_run)
    build = GraphBuilder("connected", (1, 2048))
    graph = build.build(build.add(FullyConnected(), "x", [(1000, 2048), (1000,)], name="last"))
    path, page = tmp_path / "connected.onnx", tmp_path / "page.md"
    weights, bias = (numpy_helper.from_array(graph.constants[name], name) for name in graph.nodes[0].weights)
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", (1, 2048)), ("y", (1, 1000)))
    )
    node = helper.make_node("Gemm", ["x", weights.name, bias.name], ["y"], transB=1)
    path.write_bytes(
        helper.make_model(
            helper.make_graph([node], "connected", [given], [made], [weights, bias]),
            opset_imports=[helper.make_opsetid("", 13)],
            ir_version=8,
        ).SerializeToString()
    )
    words = ("--bandwidth", "2e9", "--cache", tmp_path, "--markdown", page)
    kinds = ("float16", "bfloat16")
    refused(explore("bench", "arm-peers", path, "--weights", "float16", *words), "--weights is for --own")
    narrow = [word for kind in kinds for word in ("--weights", kind)]
    result = explore("bench", "arm-peers", path, "--own", *narrow, *words)
    assert result.exit_code == 0, result.output
    assert [weight_type(plan.steps[-1].choice) for plan in plans] == ["float32", *kinds]
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Narrow weights on the clock")
    assert "| connected | 90.0 |  |" in text
    assert "| connected-float16 | 45.0 | 0.50 |" in text and "| connected-bfloat16 | 30.0 | 0.33 |" in text


def test_a_form_is_of_the_longest_name_that_its_own_begins_with() -> None:
    rows = [ArmRow(name, {}) for name in ("net", "net_v2", "net_v2-90", "other")]
    found = {row.network: whole.network if whole else None for row, whole in forms(rows)}
    assert found == {"net": None, "net_v2": None, "net_v2-90": "net_v2", "other": None}


def test_means_are_over_networks_that_two_could_run() -> None:
    def row(own: float, other: float | None) -> ArmRow:
        contenders: dict[str, Clocked | str] = {OURS: Clocked((own, own), 1, 0.0), "a": "refused"}
        if other is not None:
            contenders["b"] = Clocked((other, 2 * other), 1, 0.0)
        return ArmRow("n", contenders)

    said = means([row(1.0, 4.0), row(1.0, 1.0), row(1.0, None)])
    assert "2 GB/s: geometric mean of ours to the fastest other over 2 networks 0.50, largest 1.00." in said
    assert "2.5 GB/s: geometric mean of ours to the fastest other over 2 networks 0.25, largest 0.50." in said


@pytest.mark.slow
@pytest.mark.needs("instruction counting")
@pytest.mark.needs("peers for arm64")
@pytest.mark.parametrize("name", ["ncnn", "mnn"])
def test_an_engine_runs_a_converted_network_by_the_clock(name: str, model: Path) -> None:
    place, (peer,) = userland.default_directory(), chosen_peers((name,), read_peers())
    environment = make_environment(peer, default_directory(), lambda text: None)
    network = open_peer_network(model, seed=0)
    converted = convert(peer, environment.python, model, default_directory(), lambda text: None)
    wheel = Wheel(peer.distribution, environment.version)
    root = make_userland(place, lambda text: None)
    sites = tuple(unpack_wheel(one, place, lambda text: None) for one in (wheel, NUMPY))
    given = (load_core("cortex-a53"), 1.4e9, root, sites, wheel, peer)
    runs = [run_engine(*given, converted, network) for _ in range(2)]
    assert runs[0].time_s == runs[1].time_s > 0
    assert worst_error(runs[0].outputs, network.expected) < 1e-4
    assert all(np.isfinite(output).all() for output in runs[0].outputs)
    with pytest.raises(PeerError, match=wheel.version):
        run_engine(*given, model, network)
