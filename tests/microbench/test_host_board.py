"""The host board: real kernels, wrong ones, bundles, and interrupts."""

from __future__ import annotations

import dataclasses
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codegen.algorithm import algorithms
from codegen.bundle import compile_bundle
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.errors import BundleError
from codegen.operators.conv2d import Conv2d
from codegen.program import CpuProgram
from codegen.reference import evaluate, evaluate_layer
from codegen.schedule import Candidate
from codegen.tensor import FloatArray, TensorType
from microbench.board import Board, Job
from microbench.boards.host import BUNDLE_RUNS, HostBoard
from microbench.errors import BoardError, CandidateError
from microbench.options import BoardOptions
from microbench.profile import load_profile
from microbench.registry import open_board
from tests.codegen.layers import layer_spec
from tests.codegen.planned import plan_of, small_network

SPEC = layer_spec(
    Conv2d((3, 3), pads=(1, 1, 1, 1)),
    (TensorType((1, 4, 10, 10)),),
    TensorType((1, 6, 10, 10)),
    (TensorType((6, 4, 3, 3)), TensorType((6,))),
)


@pytest.fixture
def board() -> Iterator[Board]:
    with open_board("host") as opened:
        yield opened


def conv_job(board: Board) -> tuple[Job, FloatArray]:
    """A convolution and its expected output image."""
    generator = np.random.default_rng(0)
    source = generator.normal(size=SPEC.inputs[0].shape).astype(np.float32)
    weights = [generator.normal(size=t.shape).astype(np.float32) for t in SPEC.weights]
    algorithm = algorithms()["cpu_conv_direct"]
    assert isinstance(algorithm, CpuAlgorithm)
    choice = algorithm.choice(SPEC, board.target, algorithm.space(SPEC, board.target).points()[0])
    program = algorithm.emit(SPEC, board.target, choice, weights, "candidate")
    work = algorithm.work(SPEC, board.target, choice)
    expected = evaluate_layer(SPEC, [source], weights)[0].astype(np.float32).reshape(-1)
    return Job(Candidate(SPEC, choice), program, (source.reshape(-1),), work, repeats=4), expected


def with_body(job: Job, body: str) -> Job:
    """The same job with other code in its function."""
    program = job.program
    assert isinstance(program, CpuProgram)
    arguments = (
        "const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part"
    )
    includes = "#include <stdlib.h>\n#include <stdint.h>\n"
    return dataclasses.replace(
        job,
        program=dataclasses.replace(program, source=f"{includes}void candidate({arguments}) {{ {body} }}\n"),
    )


def test_a_kernel_is_timed_and_its_output_comes_back(board: Board) -> None:
    job, expected = conv_job(board)
    measurement = board.measure(job)
    assert measurement.kind == "host"
    assert len(measurement.times_s) == 4
    assert measurement.output is not None
    assert np.abs(measurement.output - expected).max() <= 1e-5 * np.abs(expected).max()


def test_this_machines_cores_are_the_targets(board: Board) -> None:
    assert board.target.cores == len(os.sched_getaffinity(0))


def test_a_threaded_kernel_computes_what_it_computes_alone(board: Board) -> None:
    generator = np.random.default_rng(1)
    target = dataclasses.replace(board.target, cores=3)  # more threads than this machine may have cores
    algorithm = algorithms()["cpu_conv_direct"]
    assert isinstance(algorithm, CpuAlgorithm)
    source = generator.normal(size=SPEC.inputs[0].elements).astype(np.float32)
    weights = [generator.normal(size=t.shape).astype(np.float32) for t in SPEC.weights]
    outputs = []
    for threads in (1, 3):
        choice = algorithm.choice(SPEC, target, {"rows": 4, "columns": 8, "threads": threads})
        program = algorithm.emit(SPEC, target, choice, weights, "candidate")
        job = Job(
            Candidate(SPEC, choice), program, (source,), algorithm.work(SPEC, target, choice), repeats=3
        )
        measurement = board.measure(job)
        assert len(measurement.times_s) == 3
        outputs.append(measurement.output)
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_what_a_kernel_leaves_unwritten_is_not_a_number(board: Board) -> None:
    job = with_body(conv_job(board)[0], "outputs[0][0] = 1.0f;")
    output = board.measure(job).output
    assert output is not None
    assert output[0] == 1.0
    assert np.isnan(output[1:]).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("*(volatile int *)0 = 1;", "died of SIGSEGV"),
        ("abort();", "died of SIGABRT"),
        ("exit(7);", "exit code 7"),
        ("exit(0);", "wrote no result"),
        ("syntax error", "the C compiler failed"),
    ],
)
def test_faulty_kernels_are_candidate_errors(board: Board, body: str, message: str) -> None:
    job = with_body(conv_job(board)[0], body)
    with pytest.raises(CandidateError, match=message) as raised:
        board.measure(job)
    assert job.candidate.hash[:12] in str(raised.value)


def test_a_kernel_that_hangs_is_killed(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostBoard, "candidate_limit_s", 0.3)
    with pytest.raises(CandidateError, match="did not end within"):
        board.measure(with_body(conv_job(board)[0], "for (volatile int i = 0;; ++i) outputs[0][0] = i;"))


def test_an_interrupt_kills_the_program_and_goes_on(board: Board, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    body = (
        f'FILE *note = fopen("{note}", "w"); fprintf(note, "%d ", (int)getpid()); fclose(note);'
        "for (volatile int i = 0;; ++i) outputs[0][0] = i;"
    )
    job = with_body(conv_job(board)[0], body)
    program = job.program
    assert isinstance(program, CpuProgram)
    source = f"#define _POSIX_C_SOURCE 200112L\n#include <stdio.h>\n#include <unistd.h>\n{program.source}"
    job = dataclasses.replace(job, program=dataclasses.replace(program, source=source))

    def interrupt_when_running() -> None:
        while not (note.is_file() and note.read_text().endswith(" ")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_when_running, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        board.measure(job)
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_bundle_runs_and_every_step_has_a_time(board: Board, tmp_path: Path) -> None:
    graph = small_network()
    plan = plan_of(graph)
    compile_bundle(graph, plan, board.target, tmp_path)
    source = np.random.default_rng(1).normal(size=graph.types["x"].shape).astype(np.float32)
    run = board.run_bundle(tmp_path, (source.reshape(-1),))
    assert run.kind == "host"
    assert set(run.step_times_s) == set(run.step_kinds) == {step.name for step in plan.steps}
    assert len(run.times_s) == BUNDLE_RUNS
    assert run.time_s == statistics.median(run.times_s) > 0
    assert run.cpu_time_s > 0
    for output, expected in zip(run.outputs, evaluate(graph, {"x": source}).values(), strict=True):
        assert np.abs(output - expected.reshape(-1)).max() <= 1e-5 * np.abs(expected).max()


def test_bundles_and_inputs_that_do_not_fit_are_typed_errors(board: Board, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        board.run_bundle(tmp_path / "absent", ())
    graph = small_network()
    compile_bundle(graph, plan_of(graph), board.target, tmp_path)
    with pytest.raises(BoardError, match="its inputs have"):
        board.run_bundle(tmp_path, (np.zeros(3, dtype=np.float32),))
    with pytest.raises(BoardError, match="which this machine does not run"):
        HostBoard.open(load_profile("pi-zero"), BoardOptions())
