"""A bundle with a plan for the CPU beside that for the GPU: which of them runs, and what is said of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import Manifest, compile_bundle, read_manifest
from codegen.bundle.manifest import bundle_sources
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable
from codegen.errors import BundleError, GpuUnavailableError, PlanError
from codegen.frame_queue import FrameQueue
from codegen.graph import Graph
from codegen.loaded import Description, Platform, load_bundle
from codegen.operators.conv2d import Conv2d
from codegen.reference import evaluate
from microbench.boards.host import HostBoard
from microbench.errors import BoardError
from microbench.profile import load_profile
from microbench.virtual.bundle import virtual_platform
from tests.codegen.planned import HOST, PI_ZERO, GraphBuilder, plan_of, qpu_plan

STRICT = (*KERNEL_FLAGS, "-Wall", "-Wextra", "-Werror")

# A GPU that is opened or not, gives memory or not, and fails or not, as GPU_CODES says: of open, memory and launch.
PLATFORM = """
#include "platform.h"
#include <stdlib.h>
static const int codes[] = GPU_CODES;
static void *memory;
int platform_open(void) { return codes[0]; }
void platform_close(void) {}
const char *platform_name(void) { return "pretended"; }
const char *platform_gpu_kind(void) { return "simulated"; }
const char *platform_message(int code) { return code == PLATFORM_STOPPED ? "stopped" : "not to be had"; }
int platform_gpu_alloc(uint32_t bytes, int kind, uint32_t *bus, void **pointer)
{
    (void)kind;
    *bus = 0xC0100000u;
    *pointer = memory = calloc(1, bytes);
    return codes[1];
}
void platform_gpu_free(uint32_t bus) { (void)bus; free(memory); }
int platform_gpu_execute(uint32_t num_qpus, uint32_t control_bus, uint32_t mark_bus, double *time_s)
{
    (void)num_qpus, (void)control_bus, (void)mark_bus;
    *time_s = 1.0;
    return codes[2];
}
int platform_gpu_marks(double *seconds, int capacity) { (void)seconds, (void)capacity; return 0; }
int platform_gpu_counters(const char *const **names, const double **totals)
{
    *names = 0, *totals = 0;
    return 0;
}
"""


def network() -> Graph:
    build = GraphBuilder("two ways", (1, 4, 8, 8))
    first = build.add(Conv2d((3, 3), pads=(1, 1, 1, 1)), "x", [(16, 4, 3, 3), (16,)])
    return build.build(build.add(Conv2d((1, 1)), first, [(16, 16, 1, 1), (16,)]))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    directory, graph = tmp_path_factory.mktemp("two"), network()
    return directory, compile_bundle(graph, qpu_plan(graph), PI_ZERO, directory, cpu_plan=plan_of(graph))


def bench(
    bundle: Path, manifest: Manifest, place: Path, codes: tuple[int, int, int]
) -> subprocess.CompletedProcess[str]:
    sources = bundle_sources(bundle, manifest, None)
    text = PLATFORM.replace("GPU_CODES", f"{{{', '.join(map(str, codes))}}}")
    executable = compile_executable({**sources, "platform_pretended.c": text}, HOST, STRICT)
    np.ones((1, 4, 8, 8), np.float32).tofile(place / "input")
    words: list[str | Path] = [executable, "--bundle", bundle, "--input", place / "input"]
    words += ["--output", place / "output", "--report", place / "report"]
    words += ["--json", "--runs", "1", "--warmup", "0"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("codes", [(1, 0, 0), (2, 0, 0), (3, 0, 0), (0, 4, 0), (0, 5, 0)])
def test_the_cpu_s_plan_runs_where_the_gpu_is_not_to_be_had(
    two: tuple[Path, Manifest], tmp_path: Path, codes: tuple[int, int, int]
) -> None:
    bundle, manifest = two
    ended = bench(bundle, manifest, tmp_path, codes)
    assert ended.returncode == 0, ended.stderr
    what = "GPU memory" if codes[1] else "GPU"
    assert ended.stderr == f"warning: the plan for the CPU runs: {what}: not to be had\n"
    line, report = json.loads(ended.stdout), json.loads((tmp_path / "report").read_text())
    assert line["without_gpu"] == report["without_gpu"] == f"{what}: not to be had"
    assert manifest.cpu_plan is not None
    assert tuple(step["name"] for step in report["steps"]) == manifest.cpu_plan.steps
    assert {step["engine"] for step in report["steps"]} == {"cpu"}
    graph = network()
    (name,) = graph.outputs
    wanted = np.asarray(evaluate(graph, {"x": np.ones((1, 4, 8, 8))})[name])
    found = np.fromfile(tmp_path / "output", np.float32).reshape(wanted.shape)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_the_gpu_s_plan_runs_where_it_is(two: tuple[Path, Manifest], tmp_path: Path) -> None:
    ended = bench(*two, tmp_path, (0, 0, 0))
    assert ended.returncode == 0 and ended.stderr == ""
    assert json.loads(ended.stdout)["without_gpu"] is None
    report = json.loads((tmp_path / "report").read_text())
    assert report["launches"] == [{"times_s": [1.0]}] and report["without_gpu"] is None


def test_a_launch_that_fails_is_a_fault_and_no_reason_for_the_other_plan(
    two: tuple[Path, Manifest], tmp_path: Path
) -> None:
    ended = bench(*two, tmp_path, (0, 0, 6))
    assert (ended.returncode, ended.stderr) == (3, "error: run: stopped\n")


@pytest.mark.parametrize(("name", "codes"), [("model.qpu", (0, 0, 0)), ("cpu_weights.bin", (1, 0, 0))])
def test_a_damaged_file_is_a_fault_too(
    two: tuple[Path, Manifest], tmp_path: Path, name: str, codes: tuple[int, int, int]
) -> None:
    bundle, manifest = two
    other = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    content = bytearray((other / name).read_bytes())
    content[-1] ^= 1
    (other / name).write_bytes(content)
    ended = bench(other, manifest, tmp_path, codes)
    assert ended.returncode == 2
    assert ended.stderr == f"error: init: {name}: is damaged (checksum); compile the plan again\n"


def test_without_a_second_plan_the_error_says_how_to_have_one(tmp_path: Path) -> None:
    graph = network()
    manifest = compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path / "bundle")
    assert manifest.cpu_plan is None
    ended = bench(tmp_path / "bundle", manifest, tmp_path, (1, 0, 0))
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: init: GPU: not to be had; or compile the plan --with-cpu-plan: its bundle then uses the CPU\n"
    )


def test_what_the_second_plan_takes_is_said(two: tuple[Path, Manifest]) -> None:
    bundle, manifest = two
    entry = manifest.cpu_plan
    assert entry is not None and read_manifest(bundle) == manifest
    assert entry.source_bytes == (bundle / "cpu_plan.c").stat().st_size
    assert entry.weights_bytes == (bundle / "cpu_weights.bin").stat().st_size
    text = " ".join((bundle / "README.md").read_text().split())
    assert f"{entry.source_bytes:,} bytes of C" in text and f"{entry.weights_bytes:,} bytes" in text


def test_a_bundle_of_one_plan_leaves_nothing_of_the_second(tmp_path: Path) -> None:
    graph = network()
    compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path, cpu_plan=plan_of(graph))
    compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path)
    assert not [path.name for path in tmp_path.iterdir() if "cpu_" in path.name or "gpu_plan" in path.name]


def test_plans_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    graph = network()
    own, other = plan_of(graph), qpu_plan(graph)
    foreign = own.model_copy(update={"model_sha256": "0" * 64})
    for plan, beside, says in (
        (own, own, "uses no GPU"),
        (other, other, "uses the GPU too"),
        (other, foreign, "another network"),
    ):
        with pytest.raises(PlanError, match=says):
            compile_bundle(graph, plan, PI_ZERO, tmp_path, cpu_plan=beside)


@pytest.mark.needs("c compiler", "make")
@pytest.mark.parametrize("line", ["make CC=cc CFLAGS=-O1 PLATFORM=none", "./build.sh"])
def test_the_bundle_s_own_ways_build_both_plans(
    two: tuple[Path, Manifest], tmp_path: Path, line: str
) -> None:
    place = Path(shutil.copytree(two[0], tmp_path / "bundle"))
    settings = {"CC": "cc", "CFLAGS": "-O1", "PLATFORM": "none", "PATH": "/usr/bin:/bin"}
    subprocess.run(line, shell=True, cwd=place, check=True, timeout=120, env=settings)
    ended = subprocess.run(["./bench", "--runs", "1", "--json"], cwd=place, capture_output=True, timeout=60)
    assert ended.returncode == 0 and "no VideoCore IV" in json.loads(ended.stdout)["without_gpu"]


def loaded_outputs(bundle: Path, platform: Platform | None = None) -> tuple[Description, float]:
    """What a loaded bundle says of itself, and its largest error beside the reference, of the largest output."""
    graph, inputs = network(), {"x": np.random.default_rng(3).normal(size=(1, 4, 8, 8)).astype(np.float32)}
    (name,) = graph.outputs
    wanted = np.asarray(evaluate(graph, inputs)[name])
    with load_bundle(bundle, HOST, platform) as model, FrameQueue(1) as queue:
        found = model.run(inputs)[name]
        frame = model.wait(model.submit(queue, inputs))
        assert np.array_equal(frame.outputs[name], found)
        is_launched = model.describe().platform == "virtual"
        assert (frame.launched_s > 0.0, frame.awaited_s > 0.0) == (is_launched, is_launched)
        assert list(model.step_times_s()) == list(model.describe().steps)
        return model.describe(), float(np.abs(found - wanted).max() / np.abs(wanted).max())


def test_python_loads_a_bundle_for_qpus_with_its_virtual_board(tmp_path: Path) -> None:
    graph, profile = network(), load_profile("pi-zero")
    plan = qpu_plan(graph)
    compile_bundle(graph, plan, PI_ZERO, tmp_path, virtual_platform(profile, plan), plan_of(graph))
    described, error = loaded_outputs(tmp_path)
    assert (described.platform, described.without_gpu) == ("virtual", None) and error <= 1e-5
    assert described.steps == tuple(step.name for step in plan.steps)


def test_python_takes_the_cpu_s_plan_and_says_so(
    two: tuple[Path, Manifest], caplog: pytest.LogCaptureFixture
) -> None:
    bundle, manifest = two
    described, error = loaded_outputs(bundle, "none")
    assert error <= 1e-5 and described.platform == "none"
    assert described.without_gpu is not None and "no VideoCore IV" in described.without_gpu
    assert f"its plan for the CPU runs: {described.without_gpu}" in caplog.text
    assert manifest.cpu_plan is not None and described.steps == manifest.cpu_plan.steps
    assert described.arena_bytes == manifest.cpu_plan.arena_bytes


def test_python_has_an_error_of_its_own_where_there_is_neither(tmp_path: Path) -> None:
    graph = network()
    compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path)
    with pytest.raises(GpuUnavailableError, match=r"no VideoCore IV.*--with-cpu-plan"):
        load_bundle(tmp_path, HOST)
    with pytest.raises(BundleError, match="has no virtual board"):
        load_bundle(tmp_path, HOST, "virtual")


def test_the_board_of_this_machine_runs_the_cpu_s_plan_of_a_bundle(
    two: tuple[Path, Manifest], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = (np.ones((1, 4, 8, 8), np.float32),)
    board = HostBoard(load_profile("host"))
    ran = board.run_bundle(two[0], inputs)
    assert two[1].cpu_plan is not None and tuple(ran.step_times_s) == two[1].cpu_plan.steps
    assert "its plan for the CPU ran" in caplog.text
    graph = network()
    compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path)
    with pytest.raises(BoardError, match="--with-cpu-plan"):
        board.run_bundle(tmp_path, inputs)


@pytest.mark.needs("c compiler", "cmake")
@pytest.mark.parametrize(("platform", "kind"), [("none", "none"), ("virtual", "simulated")])
def test_cmake_builds_both_plans(tmp_path: Path, platform: str, kind: str) -> None:
    graph, profile = network(), load_profile("pi-zero")
    plan = qpu_plan(graph)
    compile_bundle(graph, plan, PI_ZERO, tmp_path, virtual_platform(profile, plan), plan_of(graph))
    for words in (["-S", ".", "-B", "build", f"-DPLATFORM={platform}"], ["--build", "build"]):
        subprocess.run(["cmake", *words], cwd=tmp_path, check=True, timeout=300, capture_output=True)
    words = ["build/bench", "--runs", "1", "--warmup", "0", "--json"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=60)
    line = json.loads(ended.stdout)
    assert line["gpu_kind"] == kind and (line["without_gpu"] is None) == (platform == "virtual")
