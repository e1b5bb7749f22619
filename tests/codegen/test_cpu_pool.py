"""The pool of threads, and kernels and bundles that use it."""

from __future__ import annotations

import ctypes
import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.bundle import compile_bundle
from codegen.bundle.manifest import Manifest, bundle_sources
from codegen.bundle.pool import pool_files, pool_flags
from codegen.engines.cpu.threads import LINE, Share, threads_axis
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable, compile_shared
from codegen.errors import ScheduleError
from codegen.graph import Graph, LayerSpec
from codegen.reference import evaluate
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import FloatArray
from tests.codegen.planned import HOST, branched_network, first_choice, plan_of, small_network

DUAL = dataclasses.replace(HOST, cores=2)
ARMV6 = Target(
    "pi-zero",
    0,
    "arm1176jzf-s",
    ("arm-linux-musleabihf", "-O3", "-mcpu=arm1176jzf_s-slowfpvmlx", "-static"),
    2,
)
ONE_CPU = 77  # exit code of pool_moved.c
STRICT = (*KERNEL_FLAGS, "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")


def threaded_choice(spec: LayerSpec) -> Choice:
    """The first row-major point with two threads of the first C algorithm that has one; else the first choice."""
    for name, algorithm in sorted(algorithms().items()):
        if name.startswith("cpu_") and algorithm.applies(spec, DUAL):
            for point in algorithm.space(spec, DUAL).points():
                try:
                    choice = algorithm.choice(spec, DUAL, point)
                except ScheduleError:
                    continue
                if choice.threads == 2 and {*choice.input_layouts, choice.output_layout} == {"nchw"}:
                    return choice
    return first_choice(spec)


def outputs_of(graph: Graph, directory: Path, manifest: Manifest, inputs: FloatArray) -> FloatArray:
    """All outputs of the bundle's bench program after five runs."""
    flags = (*KERNEL_FLAGS, *pool_flags(manifest.files))
    executable = compile_executable(bundle_sources(directory, manifest, "none"), DUAL, flags)
    source, result = directory.parent / "input.bin", directory.parent / "output.bin"
    source.write_bytes(inputs.tobytes())
    words: list[str | Path] = ["--bundle", directory, "--input", source, "--output", result]
    words += ["--report", directory.parent / "report.json", "--runs", "5"]
    subprocess.run([executable, *words], check=True, timeout=60)
    return np.fromfile(result, dtype=np.float32)


def test_many_short_calls_run_every_part_once() -> None:
    stress = (Path(__file__).parent / "pool_stress.c").read_text(encoding="utf-8")
    program = compile_executable({"pool_stress.c": stress, **pool_files(2)}, HOST, (*STRICT, "-pthread"))
    ended = subprocess.run([program, "2000"], timeout=120)
    assert ended.returncode == 0


def test_threads_that_lose_their_cpu_are_moved() -> None:
    moved = (Path(__file__).parent / "pool_moved.c").read_text(encoding="utf-8")
    files = {name: text for name, text in pool_files(2).items() if name.endswith(".h")}
    pieces = {"pool_moved.c": moved.replace('#include "pool.c"', pool_files(2)["pool.c"])}
    program = compile_executable({**pieces, **files}, HOST, (*KERNEL_FLAGS, "-Wall", "-Wextra", "-pthread"))
    ended = subprocess.run([program], timeout=120)
    if ended.returncode == ONE_CPU:
        pytest.skip("this machine lets the tests run on one CPU")
    assert ended.returncode == 0


