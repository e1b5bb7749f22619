"""The bundle compiler: equal bytes for equal plans, right results, safe names, refused damage."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.algorithm import algorithms
from codegen.bundle import compile_bundle, read_manifest
from codegen.bundle.arrangement import arrange
from codegen.bundle.manifest import bundle_sources
from codegen.bundle.memory import Memory, plan_memory
from codegen.bundle.names import c_comment, c_identifier, c_string
from codegen.bundle.tasks import schedule_of
from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_executable, runtime_source
from codegen.errors import BundleError, PlanError, ScheduleError, ToolchainError
from codegen.graph import Graph, LayerSpec
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.operators.reshape import Reshape
from codegen.plan import Plan, PlanStep
from codegen.reference import evaluate
from codegen.schedule import Choice
from codegen.target import Target
from tests.codegen.planned import (
    HOST,
    GraphBuilder,
    branched_network,
    plan_of,
    relayout_step,
    small_network,
    step_of,
)


def run(directory: Path, graph: Graph, runs: int = 1) -> tuple[list[np.ndarray], dict]:
    """Outputs and report of a bundle built and run here, on seeded inputs; checks them against the reference."""
    manifest = read_manifest(directory)
    executable = compile_executable(bundle_sources(directory, manifest, "none"), HOST, KERNEL_FLAGS)
    generator = np.random.default_rng(3)
    inputs = {
        name: generator.normal(size=graph.types[name].shape).astype(np.float32) for name in graph.inputs
    }
    source, result, report = (directory.parent / name for name in ("input.bin", "output.bin", "report.json"))
    source.write_bytes(b"".join(inputs[name].tobytes() for name in graph.inputs))
    words: list[str | Path] = [executable, "--bundle", directory, "--input", source, "--output", result]
    words += ["--report", report]
    subprocess.run([*words, "--runs", str(runs), "--warmup", "1"], check=True, timeout=60)
    memory = np.fromfile(result, dtype=np.float32)
    outputs = []
    for name, expected in evaluate(graph, inputs).items():
        value, memory = memory[: expected.size].reshape(expected.shape), memory[expected.size :]
        assert np.abs(value - expected).max() <= 1e-5 * np.abs(expected).max(), name
        outputs.append(value)
    assert memory.size == 0
    return outputs, json.loads(report.read_text())


def test_a_network_on_the_cpu_is_right_and_reports_its_times(tmp_path: Path) -> None:
    graph = small_network()
    plan = plan_of(graph)
    manifest = compile_bundle(graph, plan, HOST, tmp_path / "bundle")
    _, report = run(tmp_path / "bundle", graph, runs=3)
    assert manifest.gpu is None
    assert "model.qpu" not in manifest.files
    assert [step["name"] for step in report["steps"]] == [step.name for step in plan.steps]
    assert all(len(step["times_s"]) == 3 and step["launch"] == -1 for step in report["steps"])
    assert len(report["wall_s"]) == 3
    for run_index, total_s in enumerate(report["total_s"]):
        assert total_s == pytest.approx(sum(step["times_s"][run_index] for step in report["steps"]))
    assert report["arena_bytes"] == manifest.arena_bytes


def other_choice(spec: LayerSpec) -> Choice:
    """The last row-major point of the last C algorithm that applies."""
    for name in sorted(algorithms(), reverse=True):
        algorithm = algorithms()[name]
        if name.startswith("cpu_") and algorithm.applies(spec, HOST):
            for point in reversed(algorithm.space(spec, HOST).points()):
                try:
                    choice = algorithm.choice(spec, HOST, point)
                except ScheduleError:
                    continue
                if {*choice.input_layouts, choice.output_layout} == {"nchw"}:
                    return choice
    raise AssertionError(f"no C algorithm for {spec}")


def in_pixel16(spec: LayerSpec, name: str, point: dict[str, int]) -> Choice:
    """An algorithm's choice at a point, its layout replaced by pixel16."""
    algorithm = algorithms()[name]
    (axis,) = (axis for axis in algorithm.space(spec, HOST).axes if axis.name == "layout")
    choices = [algorithm.choice(spec, HOST, {**point, "layout": value}) for value in axis.values]
    return next(choice for choice in choices if choice.output_layout == "pixel16")


