"""Workers and rounds with engines made for the test: sound ones, and those that crash, lie or spin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codegen.tensor import FloatArray
from microbench.errors import PeerError
from microbench.peers.network import PeerNetwork, save_inputs
from microbench.peers.registry import PROGRAMS
from microbench.peers.rounds import Entry, RoundSettings, run_rounds
from microbench.peers.worker import Worker
from tests.microbench import fake_peers
from tests.microbench.fake_peers import contender

SETTINGS = RoundSettings(rounds=3, runs=2, warmup=1, settle_s=0.0)
VALUE = np.arange(6, dtype=np.float32).reshape(1, 2, 3)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    save_inputs(PeerNetwork("net", tmp_path, {"x": VALUE}, ()), tmp_path / "inputs.npz")
    return tmp_path / "inputs.npz"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    np.save(tmp_path / "model.npy", np.float32(3.0))
    return tmp_path / "model.npy"


@pytest.fixture
def cpus() -> tuple[int, ...]:
    return (min(os.sched_getaffinity(0)),)


def entries_of(
    engines: dict[str, str],
    inputs: Path,
    model: Path,
    cpus: tuple[int, ...],
    settings: RoundSettings = SETTINGS,
) -> dict[str, Entry]:
    contenders = [contender(model.parent, name, text, model) for name, text in engines.items()]
    expected: dict[str, list[FloatArray]] = {name: [3 * VALUE] for name in engines}
    entries = run_rounds(contenders, inputs, expected, 1, cpus, settings, lambda: None)
    assert [entry.name for entry in entries] == list(engines)
    return {entry.name: entry for entry in entries}


def test_a_worker_computes_and_is_timed(
    tmp_path: Path, inputs: Path, model: Path, cpus: tuple[int, ...]
) -> None:
    with Worker(contender(tmp_path, "sound", fake_peers.SOUND, model), inputs, 1, cpus) as worker:
        times_ns = worker.run(5)
        assert len(times_ns) == 5
        assert min(times_ns) > 0
        np.testing.assert_array_equal(worker.outputs()[0], 3 * VALUE)
        assert worker.cpu_s() > 0


def test_a_worker_is_pinned(tmp_path: Path, inputs: Path, model: Path, cpus: tuple[int, ...]) -> None:
    shown = fake_peers.SOUND.replace(
        "self.value * self.factor", "np.array(sorted(__import__('os').sched_getaffinity(0)))"
    )
    with Worker(contender(tmp_path, "shown", shown, model), inputs, 1, cpus) as worker:
        worker.run(1)
        assert worker.outputs()[0].tolist() == list(cpus)


def test_entries_hold_every_time_and_the_error(inputs: Path, model: Path, cpus: tuple[int, ...]) -> None:
    entries = entries_of({"a": fake_peers.SOUND, "b": fake_peers.SOUND}, inputs, model, cpus)
    for entry in entries.values():
        assert entry.times_ns is not None
        assert entry.times_ns.shape == (3, 2)
        assert entry.error == 0.0
        assert entry.reason == ""


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (fake_peers.REFUSES, "ValueError: no such layer"),
        (fake_peers.MISSING, "a_package_that_is_not_there"),
        (fake_peers.CRASHES, "ended with exit code 7"),
        (fake_peers.CRASHES_LATER, "ended with signal 9: an engine that talks / the heap is broken"),
        (fake_peers.FAILS_LATER, "RuntimeError: out of patience"),
    ],
)
def test_one_that_fails_says_why_and_the_others_go_on(
    engine: str, reason: str, inputs: Path, model: Path, cpus: tuple[int, ...]
) -> None:
    entries = entries_of({"bad": engine, "good": fake_peers.SOUND}, inputs, model, cpus)
    assert reason in entries["bad"].reason
    assert entries["bad"].times_ns is None
    times_ns = entries["good"].times_ns
    assert times_ns is not None
    assert times_ns.shape == (3, 2)


def test_a_wrong_output_is_an_error_beside_the_times(
    inputs: Path, model: Path, cpus: tuple[int, ...]
) -> None:
    entry = entries_of({"wrong": fake_peers.WRONG}, inputs, model, cpus)["wrong"]
    assert entry.times_ns is not None
    assert entry.error == pytest.approx(1 / float(np.sqrt(np.mean((3 * VALUE) ** 2))))


def test_an_idle_worker_that_spins_is_seen(inputs: Path, model: Path, cpus: tuple[int, ...]) -> None:
    slow = fake_peers.SOUND.replace(
        "        self.result =", "        __import__('time').sleep(0.05)\n        self.result ="
    )
    entries = entries_of({"spins": fake_peers.SPINS, "slow": slow}, inputs, model, cpus)
    assert entries["spins"].idle_share > 0.01
    assert entries["slow"].idle_share < entries["spins"].idle_share


def test_the_worker_ends_with_its_owner(
    tmp_path: Path, inputs: Path, model: Path, cpus: tuple[int, ...]
) -> None:
    with Worker(contender(tmp_path, "sound", fake_peers.SOUND, model), inputs, 1, cpus) as worker:
        process = worker._process
        assert process.poll() is None
    assert process.returncode == 0


def test_an_interpreter_that_is_not_there(
    tmp_path: Path, inputs: Path, model: Path, cpus: tuple[int, ...]
) -> None:
    who = contender(tmp_path, "sound", fake_peers.SOUND, model)
    gone = type(who)(who.name, who.title, who.version, tmp_path / "python", who.engine, who.model)
    with pytest.raises(PeerError, match="cannot be started"):
        Worker(gone, inputs, 1, cpus)


def test_an_unknown_command_is_answered_by_an_error(tmp_path: Path, inputs: Path, model: Path) -> None:
    who = contender(tmp_path, "sound", fake_peers.SOUND, model)
    options = {"--engine": who.engine, "--model": model, "--inputs": inputs, "--threads": "1"}
    words = [str(word) for pair in options.items() for word in pair]
    done = subprocess.run(
        (sys.executable, str(PROGRAMS / "serve.py"), *words, "--cpus", str(min(os.sched_getaffinity(0)))),
        input="dance\n",
        capture_output=True,
        text=True,
        check=False,
    )
    ready, answer = map(json.loads, done.stdout.splitlines())
    assert ready["ready"]
    assert "unknown command 'dance'" in answer["error"]
    assert done.returncode == 1
