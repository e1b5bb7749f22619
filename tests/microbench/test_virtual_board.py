"""The virtual board: conformance, its two kinds of time, and what it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.bundle import compile_bundle
from codegen.expression import RESULT, clamp
from codegen.graph import Graph, LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.elementwise import Map
from codegen.plan import Plan
from codegen.reference import evaluate
from codegen.schedule import Choice, Work
from codegen.target import Target
from microbench.board import Board
from microbench.boards.virtual import VirtualBoard
from microbench.cpu_cost import cpu_time_s
from microbench.errors import BoardError, HazardError, ProfileError
from microbench.options import BoardOptions
from microbench.profile import Constant, DeviceProfile, load_profile
from tests.codegen.planned import GraphBuilder, first_choice, plan_of, relayout_step, step_of
from tests.microbench.board_conformance import BoardConformance
from tests.microbench.gpu_jobs import hanging_gpu_job, sound_gpu_job, straying_gpu_job
from tests.microbench.measured import SoundJob, cpu_job, sound_cpu_job

PROFILE = load_profile("pi-zero")


class TestVirtualBoard(BoardConformance):
    kinds = frozenset({"simulated", "modelled"})
    computes = frozenset({"videocore4"})

    @pytest.fixture
    def board(self) -> Iterator[Board]:
        with VirtualBoard.open(PROFILE, BoardOptions()) as board:
            yield board

    @pytest.fixture
    def sound(self) -> tuple[SoundJob, ...]:
        return (sound_gpu_job(), sound_cpu_job())

    def test_a_launch_costs_its_overhead_and_its_cycles(self, board: Board) -> None:
        measurement = board.measure(sound_gpu_job().job)
        overhead_s = PROFILE.v3d_value("launch_overhead_s")
        cycles = measurement.counters["cycles"]
        assert measurement.times_s[0] == pytest.approx(overhead_s + cycles / PROFILE.v3d_value("clock_hz"))
        assert measurement.counters["stale_reads"] == 0

    def test_hazards_name_the_candidate(self, board: Board) -> None:
        for job, message in ((hanging_gpu_job(), "deadlock"), (straying_gpu_job(), "stray access")):
            with pytest.raises(HazardError, match=message) as caught:
                board.measure(job)
            assert job.candidate.hash[:12] in str(caught.value)

    def test_cpu_layers_are_modelled_not_run(self, board: Board) -> None:
        measurement = board.measure(dataclasses.replace(cpu_job(), repeats=2))
        assert (measurement.kind, measurement.output) == ("modelled", None)
        assert measurement.times_s == (cpu_time_s(cpu_job().work, PROFILE),) * 2


def small_graph() -> Graph:
    build = GraphBuilder("mixed", (1, 3, 9, 9))
    conv = Conv2d((3, 3), (1, 1), (1, 1, 1, 1), epilogue=clamp(RESULT, 0.0, 6.0))
    first = build.add(conv, "x", [(16, 3, 3, 3), (16,)])
    second = build.add(Conv2d((1, 1)), first, [(20, 16, 1, 1), (20,)])
    return build.build(build.add(Map(clamp(RESULT, -0.5, 0.5)), second))


def on_qpus(graph: Graph) -> Plan:
    """Both convolutions on the QPUs, the change of layout and the clamp in C."""
    target = PROFILE.target()
    points: dict[str, dict[str, int | str]] = {
        "qpu_implicit_gemm": {"pixel_tiles": 12, "blocks": 1, "channels": 4, "input_layout": "nchw"},
        "qpu_pointwise_blocked": {"pixel_tiles": 4, "blocks": 2, "channels": 4},
    }
    steps = []
    for node, name in zip(graph.nodes, points, strict=False):
        spec = LayerSpec.of(graph, node)
        choice = algorithm_named(name).choice(spec, target, points[name])
        steps.append(step_of(node.name, spec, node.inputs, node.output, choice))
    last = graph.nodes[-1]
    clamped = LayerSpec.of(graph, last)
    steps.append(relayout_step(last.inputs[0], clamped.inputs[0], "pixel16", "nchw"))
    steps.append(step_of(last.name, clamped, last.inputs, last.output, first_choice(clamped, target)))
    return plan_of(graph, steps)


def test_a_bundle_runs_with_simulated_and_modelled_steps(tmp_path: Path) -> None:
    graph = small_graph()
    plan = on_qpus(graph)
    compile_bundle(graph, plan, PROFILE.target(), tmp_path)
    value = np.random.default_rng(5).standard_normal((1, 3, 9, 9)).astype(np.float32)
    with VirtualBoard(PROFILE) as board:
        first, again = (board.run_bundle(tmp_path, (value,)) for _ in range(2))
    expected = next(iter(evaluate(graph, {"x": value}).values()))
    assert np.abs(first.outputs[0].reshape(expected.shape) - expected).max() < 1e-5
    assert (first.time_s, dict(first.step_times_s), first.kind) == (
        again.time_s,
        dict(again.step_times_s),
        "simulated",
    )
    assert sum(first.step_times_s.values()) == pytest.approx(first.time_s)
    assert list(first.step_kinds.values()) == ["simulated", "simulated", "modelled", "modelled"]
    assert all(time_s > 0 for time_s in first.step_times_s.values())
    modelled_s = sum(
        first.step_times_s[name] for name, kind in first.step_kinds.items() if kind == "modelled"
    )
    assert first.times_s == (first.time_s,)
    assert first.cpu_time_s == pytest.approx(modelled_s + PROFILE.v3d_value("launch_overhead_s"))
    assert first.counters["stale_reads"] == 0 and first.counters["cycles"] > 0


def test_a_clock_changes_the_fingerprint_and_the_time() -> None:
    fast = PROFILE.with_v3d(clock_hz=500e6)
    with VirtualBoard(PROFILE) as board, VirtualBoard(fast) as faster:
        job = sound_gpu_job().job
        assert board.fingerprint() != faster.fingerprint()
        assert faster.measure(job).times_s < board.measure(job).times_s
        assert np.array_equal(faster.measure(job).output, board.measure(job).output)  # type: ignore[arg-type]


def test_a_profile_without_qpus_is_refused() -> None:
    with pytest.raises(BoardError, match="nothing to simulate"):
        VirtualBoard.open(load_profile("host"), BoardOptions())


def test_cpu_time_grows_with_each_kind_of_work() -> None:
    base = Work(macs=1e6, alu_instructions=2e6, load_instructions=1e6)
    time_s = cpu_time_s(base, PROFILE)
    assert time_s == pytest.approx((1e6 * 2 + 1e6 + 1e6) / 1e9 + PROFILE.cpu_cost("call_s"))
    for field in ("macs", "load_instructions", "store_instructions", "streamed_bytes_read", "bytes_written"):
        more = dataclasses.replace(base, **{field: getattr(base, field) + 1e6})
        assert cpu_time_s(more, PROFILE) > time_s
    with pytest.raises(ProfileError, match="mac_cycles"):
        cpu_time_s(base, load_profile("host"))
    with pytest.raises(ProfileError, match="thread_sync_s"):
        cpu_time_s(base, PROFILE, threads=2)


def clamped(spec: LayerSpec, target: Target, threads: int) -> Choice:
    return algorithm_named("cpu_map").choice(spec, target, {"block": 1, "layout": "nchw", "threads": threads})


def test_threads_of_a_modelled_cpu_are_all_busy(tmp_path: Path) -> None:
    sync = Constant(value=5e-6, unit="s", source="assumed: for this test")
    changed = {"cores": 4, "cpu_costs": {**PROFILE.cpu_costs, "thread_sync_s": sync}}
    profile = DeviceProfile.model_validate({**PROFILE.model_dump(), **changed})
    build = GraphBuilder("clamp", (1, 3, 40, 40))
    graph = build.build(build.add(Map(clamp(RESULT, -0.5, 0.5)), "x"))
    runs = {}
    for threads in (1, 4):
        plan = plan_of(graph, pick=partial(clamped, target=profile.target(), threads=threads))
        compile_bundle(graph, plan, profile.target(), tmp_path / str(threads))
        value = np.random.default_rng(5).standard_normal((1, 3, 40, 40)).astype(np.float32)
        with VirtualBoard(profile) as board:
            runs[threads] = board.run_bundle(tmp_path / str(threads), (value,))
        np.testing.assert_array_equal(runs[threads].outputs[0], np.clip(value, -0.5, 0.5).reshape(-1))
    assert runs[4].time_s < runs[1].time_s
    assert runs[1].cpu_time_s == runs[1].time_s
    assert runs[4].cpu_time_s == pytest.approx(4 * runs[4].time_s)
