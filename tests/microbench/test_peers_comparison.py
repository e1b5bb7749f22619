"""The table of peers, their environments, conversions, and cells: what fails is an entry with a reason."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from microbench.errors import PeerError
from microbench.peers.bundles import OUR_NAME, find_bundles
from microbench.peers.comparison import Cell, compare, make_environments, mean_of, ready_peers
from microbench.peers.conversion import convert
from microbench.peers.cpus import pinned_cpus, spread
from microbench.peers.environments import Environment, last_lines, make_environment
from microbench.peers.network import PeerNetwork, open_peer_network, relative_error, worst_error
from microbench.peers.ratios import TimesArray
from microbench.peers.registry import PROGRAMS, chosen_peers, read_peers
from microbench.peers.rounds import Entry, RoundSettings
from microbench.peers.worker import Contender
from tests.microbench import fake_peers
from tests.microbench.fake_peers import installed, peer

FACTOR = 3.0
CONVERTER = """
import sys
import numpy as np

model, out = sys.argv[1:]
open(model, "wb").close()  # it spoils its input
np.save(out, np.float32(3.0))
"""
BROKEN_CONVERTER = (
    "import sys\nsys.stderr.write('WARNING: odd\\n')\nsys.exit('operator Foo is not supported')\n"
)


def silent(line: str) -> None:
    """Hears nothing."""


def network(directory: Path) -> PeerNetwork:
    path = directory / "net.onnx"
    path.write_bytes(b"weights")
    value = np.arange(1, 7, dtype=np.float32).reshape(1, 6)
    return PeerNetwork("net", path, {"x": value}, (np.float32(FACTOR) * value,))


def constant(time_ns: float) -> TimesArray:
    return np.full((3, 2), time_ns)


def entry(name: str, time_ns: float, error: float = 0.0) -> Entry:
    return Entry(name, name, "1", constant(time_ns), error)


def test_every_peer_of_the_table_has_its_programs_and_pins() -> None:
    peers = read_peers()
    assert {made.name for made in peers} == {
        *("onnxruntime", "openvino", "litert", "executorch", "ncnn", "mnn", "deepsparse"),
    }
    for made in peers:
        assert made.engine.is_file()
        assert made.converter is None or made.converter.is_file()
        pins = (*made.requirements, *made.constraints, *made.without_dependencies)
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), pins
        names = [re.sub(r"[-_.]+", "-", pin.split("==")[0].lower()) for pin in pins]
        assert len(names) == len(set(names))


def test_peers_are_chosen_by_name(tmp_path: Path) -> None:
    peers = [peer(tmp_path, "a"), peer(tmp_path, "b")]
    assert chosen_peers((), peers) == tuple(peers)
    assert chosen_peers(("b",), peers) == (peers[1],)
    with pytest.raises(PeerError, match=r"'c'; there are a, b"):
        chosen_peers(("c",), peers)


@pytest.mark.parametrize(
    ("text", "place"),
    [("a = 1", "'a' is no table"), ("[a]\ntitle = 'A'", r"a\.distribution"), ("[", "cannot be read")],
)
def test_a_malformed_table_is_named(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "peers.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PeerError, match=place):
        read_peers(tmp_path / "peers.toml")


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    told: list[str] = []
    made = make_environment(peer(tmp_path, "a"), tmp_path, told.append)
    assert made.python.is_file()
    assert re.fullmatch(r"[\d.]+", made.version)
    assert make_environment(peer(tmp_path, "a"), tmp_path, told.append) == made
    assert len(told) == 1


def test_other_requirements_make_it_anew_and_a_failure_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python2.99").write_text("#!/bin/sh\necho no module venv >&2\nexit 1\n", encoding="utf-8")
    (tmp_path / "python2.99").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    installed(peer(tmp_path, "a", python="2.99"), tmp_path)
    other = peer(tmp_path, "a", python="2.99", requirements=("engine==2",))
    with pytest.raises(PeerError, match="cannot be installed: no module venv"):
        make_environment(other, tmp_path, silent)
    assert not (tmp_path / "a" / "environment.json").exists()


@pytest.mark.slow
def test_a_package_that_is_not_there_is_the_reason(tmp_path: Path) -> None:
    other = peer(tmp_path, "a", requirements=(f"{tmp_path}/missing-1.0-py3-none-any.whl",))
    with pytest.raises(PeerError, match=r"cannot be installed.*missing"):
        make_environment(other, tmp_path, silent)
    assert not (tmp_path / "a" / "environment.json").exists()


def test_a_python_that_is_not_there_is_the_reason(tmp_path: Path) -> None:
    found = make_environments([peer(tmp_path, "a", python="2.99")], tmp_path, silent)
    assert "Python 2.99 only" in str(found["a"])


def test_a_converter_gets_a_copy_and_works_once(tmp_path: Path) -> None:
    (tmp_path / "convert.py").write_text(CONVERTER, encoding="utf-8")
    made = installed(
        peer(tmp_path, "a", converter=tmp_path / "convert.py", model="model.npy"), tmp_path / "e"
    )
    python = make_environment(made, tmp_path / "e", silent).python
    told: list[str] = []
    paths = {convert(made, python, network(tmp_path).path, tmp_path, told.append) for _ in range(2)}
    assert (tmp_path / "net.onnx").read_bytes() == b"weights"
    assert [float(np.load(path)) for path in paths] == [FACTOR]
    assert len(told) == 1


def test_a_conversion_that_fails_is_an_entry_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "convert.py").write_text(BROKEN_CONVERTER, encoding="utf-8")
    made = installed(peer(tmp_path, "a", converter=tmp_path / "convert.py"), tmp_path)
    environments = make_environments([made], tmp_path, silent)
    (ready,) = ready_peers([made], environments, network(tmp_path).path, tmp_path, silent)
    assert isinstance(ready, Entry)
    assert ready.reason == "it cannot convert the network: operator Foo is not supported"
    assert ready.version == "1.0"


def test_a_cell_has_an_entry_for_each_and_compares_with_those_that_agree(tmp_path: Path) -> None:
    (tmp_path / "convert.py").write_text(CONVERTER, encoding="utf-8")
    texts = {"sound": fake_peers.SOUND, "wrong": fake_peers.WRONG, "dies": fake_peers.CRASHES}
    peers = []
    for name, text in texts.items():
        (tmp_path / f"run_{name}.py").write_text(text, encoding="utf-8")
        made = peer(tmp_path, name, converter=tmp_path / "convert.py", model="model.npy")
        peers.append(installed(made, tmp_path))
    environments = make_environments(peers, tmp_path, silent)
    absent = peer(tmp_path, "absent")
    environments["absent"] = "it cannot be installed: no such package"
    net = network(tmp_path)
    ready = ready_peers([absent, *peers], environments, net.path, tmp_path, silent)
    rounds: list[int] = []
    settings = RoundSettings(rounds=2, runs=3, warmup=0, settle_s=0.0)
    cell = compare(net, ready, 1, settings, lambda: rounds.append(1))
    assert [entry.name for entry in cell.entries] == ["absent", *texts]
    assert [bool(entry.reason) for entry in cell.entries] == [True, False, False, True]
    assert "no such package" in cell.entries[0].reason
    assert cell.fastest_peer == "sound"
    assert set(cell.peers_ns) == {"sound"}
    assert len(rounds) == 2


def test_a_wrong_or_missing_bundle_is_no_ratio() -> None:
    peers = (entry("x", 1e6), entry("y", 5e5, error=0.1))
    right = Cell("a", 1, (0,), (entry(OUR_NAME, 2e6), *peers))
    wrong = Cell("b", 1, (0,), (entry(OUR_NAME, 2e6, error=0.1), *peers))
    missing = Cell("c", 1, (0,), (Entry(OUR_NAME, "", "", reason="none"), *peers))
    assert right.fastest_peer == "x"
    mean = mean_of([right, wrong, missing], 1, seed=0)
    assert mean is not None
    assert mean.networks == ("a",)
    assert mean.ratio == pytest.approx(2.0)
    assert mean_of([right], 2, seed=0) is None


def test_errors_are_relative_and_nonsense_is_infinite() -> None:
    expected = np.array([3.0, -4.0], dtype=np.float32)
    rms = float(np.sqrt(12.5))
    assert relative_error(np.array([[3.0], [-3.0]], dtype=np.float32), expected) == pytest.approx(1 / rms)
    assert relative_error(expected[:1], expected) == float("inf")
    assert relative_error(np.array([3.0, np.nan], dtype=np.float32), expected) == float("inf")


def test_outputs_are_held_against_those_they_are_nearest_to_each_against_another() -> None:
    first, second = np.array([1.0, 2.0], np.float32), np.array([5.0, 6.0], np.float32)
    assert worst_error([second, first], [first, second]) == 0.0
    assert worst_error([first, first], [first, second]) > 0.5
    assert worst_error([first], [first, second]) == float("inf")
    assert worst_error([first, second[:1]], [first, second]) == float("inf")


def test_a_network_of_several_inputs_and_outputs_is_computed_by_an_engine(tmp_path: Path) -> None:
    parts = (
        helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0),
        helper.make_node("Add", ["rows", "shift"], ["sum"]),
        helper.make_node("Relu", ["rows"], ["positive"]),
    )
    graph = helper.make_graph(
        parts,
        "two",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, [3]),
            helper.make_tensor_value_info("shift", TensorProto.FLOAT, [3, 4]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in ("sum", "positive")],
        [numpy_helper.from_array(np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4), "table")],
    )
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    net = open_peer_network(path, 0)
    assert set(np.unique(net.inputs["ids"])) <= {0, 1}
    engine = PROGRAMS / "run_onnxruntime.py"
    ready = [Contender("onnxruntime", "ONNX Runtime", "1", Path(sys.executable), engine, path)]
    cell = compare(net, ready, 1, RoundSettings(rounds=1, runs=1, warmup=0, settle_s=0.0), lambda: None)
    assert cell.entries[0].error == 0.0 and len(net.expected) == 2


def test_cpus_are_of_different_cores_first() -> None:
    assert spread([0, 1, 2, 3], {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}) == (0, 2, 1, 3)
    assert len(pinned_cpus(1)) == 1
    with pytest.raises(PeerError, match="ask for fewer"):
        pinned_cpus(100_000)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(PeerError, match=r"bad\.onnx: onnxruntime refuses it"):
        open_peer_network(tmp_path / "bad.onnx", 0)


def test_a_directory_without_bundles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="explore run --device host"):
        find_bundles(tmp_path)


def test_what_a_program_said_at_last_is_without_its_warnings() -> None:
    assert last_lines("one\ntwo\n\nWARNING: x\nthree\nfour\n") == "two / three / four"
    assert last_lines("WARNING: x\n") == "it ended without a word"


def test_an_environment_of_a_damaged_marker_is_made_anew(tmp_path: Path) -> None:
    made = installed(peer(tmp_path, "a", python="2.99"), tmp_path)
    assert isinstance(make_environment(made, tmp_path, silent), Environment)
    (tmp_path / "a" / "environment.json").write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(PeerError, match=r"2\.99"):
        make_environment(made, tmp_path, silent)
