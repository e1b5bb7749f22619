"""The GPU's share of a bundle: the image file, its loading and its launches, on a platform that only pretends."""

from __future__ import annotations

import dataclasses
import itertools
import json
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from codegen.bundle import Manifest, compile_bundle
from codegen.bundle.manifest import bundle_sources
from codegen.bundle.model import compose
from codegen.bundle.tasks import schedule_of
from codegen.engine_registry import engine_named
from codegen.engines.cpu.toolchain import compile_executable, runtime_source
from codegen.engines.videocore4.engine import MOST_MARKS
from codegen.errors import LinkError, PlanError
from codegen.graph import Graph
from codegen.memory_space import HOST as HOST_NAME
from codegen.operators.conv2d import Conv2d
from codegen.operators.reduction import AlongAxis
from codegen.plan import Plan, read_plan
from codegen.target import GPU_MEMORIES, GpuMemory
from microbench.runner.build import SOURCE_DIRECTORY
from tests.codegen.planned import HOST, PI_ZERO, GraphBuilder, plan_of, qpu_plan

BUS = 0xC0100000
LIMITED = dataclasses.replace(PI_ZERO, launch_limit_s=0.8)
VALUE = 1.5

# A launch checks its control list and fills the buffer that it is said to write with VALUE.
PLATFORM = """
#include "platform.h"
#include <stdlib.h>
#include "expected.h"
static unsigned char *memory;
static uint32_t bytes_of_memory;
static int launches;
int platform_open(void) { return PLATFORM_OK; }
void platform_close(void) {}
const char *platform_name(void) { return "pretended"; }
const char *platform_gpu_kind(void) { return "simulated"; }
const char *platform_message(int code) { return code == PLATFORM_STOPPED ? "stopped here" : "other"; }
int platform_gpu_alloc(uint32_t bytes, int kind, uint32_t *bus, void **pointer)
{
    if (kind != EXPECTED_MEMORY)
        return PLATFORM_NO_MEMORY;
    *pointer = memory = calloc(1, bytes);
    *bus = EXPECTED_BUS;
    bytes_of_memory = bytes;
    return PLATFORM_OK;
}
void platform_gpu_free(uint32_t bus) { (void)bus; free(memory); }
int platform_gpu_execute(uint32_t num_qpus, uint32_t control_bus, uint32_t mark_bus, double *time_s)
{
    static const uint32_t outputs[][2] = EXPECTED_OUTPUTS;
    const uint32_t *pairs = (const uint32_t *)(void *)(memory + (control_bus - EXPECTED_BUS));
    const uint32_t number = (uint32_t)(launches++ % EXPECTED_LAUNCHES);
    *time_s = 1.0 + number;
    if (num_qpus != 12 || mark_bus < EXPECTED_BUS)
        return PLATFORM_STOPPED;
    for (uint32_t i = 0; i < 2 * num_qpus; ++i)
        if (pairs[i] < EXPECTED_BUS || pairs[i] >= EXPECTED_BUS + bytes_of_memory)
            return PLATFORM_STOPPED;
    for (unsigned o = 0; o < sizeof outputs / sizeof *outputs; ++o)
        for (uint32_t i = 0; i < outputs[o][1] / 4; ++i)
            ((float *)(void *)(memory + outputs[o][0]))[i] = 1.5f;
    return EXPECTED_FAILURE == launches ? PLATFORM_STOPPED : PLATFORM_OK;
}
int platform_gpu_marks(double *seconds, int capacity)
{
    for (int i = 0; i < EXPECTED_MARKS && i < capacity; ++i)
        seconds[i] = 0.125 * (i + 1);
    return EXPECTED_MARKS;
}
int platform_gpu_counters(const char *const **names, const double **totals)
{
    static const char *const name[] = {"launches"};
    static double total[1];
    total[0] = launches;
    *names = name;
    *totals = total;
    return 1;
}
"""


def branchy() -> Graph:
    """Two convolutions on the QPUs, whose first result the CPU wants too."""
    build = GraphBuilder("gpu net", (1, 4, 8, 8))
    first = build.add(Conv2d((3, 3), pads=(1, 1, 1, 1)), "x", [(16, 4, 3, 3), (16,)])
    second = build.add(Conv2d((1, 1)), first, [(16, 16, 1, 1), (16,)])
    return build.build(first, second)