def with_detour(graph: Graph, plan: Plan) -> Plan:
    """The same plan with a tensor taken to pixel16 and back, and reshapes seen through that layout."""
    average, flat = plan.steps[7], plan.steps[8]
    reshape = in_pixel16(flat.spec, "cpu_reshape", {})
    steps = [
        *plan.steps[:8],
        relayout_step(average.outputs[0], graph.types[average.outputs[0]], "nchw", "pixel16"),
        step_of(flat.name, flat.spec, flat.inputs, flat.outputs[0], reshape),
        relayout_step(flat.outputs[0], graph.types[flat.outputs[0]], "pixel16", "nchw"),
        *plan.steps[9:],
    ]
    return plan_of(graph, steps)


def test_other_choices_relayouts_and_views_give_the_same_network(tmp_path: Path) -> None:
    graph = small_network()
    for number, plan in enumerate([plan_of(graph, pick=other_choice), with_detour(graph, plan_of(graph))]):
        compile_bundle(graph, plan, HOST, tmp_path / str(number) / "bundle")
        run(tmp_path / str(number) / "bundle", graph)


def joined_in_blocks(graph: Graph) -> Plan:
    """Sums and concatenations in pixel16, with the changes of layout around them."""
    plan, in_blocks, steps = plan_of(graph), set[str](), list[PlanStep]()
    for step in plan.steps:
        if not isinstance(step.spec.op, Map | Concat):
            steps.append(step)
            continue
        for name in dict.fromkeys(step.inputs):
            if name not in in_blocks:
                steps.append(relayout_step(name, graph.types[name], "nchw", "pixel16"))
                in_blocks.add(name)
        choice = in_pixel16(step.spec, step.choice.algorithm, {**step.choice.splits, **step.choice.tiles})
        steps.append(step_of(step.name, step.spec, step.inputs, step.outputs[0], choice))
        in_blocks.add(step.outputs[0])
        steps.append(relayout_step(step.outputs[0], graph.types[step.outputs[0]], "pixel16", "nchw"))
    return plan_of(graph, steps)


def test_branches_join_in_either_layout(tmp_path: Path) -> None:
    graph = branched_network()
    plans = [plan_of(graph), plan_of(graph, pick=other_choice), joined_in_blocks(graph)]
    for number, plan in enumerate(plans):
        compile_bundle(graph, plan, HOST, tmp_path / str(number) / "bundle")
        run(tmp_path / str(number) / "bundle", graph)


