"""Two threads on unequal CPUs, as studied."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.loaded import load_bundle
from codegen.reference import evaluate
from explorer.errors import UsageError
from explorer.plans.check import trial_inputs
from explorer.plans.network import load_network
from explorer.studies.shared_cores import (
    ALONE,
    FINE,
    FINER,
    STATIC,
    TAKEN,
    Way,
    cores_table,
    finer,
    time_ways,
    ways_of,
)
from explorer.terminal.progress import Silent
from microbench.profile import load_profile
from tests.codegen.planned import plan_of, small_network
from tests.codegen.test_cpu_pool import DUAL, threaded_choice
from tests.explorer.tiny import write_tiny_model


def test_a_finer_plan_computes_the_same(tmp_path: Path) -> None:
    graph = small_network()
    plan = plan_of(graph, pick=threaded_choice)
    divided = finer(plan, DUAL)
    threads = {step.choice.threads for step in divided.steps}
    assert threads >= {2 * FINER} and {step.choice.threads for step in plan.steps} >= {2}
    compile_bundle(graph, divided, DUAL, tmp_path)
    inputs = {"x": np.random.default_rng(3).normal(size=graph.types["x"].shape).astype(np.float32)}
    with load_bundle(tmp_path, DUAL) as model:
        found = model.run(inputs)
    for name, value in evaluate(graph, inputs).items():
        assert np.abs(found[name] - value).max() <= 1e-5 * np.abs(value).max()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPUs are compared")
def test_every_way_has_times_with_free_cpus_and_with_a_shared_one(tmp_path: Path) -> None:
    network = load_network(write_tiny_model(tmp_path / "tiny.onnx"), {}, "tiny")
    ways = ways_of(network, load_profile("host"), tmp_path)
    before = os.sched_getaffinity(0)
    time_ways(ways, trial_inputs(network.graph, 0, 1)[0], turns=1, runs=1, seed=0, progress=Silent())
    assert [way.name for way in ways] == [ALONE, STATIC, TAKEN, FINE]
    assert all(len(way.times_s[shared]) == 1 for way in ways for shared in (False, True))
    assert os.sched_getaffinity(0) == before
    os.sched_setaffinity(0, {min(before)})
    try:
        with pytest.raises(UsageError, match="two threads need two CPUs"):
            ways_of(network, load_profile("host"), tmp_path)
    finally:
        os.sched_setaffinity(0, before)


def test_the_ideal_is_the_static_split_s_time_by_both_speeds() -> None:
    def way(name: str, free_s: float, shared_s: float) -> Way:
        return Way(name, Path(), Path(), frozenset(), {False: [free_s], True: [shared_s]})

    ways = [
        way(ALONE, 8e-3, 16e-3),
        way(STATIC, 4.5e-3, 9e-3),
        way(TAKEN, 4.5e-3, 7e-3),
        way(FINE, 4.6e-3, 6.3e-3),
    ]
    table = cores_table("a network", ways)
    assert table.rows[0] == (ALONE, "8.000", "-", "16.000", "-")
    assert table.rows[1][2:] == ("1.000", "9.000", "1.500")  # ideal: 4.5 * 2 / 1.5 = 6 ms
    assert table.rows[3][2:] == ("1.022", "6.300", "1.050")
    assert "0.50 of its speed" in table.notes[0]