@pytest.mark.parametrize("graph", [small_network(), branched_network()], ids=lambda graph: graph.name)
def test_a_threaded_bundle_computes_what_one_thread_computes(graph: Graph, tmp_path: Path) -> None:
    inputs = np.random.default_rng(3).normal(size=graph.types["x"].shape).astype(np.float32)
    plans = {"alone": plan_of(graph), "shared": plan_of(graph, pick=threaded_choice)}
    threads = [step.choice.threads for step in plans["shared"].steps]
    assert threads.count(2) >= len(threads) - 4
    found = {}
    for name, plan in plans.items():
        manifest = compile_bundle(graph, plan, DUAL, tmp_path / name)
        assert ("pool.h" in manifest.files) == (name == "shared")
        found[name] = outputs_of(graph, tmp_path / name, manifest, inputs)
    expected = np.concatenate([value.reshape(-1) for value in evaluate(graph, {"x": inputs}).values()])
    assert np.abs(found["shared"] - found["alone"]).max() <= 2e-6 * np.abs(expected).max()
    assert np.abs(found["shared"] - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_bundle_has_a_pool_only_where_a_step_needs_one(tmp_path: Path) -> None:
    graph = small_network()
    compile_bundle(graph, plan_of(graph, pick=threaded_choice), DUAL, tmp_path)
    assert "pool.h" in (tmp_path / "Makefile").read_text()
    for name in ("Makefile", "build.sh"):
        assert "-pthread" in (tmp_path / name).read_text()
    model = (tmp_path / "model.c").read_text()
    assert "pool_new(2)" in model and "pool_free" in model
    compile_bundle(graph, plan_of(graph), DUAL, tmp_path)
    assert not (tmp_path / "pool.h").exists()
    texts = {path.name: path.read_text() for path in tmp_path.iterdir() if path.suffix != ".bin"}
    assert not any("pool_new" in text or "pool.h" in text for text in texts.values())
    assert "pthread" not in texts["model.c"]


def test_build_sh_builds_a_threaded_bundle(tmp_path: Path) -> None:
    graph = small_network()
    compile_bundle(graph, plan_of(graph, pick=threaded_choice), DUAL, tmp_path)
    subprocess.run([tmp_path / "build.sh"], check=True, timeout=120)
    assert (tmp_path / "bench").is_file()


def test_a_threaded_bundle_compiles_without_warnings(tmp_path: Path) -> None:
    graph = small_network()
    manifest = compile_bundle(graph, plan_of(graph, pick=threaded_choice), DUAL, tmp_path)
    compile_executable(bundle_sources(tmp_path, manifest, "none"), DUAL, (*STRICT, "-pthread"))


@pytest.mark.slow
def test_a_threaded_bundle_compiles_for_armv6_and_links_statically(tmp_path: Path) -> None:
    graph = small_network()
    manifest = compile_bundle(graph, plan_of(graph, pick=threaded_choice), ARMV6, tmp_path)
    program = compile_executable(bundle_sources(tmp_path, manifest, "none"), ARMV6, (*STRICT, "-pthread"))
    content = program.read_bytes()
    assert content[:4] == b"\x7fELF" and int.from_bytes(content[18:20], "little") == 40  # ELF machine: ARM
    assert b"/lib/ld-musl" not in content


def test_threads_are_powers_of_two_and_all_the_cores() -> None:
    found = {cores: threads_axis(dataclasses.replace(HOST, cores=cores)).values for cores in (1, 2, 4, 6)}
    assert found == {1: (1,), 2: (1, 2), 4: (1, 2, 4), 6: (1, 2, 4, 6)}


@pytest.mark.parametrize(
    ("count", "threads", "unit"), [(7, 3, 1), (100, 4, LINE), (64, 4, LINE), (33, 2, LINE)]
)
def test_shares_cover_everything_once_and_say_their_balance(count: int, threads: int, unit: int) -> None:
    share = Share(count, threads, unit)
    text = f"void span(int *span, int part) {{ {share.declaration} span[0] = {share.first}, span[1] = {share.end}; }}"
    library = ctypes.CDLL(str(compile_shared({"span.c": text}, HOST)))
    spans = []
    for part in range(threads):
        span = (ctypes.c_int * 2)()
        library.span(span, part)
        spans.append(tuple(span))
    assert [start for start, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == count
    assert all(start % unit == 0 for start, _ in spans)
    busiest = max(-(-(end - start) // unit) for start, end in spans)
    assert share.balance == pytest.approx(busiest * threads / share.pieces)


def test_more_threads_than_pieces_are_refused() -> None:
    spec = LayerSpec.of(small_network(), small_network().nodes[0])
    algorithm = algorithms()["cpu_conv_im2col"]
    point = {"rows": 4, "columns": 8, "block": 4, "threads": 4}
    with pytest.raises(ScheduleError, match="4 threads would share 3 pieces of work"):
        algorithm.choice(spec, dataclasses.replace(HOST, cores=4), point)


def test_one_thread_has_literal_bounds() -> None:
    assert (Share(9, 1).declaration, Share(9, 1).first, Share(9, 1).end) == ("(void)part;", "0", "9")
