"""Small candidates, jobs and samples that the tests of boards and store share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codegen.expression import RESULT, clamp
from codegen.operators.elementwise import Map
from codegen.program import CpuProgram
from codegen.schedule import Candidate, Choice, Work, values
from codegen.tensor import FloatArray, TensorType
from microbench.board import Fingerprint, Job
from microbench.store import Sample, Status
from tests.codegen.layers import layer_spec

FINGERPRINT = Fingerprint("virtual test", "0" * 64, 250e6, "test 1")
OTHER = Fingerprint("virtual other", "1" * 64, 250e6, "test 1")

SCALE_SOURCE = """
void %s(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
{
    (void)workspace;
    (void)part;
    for (int i = 0; i < %d; i++) outputs[0][i] = inputs[0][i] * weights[0];
}
"""


@dataclass(frozen=True, eq=False)
class SoundJob:
    """A job that a board must be able to measure, and the output it must compute."""

    job: Job
    expected: FloatArray


def candidate(elements: int = 16, width: int = 4, engine: str = "cpu") -> Candidate:
    """A clamp of so many elements; `width` is its only tile."""
    tensor = TensorType((1, elements))
    choice = Choice(engine, "direct", (), values({"width": width}), ("nchw",), ("nchw",))
    return Candidate(layer_spec(Map(clamp(RESULT, 0.0, 6.0)), (tensor,), tensor), choice)


def work(elements: int = 16) -> Work:
    """Work in proportion to the elements."""
    return Work(macs=float(elements), alu_instructions=float(elements), unique_bytes_read=4.0 * elements)


def cpu_job(elements: int = 16, repeats: int = 1) -> Job:
    """A C layer that multiplies every element by 3."""
    program = CpuProgram(
        SCALE_SOURCE % ("scale", elements),
        "scale",
        np.array([3.0], np.float32),
        (elements,),
        (elements,),
        0,
    )
    inputs = (np.linspace(-1, 1, elements, dtype=np.float32),)
    return Job(candidate(elements), program, inputs, work(elements), repeats)


def sound_cpu_job() -> SoundJob:
    """`cpu_job` with its output."""
    job = cpu_job()
    return SoundJob(job, job.inputs[0] * np.float32(3.0))


def sample(
    elements: int = 16,
    fingerprint: Fingerprint = FINGERPRINT,
    status: Status = "ok",
    times_s: tuple[float, ...] = (1e-3,),
) -> Sample:
    """A simulated sample of `candidate(elements)`."""
    return Sample(
        candidate(elements),
        fingerprint,
        "simulated",
        status,
        times_s,
        work(elements),
        {"cycles": 250.0},
        "ab" * 32,
    )
