"""The generated C API and the bench program, as a user of a bundle meets them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import compile_bundle
from codegen.bundle.manifest import Manifest, bundle_sources
from codegen.bundle.pool import pool_flags
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.graph import Graph
from codegen.loaded import load_bundle
from codegen.operators.conv2d import Conv2d
from codegen.reference import evaluate
from tests.codegen.planned import GraphBuilder, plan_of, small_network
from tests.codegen.test_cpu_pool import DUAL, threaded_choice

WRAPPED = ("malloc", "calloc", "realloc", "posix_memalign", "mmap")


def one_output() -> Graph:
    build = GraphBuilder("one", (1, 3, 12, 12))
    first = build.add(Conv2d((3, 3), pads=(1, 1, 1, 1)), "x", [(8, 3, 3, 3), (8,)])
    return build.build(build.add(Conv2d((1, 1)), first, [(16, 8, 1, 1), (16,)]))


def bundle_of(graph: Graph, directory: Path, threads: int) -> Manifest:
    plan = plan_of(graph, pick=threaded_choice) if threads > 1 else plan_of(graph)
    return compile_bundle(graph, plan, DUAL, directory)


@pytest.mark.parametrize("threads", [1, 2])
def test_runs_take_no_memory_and_weights_may_come_from_memory(threads: int, tmp_path: Path) -> None:
    graph = one_output()
    manifest = bundle_of(graph, tmp_path / "bundle", threads)
    sources = bundle_sources(tmp_path / "bundle", manifest, "none", program=None)
    sources["model_api.c"] = (Path(__file__).parent / "model_api.c").read_text(encoding="utf-8")
    wraps = ",".join(f"--wrap={name}" for name in WRAPPED)
    flags = (*KERNEL_FLAGS, "-Wall", "-Wextra", "-Werror", *pool_flags(manifest.files), f"-Wl,{wraps}")
    program = compile_executable(sources, DUAL, flags)
    inputs = {"x": np.random.default_rng(4).normal(size=graph.types["x"].shape).astype(np.float32)}
    source, result = tmp_path / "input.bin", tmp_path / "output.bin"
    source.write_bytes(inputs["x"].tobytes())
    ended = subprocess.run(
        [program, tmp_path / "bundle", source, result], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    (expected,) = evaluate(graph, inputs).values()
    found = np.fromfile(result, dtype=np.float32).reshape(expected.shape)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("pool", "model_pool"),
        ("platform_gpu", "model_platform_gpu"),
        ("sem", "model_sem"),
        ("pthread-mutex", "model_pthread_mutex"),
        *((name, name) for name in ("bundle", "at", "info", "layout", "load", "model", "small_net")),
    ],
)
def test_a_model_may_have_any_name(name: str, identifier: str, tmp_path: Path) -> None:
    """Names of the runtime's functions are prefixed; ordinary ones are the prefix of the API."""
    build = GraphBuilder(name, (1, 3, 12, 12))
    graph = build.build(build.add(Conv2d((1, 1)), "x", [(8, 3, 1, 1), (8,)]))
    assert bundle_of(graph, tmp_path / "bundle", 2).identifier == identifier
    inputs = {"x": np.random.default_rng(4).normal(size=graph.types["x"].shape).astype(np.float32)}
    with load_bundle(tmp_path / "bundle", DUAL) as model:
        (found,) = model.run(inputs).values()
    (expected,) = evaluate(graph, inputs).values()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.needs("c compiler")
