"""Warm-up and minimum total time, where a clock is read; one launch, where it is not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.program import GpuProgram
from codegen.tensor import FloatArray
from microbench.board import Measurement
from microbench.boards import cpu_harness
from microbench.boards.execution import Finished
from microbench.boards.gpu_measurement import MOST_REQUESTS, measure_on_gpu
from microbench.boards.host import HostBoard
from microbench.boards.subprocesses import Ended
from microbench.profile import load_profile
from microbench.protocol import STANDARD, Timing, repeats_of
from microbench.runner.messages import GpuRun, LaunchTimes
from tests.microbench.gpu_jobs import sound_gpu_job
from tests.microbench.measured import cpu_job

SPANS = st.floats(1e-9, 10.0)
REPEATS = 5


class CountingGpu:
    """Its `n`-th run in all takes `law(n)` seconds; remembers how many runs each request had."""

    def __init__(self, law: Callable[[int], float]) -> None:
        self.requests: list[int] = []
        self._law = law

    def run(self, program: GpuProgram, inputs: Sequence[FloatArray], repeats: int) -> GpuRun:
        first = sum(self.requests)
        self.requests.append(repeats)
        times_s = [self._law(first + n) for n in range(repeats)]
        return GpuRun(tuple((LaunchTimes(t, (), {"cycles": 1.0}, 0.0),) for t in times_s), ())


def measured(gpu: CountingGpu, kind: str = "silicon", timing: Timing | None = STANDARD) -> Measurement:
    job = dataclasses.replace(sound_gpu_job().job, repeats=REPEATS)
    assert isinstance(job.program, GpuProgram)
    return measure_on_gpu(gpu, job, job.program, kind, timing)  # type: ignore[arg-type]


@given(SPANS, SPANS, SPANS, st.integers(1, 50))
def test_the_runs_last_as_long_as_they_must(
    warm_up_s: float, minimum_total_s: float, once_s: float, repeats: int
) -> None:
    timing = Timing(warm_up_s, minimum_total_s)
    untimed, each = timing.warm_up_runs(once_s), timing.runs_per_repeat(once_s, repeats)
    assert 1 <= untimed <= timing.most_runs and each >= 1 and each * repeats <= timing.most_runs
    if untimed < timing.most_runs:
        assert untimed * once_s >= warm_up_s * (1 - 1e-9)
    if each < timing.most_runs // repeats:
        assert each * repeats * once_s >= minimum_total_s * (1 - 1e-9)


def test_a_repeat_is_the_mean_of_its_runs() -> None:
    assert repeats_of((1.0, 3.0, 5.0, 5.0), 2) == (2.0, 5.0)
    for runs_s, repeats in (((1.0, 2.0, 3.0), 2), ((), 1), ((1.0,), 0)):
        with pytest.raises(ValueError, match="repeats of equally many"):
            repeats_of(runs_s, repeats)


def test_a_short_launch_is_warmed_up_and_run_often_enough() -> None:
    gpu = CountingGpu(lambda n: 1e-3)
    measurement = measured(gpu, timing=Timing(warm_up_s=0.01, minimum_total_s=0.05))
    assert gpu.requests == [1, 10 + 50]
    assert measurement.times_s == pytest.approx((1e-3,) * REPEATS)


def test_a_long_launch_is_warmed_up_once_and_timed_once_a_repeat() -> None:
    gpu = CountingGpu(lambda n: 0.5)
    assert len(measured(gpu).times_s) == REPEATS
    assert gpu.requests == [1, 1 + REPEATS]


def test_what_is_slow_while_it_warms_up_does_not_count() -> None:
    gpu = CountingGpu(lambda n: 1e-3 if n < 11 else 1e-4)
    timing = Timing(warm_up_s=0.01, minimum_total_s=0.005)
    measurement = measured(gpu, timing=timing)
    assert measurement.times_s == pytest.approx((1e-4,) * REPEATS)
    assert gpu.requests[:2] == [1, 10 + 5]
    timed = gpu.requests[-1] - timing.warm_up_runs(1e-4)
    assert timed * 1e-4 >= timing.minimum_total_s  # counted again, by what the warm runs took


def test_a_gpu_that_is_ever_faster_ends_too() -> None:
    gpu = CountingGpu(lambda n: 1e-3 * math.exp(-0.2 * n))
    assert len(measured(gpu).times_s) == REPEATS
    assert len(gpu.requests) <= 1 + MOST_REQUESTS


def test_a_simulated_launch_is_run_once() -> None:
    gpu = CountingGpu(lambda n: 1e-6)
    assert measured(gpu, kind="simulated", timing=None).times_s == (1e-6,) * REPEATS
    assert gpu.requests == [1]


def test_a_kernel_on_the_cpu_is_given_the_same_spans() -> None:
    asked: list[tuple[str, ...]] = []

    class Recorder:
        def execute(self, executable: Path, arguments: Sequence[str], *rest: object) -> Finished:
            asked.append(tuple(arguments))
            output = np.zeros(16, "<f4").tobytes() + np.ones(REPEATS, "<f8").tobytes()
            return Finished(Ended(0, ""), {cpu_harness.RESULT: output})

    job = cpu_job(repeats=REPEATS)
    assert job.program.kind == "cpu"
    target = load_profile("host").target()
    cpu_harness.time_kernel(job, job.program, target, Recorder(), Timing(0.25, 0.5))
    assert asked == [(cpu_harness.DATA, cpu_harness.RESULT, str(REPEATS), "0.25", "0.5")]


def test_the_harness_works_before_it_times() -> None:
    """A kernel that counts its calls in its output: more than one warm-up, and more than one call a repeat."""
    job = cpu_job(repeats=2)
    assert job.program.kind == "cpu"
    source = job.program.source.replace(
        "(void)workspace;", "static float calls; calls += 1.0f; (void)workspace;"
    ).replace("inputs[0][i] * weights[0]", "calls + 0.0f * (inputs[0][i] + weights[0])")
    counting = dataclasses.replace(job, program=dataclasses.replace(job.program, source=source))
    output = HostBoard(load_profile("host")).measure(counting).output
    assert output is not None and output[0] > 1000
