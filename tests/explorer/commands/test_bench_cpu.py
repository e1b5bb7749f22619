"""`explore bench cpu-inner-loops`, `cpu-layers` and `cpu-instructions` on layers and networks of a few kilobytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codegen.algorithm import algorithm_named
from codegen.bundle import compile_bundle
from codegen.engines.cpu.toolchain import compile_executable
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.softmax import Softmax
from codegen.plan import write_plan
from codegen.tensor import TensorType
from explorer.errors import CheckFailedError
from explorer.plans.check import Trial, trials_of
from explorer.plans.modelled_plan import modelled_plan
from explorer.plans.network import Network, load_network
from explorer.search.roofline_ranking import ranked_candidates
from explorer.studies.executed_instructions import count_network, require_right
from explorer.studies.inner_loops import inspect_device
from explorer.studies.layer_times import NetworkTimes, StepTime, kind_of, measure_layers
from explorer.studies.representative_layers import REPRESENTATIVE_LAYERS
from explorer.studies.study_table import StudyTable
from microbench.boards.execution import LocalExecutor
from microbench.emulation.emulator import EmulatedExecutor, emulation_of, why_no_counting
from microbench.errors import BoardError
from microbench.peak.fma_peak import measure_fma_peak
from microbench.profile import load_profile
from tests.codegen.layers import layer_spec
from tests.explorer.command_line import explore, refused
from tests.explorer.tiny import write_tiny_model


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return load_network(write_tiny_model(tmp_path / "tiny.onnx"), {}, "tiny")


def test_macs_are_those_of_the_definition() -> None:
    depthwise = REPRESENTATIVE_LAYERS["depthwise 3x3 s1"]
    assert depthwise.macs == 128 * 28 * 28 * 9
    assert REPRESENTATIVE_LAYERS["conv 1x1"].macs == 128 * 128 * 28 * 28
    assert REPRESENTATIVE_LAYERS["fully connected"].macs == 1024 * 1000
    row = TensorType((1, 10))
    assert layer_spec(Softmax(1), (row,), row).macs == 0


def test_every_operator_with_weights_is_among_the_representative_layers() -> None:
    assert {type(spec.op) for spec in REPRESENTATIVE_LAYERS.values()} == {Conv2d, FullyConnected}
    groups = {spec.op.groups for spec in REPRESENTATIVE_LAYERS.values() if isinstance(spec.op, Conv2d)}
    assert {1, 128} < groups


def test_candidates_are_ranked_by_modelled_time() -> None:
    profile, spec = load_profile("pi-2"), REPRESENTATIVE_LAYERS["fully connected"]
    ranked = ranked_candidates(algorithm_named("cpu_blocked_fully_connected"), spec, profile, threads=1)
    times_s = [time_s for _, time_s in ranked]
    assert len(ranked) > 1 and times_s == sorted(times_s)
    assert {candidate.choice.threads for candidate, _ in ranked} == {1}
    assert ranked_candidates(algorithm_named("cpu_softmax"), spec, profile) == ()


@pytest.mark.needs("llvm")
@pytest.mark.parametrize("device", ["pi-zero", "pi-3-64"])
def test_inner_loops_of_a_layer_have_its_products(device: str) -> None:
    name = "fully connected"
    found = list(inspect_device(load_profile(device), {name: REPRESENTATIVE_LAYERS[name]}))
    assert "cpu_blocked_fully_connected" in {inspection.candidate.choice.algorithm for inspection in found}
    for inspection in found:
        assert inspection.refusal is None and inspection.counts is not None
        assert inspection.counts.macs > 0 and inspection.counts.loads > 0


@pytest.mark.needs("llvm")
def test_the_table_of_inner_loops_is_written_as_markdown(tmp_path: Path) -> None:
    page = tmp_path / "loops.md"
    result = explore("bench", "cpu-inner-loops", "--device", "pi-2", "--layer", "fully", "--markdown", page)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "| fully connected | cpu_blocked_fully_connected |" in text and "no model" in text


def test_an_unknown_layer_is_refused() -> None:
    refused(explore("bench", "cpu-inner-loops", "--layer", "7x9"), "7x9", "fully connected")


def test_cells_cannot_break_a_markdown_table() -> None:
    table = StudyTable("t", (("a", "left"), ("b", "right")), (("x|y", "1"),), ("note",))
    assert table.markdown().splitlines()[2:5] == ["| a | b |", "| --- | --: |", "| x\\|y | 1 |"]


def test_a_modelled_plan_uses_the_cpu_alone_and_rests_on_no_measurement(network: Network) -> None:
    plan = modelled_plan(network, load_profile("pi-zero"))
    assert plan.is_of_host
    assert all(step.choice.threads == 1 and step.sample_ids == () for step in plan.steps)
    assert {step.kind for step in plan.steps} == {"modelled"}
    assert sum(step.spec.macs for step in plan.steps) == sum(
        LayerSpec.of(network.graph, node).macs for node in network.graph.nodes
    )


def test_layers_are_timed_beside_the_peak(network: Network, tmp_path: Path) -> None:
    profile = load_profile("host")
    plan = modelled_plan(network, profile)
    compile_bundle(network.graph, plan, profile.target(), tmp_path / "run" / "bundle")
    times = measure_layers(tmp_path / "run" / "bundle", profile, LocalExecutor(), rounds=2, runs=2)
    assert times.runs == 4 and times.peak_per_core > 0
    convolutions = [step for step in times.steps if step.step.spec.macs]
    assert len(convolutions) == 3 and all(step.time_s > 0 for step in convolutions)
    assert {kind_of(step.step) for step in convolutions} == {"Conv2d 3x3", "Conv2d 1x1", "FullyConnected"}
    for step in convolutions:
        assert step.streamed_bytes >= step.least_bytes > 0
    page = tmp_path / "layers.md"
    result = explore(
        "bench", "cpu-layers", tmp_path / "run", "--rounds", "1", "--repeats", "1", "--markdown", page
    )
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "## tiny: layers" in text and "| Conv2d 1x1 | 1 |" in text


def test_a_plan_with_its_model_is_compiled_and_timed(network: Network, tmp_path: Path) -> None:
    write_plan(modelled_plan(network, load_profile("host")), tmp_path / "plan.json")
    more = ("--rounds", "1", "--repeats", "1")
    result = explore("bench", "cpu-layers", "--plan", tmp_path / "plan.json", "--model", network.path, *more)
    assert result.exit_code == 0, result.output
    assert "classifier" in result.output
    refused(explore("bench", "cpu-layers", "--plan", tmp_path / "plan.json"), "--model")


def test_share_of_peak_counts_the_threads_in_use(network: Network) -> None:
    plan = modelled_plan(network, load_profile("host"))
    profile = load_profile("host")
    step = next(step for step in plan.steps if step.spec.macs)
    work = algorithm_named(step.choice.algorithm).work(step.spec, profile.target(), step.choice)
    timed = StepTime(step, 1e-3, work)
    times = NetworkTimes(plan, (timed,), 1e-3, peak_per_core=2e9, runs=1)
    assert times.share_of_peak([timed]) == pytest.approx(2 * step.spec.macs / 1e-3 / 2e9)


def test_the_peak_of_this_machine_is_measured() -> None:
    # The slowest machine that this runs on does a multiply-accumulate a nanosecond.
    assert measure_fma_peak(LocalExecutor(), load_profile("host").target(), seconds=0.01) > 1e9


def test_boards_that_no_emulator_knows_are_refused() -> None:
    with pytest.raises(BoardError, match="host"):
        emulation_of(load_profile("host").target())
    assert emulation_of(load_profile("pi-zero").target()).core == "arm1176"
    assert why_no_counting("no-such-emulator") == "no no-such-emulator installed (Debian: qemu-user)"


@pytest.mark.needs("instruction counting")
def test_instructions_of_a_network_are_the_same_each_time(network: Network) -> None:
    (trial,) = trials_of(network, seed=0, count=1)
    first, second = (count_network(network, load_profile("pi-3-64"), trial) for _ in range(2))
    assert first.macs == sum(LayerSpec.of(network.graph, node).macs for node in network.graph.nodes)
    assert first.is_right and second.is_right
    # Reports print times, whose digits differ.
    assert first.instructions == pytest.approx(second.instructions, rel=0.5)
    assert first.instructions > first.macs / 8


@pytest.mark.needs("instruction counting")
@pytest.mark.parametrize("device", ["pi-zero", "pi-4"])
def test_every_executed_instruction_is_counted(device: str) -> None:
    source = """
    #include <stdlib.h>
    int main(int count, char **words)
    {
        long left = count > 1 ? atol(words[1]) : 1;
        __asm__ volatile("1: subs %0, %0, #1; bne 1b" : "+r"(left) : : "cc");
        return 0;
    }
    """
    target = load_profile(device).target()
    executor, executable = EmulatedExecutor(target), compile_executable({"main.c": source}, target)
    counts = []
    for times in ("100000", "300000"):
        assert executor.execute(executable, (times,), {}, (), 30.0).ended.is_good
        counts.append(executor.instructions)
    assert counts[1] - counts[0] == 2 * 200_000


@pytest.mark.needs("instruction counting")
def test_wrong_outputs_under_emulation_are_an_error(network: Network) -> None:
    (trial,) = trials_of(network, seed=0, count=1)
    wrong = Trial(trial.inputs, tuple(np.flip(output) for output in trial.outputs))
    count = count_network(network, load_profile("pi-3-64"), wrong)
    assert not count.is_right
    with pytest.raises(CheckFailedError, match="tiny for pi-3-64"):
        require_right([count])


@pytest.mark.needs("instruction counting")
def test_an_instruction_the_core_lacks_ends_the_program(tmp_path: Path) -> None:
    source = 'int main(void) { __asm__ volatile("vmov.i32 q0, #0" ::: "q0"); return 0; }'
    executable = compile_executable({"main.c": source}, load_profile("pi-2").target())
    own = EmulatedExecutor(load_profile("pi-2").target()).execute(executable, (), {}, (), 30.0)
    older = EmulatedExecutor(load_profile("pi-zero").target()).execute(executable, (), {}, (), 30.0)
    assert own.ended.is_good
    assert not older.ended.is_good and "SIGILL" in older.ended.complaint
