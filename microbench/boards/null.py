"""A board that answers at once from a roofline: a search needs neither hardware nor simulator."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from pydantic import Field

from codegen.schedule import Work
from codegen.target import Target
from codegen.tensor import AnyArray
from microbench.board import BundleRun, Fingerprint, Job, Kind, Measurement
from microbench.boards.admission import admit
from microbench.errors import BoardError
from microbench.options import BoardOptions, OwnOptions
from microbench.profile import DeviceProfile

# A round-numbered machine, so that nobody takes its times for a real one's.
CYCLES_PER_INSTRUCTION = 4.0
NOMINAL_CPU_HZ = 1e9
NOMINAL_BYTES_PER_S = 1e9
NOMINAL_OVERHEAD_S = 1e-6


class NullOptions(OwnOptions):
    """What only a null board wants to know."""

    answer_s: float = Field(default=0.0, ge=0, le=60, description="seconds until it answers")


class NullBoard:
    """Times are a nominal roofline of the job's Work, of kind `modelled`; it computes no output. It answers at once, or
    after `answer_s`, as a board does that has to work for its times.
    """

    name = "null"
    over_ssh = False
    own_options: ClassVar[type[OwnOptions]] = NullOptions
    computes = False
    reads_clock = False
    records = True

    def __init__(self, profile: DeviceProfile, answer_s: float = 0.0) -> None:
        self.profile = profile
        self._answer_s = answer_s
        self.target: Target = profile.target()

    @classmethod
    def open(cls, profile: DeviceProfile, options: BoardOptions) -> NullBoard:
        """The null board of a profile; of the options its own alone concern it."""
        return cls(profile, options.own_as(NullOptions).answer_s)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(f"null {self.profile.name}", self.profile.hash, self.target.v3d_clock_hz, "null 1")

    def describe(self) -> str:
        return "the null board, no silicon; its times are not measured now, nothing is computed"

    def kind_of(self, engine: str) -> Kind:
        return "modelled"

    def measure(self, job: Job) -> Measurement:
        """Raises CandidateError for a job that no board of this profile could run."""
        admit(job, self.target)
        if self._answer_s:
            time.sleep(self._answer_s)
        choice = job.candidate.choice
        time_s = roofline_s(job.work, self.target, job.program.kind, choice.threads)
        return Measurement((time_s,) * job.repeats, "modelled")

    def run_bundle(self, bundle: Path, inputs: tuple[AnyArray, ...]) -> BundleRun:
        """Always raises BoardError: this board computes nothing."""
        raise BoardError(
            f"the null board computes no outputs, so it cannot run {bundle}; leave out --board null"
        )

    def close(self) -> None:
        """Nothing to free."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def roofline_s(work: Work, target: Target, kind: str, threads: int = 1) -> float:
    """Seconds: the slowest of issue, loads with uniforms, stores (times imbalance) and memory traffic."""
    elements = target.qpus if kind == "gpu" else threads
    clock_hz = target.v3d_clock_hz if kind == "gpu" else NOMINAL_CPU_HZ
    slot_s = CYCLES_PER_INSTRUCTION / (clock_hz * elements)
    slots = max(
        work.alu_instructions or work.macs,
        work.load_instructions + work.uniform_words,
        work.store_instructions + work.dma_stores,
    )
    memory_s = (work.streamed_bytes_read + work.unique_bytes_read + work.bytes_written) / NOMINAL_BYTES_PER_S
    overhead_s = NOMINAL_OVERHEAD_S if threads == 1 else 2 * NOMINAL_OVERHEAD_S
    return overhead_s + max(slots * slot_s * max(work.balance, 1.0), memory_s)
