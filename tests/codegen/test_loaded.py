"""Bundles loaded into this process: right results, independent handles, refused arrays, no memory taken by a run."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.errors import BundleError, TensorError
from codegen.graph import Graph
from codegen.loaded import LoadedBundle, load_bundle
from codegen.operators.conv2d import Conv2d
from codegen.reference import evaluate
from codegen.tensor import FloatArray
from tests.codegen.planned import HOST, GraphBuilder, branched_network, plan_of, small_network
from tests.codegen.test_cpu_pool import DUAL, threaded_choice


def compiled(graph: Graph, directory: Path, threads: int = 1) -> Path:
    plan = plan_of(graph, pick=threaded_choice) if threads > 1 else plan_of(graph)
    compile_bundle(graph, plan, DUAL, directory)
    return directory


def inputs_of(graph: Graph, seed: int) -> dict[str, FloatArray]:
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=graph.types[name].shape).astype(np.float32) for name in graph.inputs}


def check(model: LoadedBundle, graph: Graph, seed: int) -> None:
    inputs = inputs_of(graph, seed)
    outputs = model.run(inputs)
    expected = evaluate(graph, inputs)
    assert list(outputs) == list(expected)
    for name, value in expected.items():
        assert outputs[name].dtype == np.float32 and outputs[name].shape == value.shape
        assert np.abs(outputs[name] - value).max() <= 1e-5 * np.abs(value).max()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_loaded_bundle_computes_the_network(threads: int, tmp_path: Path) -> None:
    for graph in (small_network(), branched_network()):
        with load_bundle(compiled(graph, tmp_path / graph.name.replace(" ", "_"), threads), DUAL) as model:
            for seed in (1, 2):
                check(model, graph, seed)


@pytest.mark.parametrize("threads", [1, 2])
def test_handles_run_at_the_same_time_without_meeting(threads: int, tmp_path: Path) -> None:
    graph = small_network()
    bundle = compiled(graph, tmp_path / "bundle", threads)
    begin = threading.Barrier(3, timeout=30)

    def work(seed: int) -> None:
        with load_bundle(bundle, DUAL) as model:
            begin.wait()
            for turn in range(20):
                check(model, graph, 100 * seed + turn)

    with ThreadPoolExecutor(3) as workers:
        for ended in [workers.submit(work, seed) for seed in range(3)]:
            ended.result(60)


def test_one_handle_serves_callers_in_turn(tmp_path: Path) -> None:
    graph = small_network()
    found: dict[int, dict[str, FloatArray]] = {}
    with load_bundle(compiled(graph, tmp_path / "bundle", 2), DUAL) as model:

        def work(seed: int) -> None:
            for _ in range(10):
                found[seed] = model.run(inputs_of(graph, seed))

        with ThreadPoolExecutor(4) as workers:
            for ended in [workers.submit(work, seed) for seed in range(4)]:
                ended.result(60)
        for seed in range(4):
            alone = model.run(inputs_of(graph, seed))
            assert all(np.array_equal(found[seed][name], alone[name]) for name in alone)


def test_it_says_what_it_is_and_what_steps_took(tmp_path: Path) -> None:
    graph = small_network()
    plan = plan_of(graph)
    with load_bundle(compiled(graph, tmp_path / "bundle"), DUAL) as model:
        assert set(model.step_times_s().values()) == {0.0}
        times = model.time_s(inputs_of(graph, 1), runs=3, warmup=1)
        assert len(times) == 3 and all(time > 0.0 for time in times)
        steps = model.step_times_s()
        assert list(steps) == [step.name for step in plan.steps]
        assert sum(steps.values()) > 0.0
        described = model.describe()
        with pytest.raises(ValueError, match="at least one run"):
            model.time_s(inputs_of(graph, 1), runs=0)
    assert described.model_name == graph.name
    assert [(tensor.name, tensor.shape) for tensor in described.inputs] == [("x", graph.types["x"].shape)]
    assert [tensor.name for tensor in described.outputs] == list(graph.outputs)
    assert described.threads == 1
    assert described.weights_bytes > 0 and described.arena_bytes > 0


BREAKAGES: dict[str, tuple[Callable[[FloatArray], object], str]] = {
    "type": (lambda x: x.astype(np.float64), "float64, not float32"),
    "shape": (lambda x: x[:, :, :-1], r"has the shape .*, the model's is"),
    "order": (np.asfortranarray, "row-major"),
    "stride": (lambda x: np.repeat(x, 2, axis=3)[:, :, :, ::2], "row-major"),
    "list": (lambda x: x.tolist(), "no numpy array but list"),
}


def test_arrays_that_are_not_the_models_are_refused(tmp_path: Path) -> None:
    graph = small_network()
    good = inputs_of(graph, 1)["x"]
    model = load_bundle(compiled(graph, tmp_path / "bundle"), DUAL)
    for breakage, message in BREAKAGES.values():
        with pytest.raises(TensorError, match=f"input 'x'.*{message}"):
            model.run({"x": breakage(good)})  # type: ignore[dict-item]
    for names in ({}, {"y": good}, {"x": good, "y": good}):
        with pytest.raises(TensorError, match="has the inputs 'x', given"):
            model.run(names)
    model.close()
    model.close()
    for call in (lambda: model.run({"x": good}), model.step_times_s, model.describe):
        with pytest.raises(BundleError, match="is closed"):
            call()


def test_a_bundle_that_changes_behind_its_manifest_is_refused(tmp_path: Path) -> None:
    bundle = compiled(small_network(), tmp_path / "bundle")
    weights = bundle / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-64])
    with pytest.raises(BundleError, match=r"weights\.bin is not what"):
        load_bundle(bundle, DUAL)


def test_equal_names_of_different_networks_do_not_meet(tmp_path: Path) -> None:
    """Two models of one name in one process: each library keeps its own functions."""
    graphs = []
    for channels in (4, 6):
        build = GraphBuilder("same", (1, 3, 8, 8))
        graphs.append(build.build(build.add(Conv2d((1, 1)), "x", [(channels, 3, 1, 1), (channels,)])))
    target = dataclasses.replace(HOST, cores=2)
    models = []
    for number, graph in enumerate(graphs):
        compile_bundle(graph, plan_of(graph), HOST, tmp_path / str(number))
        models.append(load_bundle(tmp_path / str(number), target))
    for model, graph in zip(models, graphs, strict=True):
        check(model, graph, 5)
        model.close()