def test_the_same_plan_and_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        graph = small_network()
        compile_bundle(graph, plan_of(graph), HOST, tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_other_weights_change_only_the_weights(tmp_path: Path) -> None:
    graph = small_network()
    other = dataclasses.replace(graph, constants={k: v * 2 for k, v in graph.constants.items()})
    first = compile_bundle(graph, plan_of(graph), HOST, tmp_path / "a")
    second = compile_bundle(other, plan_of(other), HOST, tmp_path / "b")
    assert {name for name in first.files if first.files[name] != second.files[name]} == {"weights.bin"}


def test_equal_layers_share_one_kernel(tmp_path: Path) -> None:
    graph = small_network()
    compile_bundle(graph, plan_of(graph), HOST, tmp_path)
    text = (tmp_path / "model.c").read_text()
    entries = re.findall(r"^KERNEL_ENTRY static void (small_net_cpu_conv_direct_\w+)\(", text, re.MULTILINE)
    assert len(set(entries)) == len(entries) == 4  # five, two of them equal
    assert [text.count(f"void {entry}(") for entry in entries] == [2] * 4  # declared and defined


def test_outputs_that_are_inputs_or_each_other_are_copied(tmp_path: Path) -> None:
    build = GraphBuilder("views", (1, 4, 2, 2))
    flat = build.add(Reshape(), "x", shape=(1, 16))
    again = build.add(Reshape(), flat, shape=(1, 8, 2, 1))
    sums = build.add(Conv2d((1, 1)), "x", [(4, 4, 1, 1), (4,)])
    graph = build.build(flat, sums, build.add(Reshape(), sums, shape=(1, 16)), again)
    compile_bundle(graph, plan_of(graph), HOST, tmp_path / "bundle")
    run(tmp_path / "bundle", graph)


@given(st.text(max_size=60))
def test_names_never_become_code(text: str) -> None:
    identifier, literal, comment = c_identifier(text), c_string(text), c_comment(text)
    assert identifier.isascii() and identifier.isidentifier() and not identifier.startswith("_")
    assert literal.isascii() and not {'"', "\n", "?", "%", "$"} & set(literal[1:-1])
    assert "*/" not in comment and "\n" not in comment and "\\" not in comment and "??" not in comment


HOSTILE = 'evil */ } int main(void){return 1;} /* "\\"\n#include </etc/passwd> $(reboot) `id` ??/ é'


def test_a_hostile_name_builds_and_is_reported_as_it_is(tmp_path: Path) -> None:
    build = GraphBuilder(HOSTILE, (1, 2, 3, 3))
    graph = build.build(build.add(Conv2d((1, 1)), "x", [(2, 2, 1, 1), (2,)], name=HOSTILE))
    manifest = compile_bundle(graph, plan_of(graph), HOST, tmp_path / "bundle")
    _, report = run(tmp_path / "bundle", graph)
    assert report["model"] == report["steps"][0]["name"] == HOSTILE
    assert manifest.identifier.startswith("evil_int_main")
    for name in ("Makefile", "build.sh"):
        assert "reboot" not in (tmp_path / "bundle" / name).read_text()


def test_flags_that_a_shell_would_interpret_are_refused(tmp_path: Path) -> None:
    graph = small_network()
    target = dataclasses.replace(HOST, compiler=("", "-O2; reboot"))
    with pytest.raises(ToolchainError, match="a shell would interpret"):
        compile_bundle(graph, plan_of(graph), target, tmp_path / "bundle")


def damaged(path: Path, kind: str) -> bytes:
    content = path.read_bytes()
    return {
        "truncated": content[:-4],
        "longer": content + b"\0" * 64,
        "flipped": content[:-1] + bytes([content[-1] ^ 1]),
        "other plan": content[:16] + bytes(8) + content[24:],
        "other version": content[:8] + b"\2" + content[9:],
        "other file": b"nothing",
    }[kind]


def test_damaged_weights_are_refused_when_loaded_and_by_the_manifest(tmp_path: Path) -> None:
    graph = small_network()
    bundle = tmp_path / "bundle"
    manifest = compile_bundle(graph, plan_of(graph), HOST, bundle)
    executable = compile_executable(bundle_sources(bundle, manifest, "none"), HOST, KERNEL_FLAGS)
    path, sound = bundle / "weights.bin", (bundle / "weights.bin").read_bytes()
    (tmp_path / "input").write_bytes(bytes(4 * 3 * 17 * 17))
    words: list[str | Path] = [
        executable,
        "--bundle",
        bundle,
        "--input",
        tmp_path / "input",
        "--output",
        tmp_path / "o",
    ]
    messages = {
        "truncated": "truncated",
        "longer": "truncated",
        "flipped": "damaged",
        "other plan": "another plan",
        "other version": "another version",
        "other file": "no file of weights",
    }
    for kind, message in messages.items():
        path.write_bytes(sound)
        path.write_bytes(damaged(path, kind))
        ended = subprocess.run(
            [*words, "--report", tmp_path / "r"], capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 2
        assert ended.stderr.startswith("error: init: weights.bin") and message in ended.stderr
        with pytest.raises(BundleError, match=r"weights\.bin is not what manifest\.json lists"):
            read_manifest(bundle)
    path.unlink()
    with pytest.raises(BundleError, match=r"weights\.bin: No such file"):
        read_manifest(bundle)


def test_the_bench_program_refuses_wrong_arguments_and_inputs(tmp_path: Path) -> None:
    graph = small_network()
    bundle = tmp_path / "bundle"
    manifest = compile_bundle(graph, plan_of(graph), HOST, bundle)
    executable = compile_executable(bundle_sources(bundle, manifest, "none"), HOST, KERNEL_FLAGS)
    (tmp_path / "short").write_bytes(bytes(8))
    whole = [
        "--bundle",
        bundle,
        "--input",
        tmp_path / "short",
        "--output",
        tmp_path / "o",
        "--report",
        tmp_path / "r",
    ]
    for words in (["--runs"], ["--runs", "0"], ["--what", "x"], ["what"], [*whole, "--runs", "1x"], whole):
        ended = subprocess.run([executable, *words], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: ")
        assert ended.stderr.count("\n") == 1


def test_a_plan_of_other_layers_is_refused(tmp_path: Path) -> None:
    graph = small_network()
    plan = plan_of(graph)
    build = GraphBuilder("small net", (1, 3, 17, 17))
    other = build.build(build.add(Conv2d((1, 1)), "x", [(8, 3, 1, 1), (8,)]))
    with pytest.raises(PlanError, match="'layer 0' of the plan is no layer of model"):
        compile_bundle(other, plan, HOST, tmp_path)
    shorter = dataclasses.replace(graph, outputs=("t9",))
    with pytest.raises(PlanError, match="the plan has no step for layer 'layer 11'"):
        compile_bundle(shorter, plan_of(shorter, plan.steps[:-1]), HOST, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_bundle_error(tmp_path: Path) -> None:
    graph = small_network()
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="cannot be written"):
        compile_bundle(graph, plan_of(graph), HOST, tmp_path / "file")


def check_apart(memory: Memory, plan: Plan, workspaces: dict[int, int]) -> None:
    """No two tenants of the arena that live at once overlap."""
    schedule = schedule_of(plan)
    spans = []
    for task in schedule.computing:
        place = memory.places[task.writes[0]]
        if place.base == "arena":
            last = max([task.index, *(t.index for t in schedule.computing if task.writes[0] in t.reads)])
            spans.append((place.offset, place.offset + schedule.sizes[task.writes[0]], task.index, last))
    spans += [
        (memory.workspaces[i].offset, memory.workspaces[i].offset + size, i, i)
        for i, size in workspaces.items()
        if size
    ]
    for number, (start, end, first, last) in enumerate(spans):
        assert start % 64 == 0 and end <= memory.arena_bytes
        for other_start, other_end, other_first, other_last in spans[:number]:
            meets = first <= other_last and other_first <= last
            assert not meets or end <= other_start or other_end <= start


@given(st.lists(st.sampled_from([0, 64, 1000, 5000]), min_size=12, max_size=12))
def test_buffers_alive_at_once_lie_apart_and_the_arena_is_reused(sizes: list[int]) -> None:
    plan = plan_of(small_network())
    schedule = schedule_of(plan)
    workspaces = {t.index: s for t, s in zip(schedule.tasks, sizes, strict=True) if not t.is_view}
    memory = plan_memory(arrange(schedule), workspaces, 0)
    check_apart(memory, plan, workspaces)
    assert memory.arena_bytes < sum(schedule.sizes.values()) + sum(workspaces.values())


def test_the_runtime_compiles_without_warnings(tmp_path: Path) -> None:
    graph = small_network()
    manifest = compile_bundle(graph, plan_of(graph), HOST, tmp_path)
    sources = bundle_sources(tmp_path, manifest, "none")
    strict = (*KERNEL_FLAGS, "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")
    compile_executable(sources, HOST, strict)
    compile_executable(of_classify(sources, tmp_path), HOST, strict)
    sources.pop("platform_none.c")
    sources["platform_mailbox.c"] = runtime_source("platform_mailbox.c")
    compile_executable(sources, HOST, strict)


def of_classify(sources: Mapping[str, str], bundle: Path) -> dict[str, str]:
    """The sources of a bundle's classify program, given those of its bench program."""
    shared = {name: text for name, text in sources.items() if name not in ("main.c", "bench_report.c")}
    return {**shared, "classify.c": (bundle / "classify.c").read_text()}


@pytest.mark.slow
def test_a_bundle_compiles_for_armv6(tmp_path: Path) -> None:
    graph = small_network()
    flags = ("-O3", "-mcpu=arm1176jzf_s-slowfpvmlx", "-static")
    target = Target("pi-zero", 0, "arm1176jzf-s", ("arm-linux-musleabihf", *flags), 1)
    manifest = compile_bundle(graph, plan_of(graph), target, tmp_path)
    for platform in ("none", "mailbox"):
        sources = bundle_sources(tmp_path, manifest, platform)
        for texts in (sources, of_classify(sources, tmp_path)):
            program = compile_executable(texts, target, (*KERNEL_FLAGS, "-Wall", "-Wextra", "-Werror"))
            head = program.read_bytes()[:20]
            assert head[:4] == b"\x7fELF" and int.from_bytes(head[18:20], "little") == 40  # ELF machine: ARM