def test_model_c_is_all_that_a_program_needs_to_link(tmp_path: Path) -> None:
    """One translation unit defines nothing but the API, and wants nothing but the C library."""
    manifest = bundle_of(small_network(), tmp_path, 2)
    subprocess.run(
        ["cc", "-c", "-O1", "-std=gnu11", "-o", "model.o", "model.c"], cwd=tmp_path, check=True, timeout=60
    )
    listed = subprocess.run(["nm", "-g", "model.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
    symbols = [line.split()[-2:] for line in listed.stdout.splitlines()]
    defined = {name for kind, name in symbols if kind != "U"}
    wanted = {name for kind, name in symbols if kind == "U"}
    api = (
        "describe",
        "open",
        "init",
        "init_from_memory",
        "run",
        "submit",
        "wait",
        "poll",
        "step_times",
        "launch_times",
        "active",
        "without_gpu",
        "threads",
        "free",
    )
    assert defined == {f"{manifest.identifier}_{name}" for name in api}
    assert not any("bundle" in name or "platform" in name or "cpu_" in name for name in wanted)


def test_there_are_never_more_threads_than_cpus_to_run_them(tmp_path: Path) -> None:
    graph = one_output()
    bundle_of(graph, tmp_path / "bundle", 2)
    inputs = {"x": np.random.default_rng(4).normal(size=graph.types["x"].shape).astype(np.float32)}
    allowed = os.sched_getaffinity(0)
    found = {}
    for cpus in ({min(allowed)}, allowed):
        os.sched_setaffinity(0, cpus)
        try:
            with load_bundle(tmp_path / "bundle", DUAL) as model:
                assert model.describe().threads == min(2, len(cpus))
                (found[len(cpus)],) = model.run(inputs).values()
        finally:
            os.sched_setaffinity(0, allowed)
    assert np.array_equal(found[1], found[len(allowed)])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The bench program of a threaded bundle, and its directory."""
    directory = tmp_path_factory.mktemp("bench") / "bundle"
    manifest = bundle_of(small_network(), directory, 2)
    flags = (*KERNEL_FLAGS, *pool_flags(manifest.files))
    return compile_executable(bundle_sources(directory, manifest, "none"), DUAL, flags), directory


def bench_says(bench: tuple[Path, Path], *words: str) -> str:
    program, directory = bench
    ended = subprocess.run([program, *words], cwd=directory, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and ended.stderr == "", ended.stderr
    return ended.stdout


def test_bench_prints_a_table(bench: tuple[Path, Path]) -> None:
    text = bench_says(bench, "--runs", "5", "--warmup", "1")
    assert "small net" in text and "5 after 1 to warm up" in text and "of the plan's 2" in text
    (row,) = (line.split() for line in text.splitlines() if line.endswith("a run by this machine's clock"))
    times = [float(word) for word in row[:5]]
    assert times == sorted(times) and times[0] > 0.0
    assert "layer 3" not in text
    steps = bench_says(bench, "--runs", "2", "--steps")
    assert all(f"cpu        layer {number}\n" in steps for number in range(12))


def test_bench_prints_one_line_of_json(bench: tuple[Path, Path]) -> None:
    text = bench_says(bench, "--json", "--steps", "--runs", "4", "--warmup", "0")
    assert text.count("\n") == 1
    line = json.loads(text)
    assert (line["model"], line["runs"], line["warmup"]) == ("small net", 4, 0)
    assert line["threads"] == min(2, len(os.sched_getaffinity(0)))
    for times in (line["wall"], line["cpu"], *(step["time"] for step in line["steps"])):
        values = [times[name] for name in ("min_s", "q1_s", "median_s", "q3_s", "max_s")]
        assert values == sorted(values)
    assert len(line["steps"]) == 12 and line["weights_bytes"] > 0
    assert "steps" not in json.loads(bench_says(bench, "--json", "--runs", "1"))


def test_quartiles_of_the_line_are_those_of_the_report(bench: tuple[Path, Path], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    line = json.loads(bench_says(bench, "--json", "--runs", "6", "--report", str(report)))
    wall_s = json.loads(report.read_text())["wall_s"]
    expected = np.quantile(wall_s, (0.0, 0.25, 0.5, 0.75, 1.0))
    assert list(line["wall"].values()) == pytest.approx(expected)


def test_bench_makes_up_the_same_inputs_every_time(bench: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        bench_says(bench, "--runs", "1", "--output", str(tmp_path / name))
    one, two = (np.fromfile(tmp_path / name, dtype=np.float32) for name in ("a", "b"))
    assert np.array_equal(one, two) and np.isfinite(one).all() and one.std() > 0.0


def test_bench_explains_itself(bench: tuple[Path, Path]) -> None:
    text = bench_says(bench, "--help")
    for option in ("bundle", "input", "output", "report", "runs", "warmup", "steps", "json", "help"):
        assert f"--{option} " in text


def test_bench_without_a_bundle_says_what_is_missing(bench: tuple[Path, Path], tmp_path: Path) -> None:
    ended = subprocess.run([bench[0]], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == "error: init: ./weights.bin: No such file or directory\n"