def run(
    tmp_path: Path, manifest: Manifest, marks: int, failure: int = 0, memory: str = "USUAL"
) -> tuple[subprocess.CompletedProcess[str], dict]:
    assert manifest.gpu is not None
    outputs = ", ".join(f"{{{r.offset_bytes}u, {r.size_bytes}u}}" for r in manifest.gpu.outputs)
    expected = {
        "BUS": f"{BUS:#x}u",
        "OUTPUTS": f"{{{outputs}}}",
        "LAUNCHES": len(manifest.gpu.launches),
        "MARKS": marks,
        "FAILURE": failure,
        "MEMORY": f"PLATFORM_MEMORY_{memory}",
    }
    sources = {
        **bundle_sources(tmp_path / "bundle", manifest, None),
        "platform_pretended.c": PLATFORM,
        "expected.h": "".join(f"#define EXPECTED_{name} {value}\n" for name, value in expected.items()),
    }
    executable = compile_executable(sources, HOST, ("-Wall", "-Wextra", "-Werror"))
    elements = sum(int(np.prod(tensor.shape)) for tensor in manifest.inputs)
    (tmp_path / "input").write_bytes(np.ones(elements, dtype=np.float32).tobytes())
    files: list[str | Path] = ["--input", tmp_path / "input", "--output", tmp_path / "output"]
    files += ["--report", tmp_path / "report"]
    words = [executable, "--bundle", tmp_path / "bundle", *files, "--runs", "2", "--warmup", "0"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    return ended, json.loads((tmp_path / "report").read_text()) if ended.returncode == 0 else {}


def test_layers_without_a_cpu_step_between_them_are_one_launch(tmp_path: Path) -> None:
    graph = branchy()
    plan = qpu_plan(graph)
    manifest = compile_bundle(graph, plan, PI_ZERO, tmp_path / "bundle")
    assert manifest.gpu is not None
    assert manifest.gpu.launches == (("layer 0", "layer 1"),)
    assert [region.name for region in manifest.gpu.inputs] == ["x@pixel16"]
    assert [region.name for region in manifest.gpu.outputs] == ["t0@pixel16", "t1@pixel16"]
    ended, report = run(tmp_path, manifest, marks=2)
    assert ended.returncode == 0, ended.stderr
    assert (np.fromfile(tmp_path / "output", dtype=np.float32) == VALUE).all()
    times = {step["name"]: step["times_s"] for step in report["steps"]}
    assert times["layer 0"] == [0.125, 0.125]
    assert times["layer 1"] == [0.875, 0.875]
    assert report["launches"] == [{"times_s": [1.0, 1.0]}]
    assert report["counters"] == {"launches": 2.0}
    assert report["total_s"][0] == pytest.approx(1.0, abs=0.1)
    assert report["gpu_kind"] == "simulated"


@pytest.mark.parametrize("chosen", [None, *GPU_MEMORIES])
def test_gpu_memory_is_allocated_as_the_plan_says(tmp_path: Path, chosen: GpuMemory | None) -> None:
    graph = branchy()
    plan = qpu_plan(graph).model_copy(update={"gpu_memory": chosen})
    manifest = compile_bundle(graph, plan, PI_ZERO, tmp_path / "bundle")
    assert read_plan(tmp_path / "bundle" / "plan.json").gpu_memory == chosen
    ended, _ = run(tmp_path, manifest, marks=2, memory=(chosen or "usual").upper())
    assert ended.returncode == 0, ended.stderr


def test_steps_of_a_launch_have_no_time_where_the_platform_has_no_marks(tmp_path: Path) -> None:
    graph = branchy()
    manifest = compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path / "bundle")
    _, report = run(tmp_path, manifest, marks=0)
    times = {step["name"]: step["times_s"] for step in report["steps"]}
    assert times["layer 0"] == times["layer 1"] == [None, None]
    assert report["launches"] == [{"times_s": [1.0, 1.0]}]


def test_a_failing_launch_ends_the_program_with_its_own_code(tmp_path: Path) -> None:
    graph = branchy()
    manifest = compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path / "bundle")
    ended, _ = run(tmp_path, manifest, marks=2, failure=2)
    assert ended.returncode == 3
    assert ended.stderr == "error: run: stopped here\n"


def slow_plan(plan: Plan, predicted_s: float) -> Plan:
    steps = [
        step.model_copy(update={"predicted_s": predicted_s}) if step.choice.engine == "videocore4" else step
        for step in plan.steps
    ]
    return plan.model_copy(update={"steps": tuple(steps)})


def interrupted() -> Graph:
    """Convolutions before and behind a layer that the QPUs do not compute."""
    build = GraphBuilder("interrupted", (1, 8, 6, 6))
    tensor = "x"
    for op in (
        Conv2d((1, 1)),
        Conv2d((1, 1)),
        AlongAxis("hardmax", 1),
        Conv2d((1, 1)),
        Conv2d((1, 1)),
        Conv2d((1, 1)),
    ):
        tensor = build.add(op, tensor, [(8, 8, 1, 1), (8,)] if isinstance(op, Conv2d) else [])
    return build.build(tensor)


def launches(graph: Graph, plan: Plan) -> list[list[str]]:
    return [[task.step.name for task in tasks] for tasks in compose(graph, plan, LIMITED).launches]


def test_launches_end_at_cpu_steps_and_at_the_time_limit() -> None:
    graph = interrupted()
    plan = qpu_plan(graph)
    runs = itertools.groupby(schedule_of(plan).computing, key=lambda task: task.is_launched)
    expected = [[task.step.name for task in tasks] for is_launched, tasks in runs if is_launched]
    assert len(expected) > 1
    assert launches(graph, plan) == expected
    halves = launches(graph, slow_plan(plan, 0.4))
    assert max(map(len, halves)) == 2
    singles = launches(graph, slow_plan(plan, 0.7))
    assert {len(tasks) for tasks in singles} == {1}


def test_a_layer_that_no_launch_may_hold_is_refused_by_name() -> None:
    graph = interrupted()
    slow = slow_plan(qpu_plan(graph), 2.0)
    with pytest.raises(PlanError, match=r"step '.*' is predicted to take 2 s .* in 1 part, .* take 0\.8 s"):
        launches(graph, slow)


def test_an_engine_that_cannot_reach_gpu_memory_is_refused_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = interrupted()
    monkeypatch.setattr(engine_named("cpu"), "writes", frozenset({HOST_NAME}))
    with pytest.raises(PlanError, match="engine 'cpu' cannot write 'x@pixel16', which lies in GPU memory"):
        compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path)


def test_a_launch_holds_no_more_layers_than_the_runtime_takes() -> None:
    build = GraphBuilder("deep", (1, 4, 2, 2))
    tensor = "x"
    for _ in range(MOST_MARKS + 8):
        tensor = build.add(Conv2d((1, 1)), tensor, [(4, 4, 1, 1), (4,)])
    graph = build.build(tensor)
    assert [len(tasks) for tasks in launches(graph, qpu_plan(graph))] == [MOST_MARKS, 8]
    runtime, runner = runtime_source("bundle_gpu.c"), (SOURCE_DIRECTORY / "backend.h").read_text("utf-8")
    assert f"BUNDLE_MOST_LAYERS = {MOST_MARKS}" in runtime and f"BACKEND_MARKS = {MOST_MARKS}" in runner


def test_the_image_file_is_what_its_description_says(tmp_path: Path) -> None:
    graph = branchy()
    manifest = compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path)
    content = (tmp_path / "model.qpu").read_bytes()
    fields = struct.unpack_from("<8s6I8s2I", content)
    magic, version, size, weights_offset, relocations, words, launches, plan_id, checksum, zero = fields
    assert manifest.gpu is not None
    assert (magic, version, zero) == (b"EXPLQPU1", 1, 0)
    assert (size, weights_offset) == (manifest.gpu.size_bytes, manifest.gpu.weights_offset_bytes)
    assert (4 * words, launches) == (weights_offset, 1)
    assert checksum == zlib.crc32(content[48:])
    assert plan_id.hex() == manifest.plan_sha256[:16]
    assert len(content) == 48 + 4 * relocations + 16 * launches + 4 * words


def test_other_weights_leave_the_gpu_code_alone(tmp_path: Path) -> None:
    graph = branchy()
    other = dataclasses.replace(graph, constants={k: v + 1 for k, v in graph.constants.items()})
    first = compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path / "a")
    second = compile_bundle(other, qpu_plan(other), PI_ZERO, tmp_path / "b")
    assert {name for name in first.files if first.files[name] != second.files[name]} == {"weights.bin"}


@pytest.mark.parametrize("damage", ["truncated", "flipped", "absent", "other plan"])
def test_a_damaged_image_is_refused_when_loaded(tmp_path: Path, damage: str) -> None:
    graph = branchy()
    manifest = compile_bundle(graph, qpu_plan(graph), PI_ZERO, tmp_path / "bundle")
    path = tmp_path / "bundle" / "model.qpu"
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[:-8])
    elif damage == "flipped":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "other plan":
        path.write_bytes(content[:32] + bytes(8) + content[40:])
    ended, _ = run(tmp_path, manifest, marks=2)
    assert ended.returncode == 2
    assert "model.qpu" in ended.stderr


def test_plans_that_do_not_fit_the_board_are_refused(tmp_path: Path) -> None:
    graph = branchy()
    plan = qpu_plan(graph)
    with pytest.raises(PlanError, match="engine 'videocore4', which device 'host' does not have"):
        compile_bundle(graph, plan, HOST, tmp_path)
    with pytest.raises(LinkError, match="GPU image needs"):
        compile_bundle(graph, plan, dataclasses.replace(PI_ZERO, gpu_memory_bytes=4096), tmp_path)
    compile_bundle(graph, plan, PI_ZERO, tmp_path)
    assert (tmp_path / "model.qpu").is_file()
    compile_bundle(graph, plan_of(graph), PI_ZERO, tmp_path)
    assert not (tmp_path / "model.qpu").exists()
