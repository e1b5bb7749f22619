"""What a run found, as plain data: what tables, figures and summary.json are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from codegen.engine_registry import engine_named
from codegen.schedule import Choice, Work
from cost_models.evaluation import Scores
from cost_models.model import Prediction
from microbench.board import Kind
from microbench.protocol import ReferenceTimes
from microbench.store import Status

SUMMARY_FORMAT = 3


@dataclass(frozen=True)
class StepReport:
    """One step of the plan. Times in seconds; None where nothing was predicted or the board cannot tell.

    `predicted` is the cost model's without having seen any candidate of this layer. `expected_s` is the
    candidate's own measurement, alone or in rehearsals, `run_s` its time in the whole network; both include the launch
    overhead where the step is the first of a launch. `cpu_only_s` is the same layer's time in the
    CPU-only plan (0 where that needs no such step).
    """

    name: str
    operator: str
    choice: Choice
    predicted: Prediction | None
    expected_s: float
    expected_kind: Kind
    run_s: float | None
    run_kind: Kind
    cpu_only_s: float | None


@dataclass(frozen=True)
class CheckReport:
    """The bundle's outputs against onnxruntime's on several inputs."""

    inputs: int
    largest_error: float  # relative to the largest output
    tolerance: float
    same_top5: bool
    time_s: float
    kind: Kind
    accuracy: AccuracyReport | None = (
        None  # where weights are rounded, without which the rest is then compared
    )
    deciding: int = (
        0  # tensors that decisions were made from and compared with the reference's, where these differ
    )


@dataclass(frozen=True)
class AccuracyReport:
    """What rounded weights cost: outputs beside those of the network as it is."""

    largest_error: float  # relative to the largest output
    same_top1: int  # inputs with the same largest output


@dataclass(frozen=True)
class CpuPlanReport:
    """The plan for the CPU that the bundle carries too: what it adds, and its outputs beside onnxruntime's."""

    source_bytes: int  # of C
    weights_bytes: int
    check: CheckReport


@dataclass(frozen=True)
class QpuCeilings:
    """Constants of the board's QPUs that say how far from its limits a layer is."""

    qpus: int
    issue_cycles: float  # of an instruction
    memory_bytes_per_s: float  # to and from memory, all engines of the GPU together


@dataclass(frozen=True)
class ModelQuality:
    """The cost model of a run by its name, and its scores on layers that it has not seen."""

    model: str
    scores: Scores


@dataclass(frozen=True)
class Asking:
    """Why a candidate was measured: in which round, at which place of all, what was predicted then, which part of the
    network's time it was expected to save (None: its strategy does not tell), and whether a plan needed it.
    """

    place: int
    round: int
    predicted: Prediction
    gain: float | None
    is_needed: bool
    reason: str


@dataclass(frozen=True)
class MeasuredCandidate:
    """One measured candidate, as samples.csv has it.

    `layer` describes the layer in a line, `candidate` is the candidate's hash. `time_s` is the layer's time within
    a launch, None for one that failed; `predicted` is what the cost model says without having seen the layer.
    `through_s`: of the fastest network that has it, by candidates' own times; None for a change of layout.
    `bound_s`: the roofline's, which no schedule of this work can beat, and `bound_by` the resource that sets it.
    """

    layer: str
    spec_hash: str
    candidate: str
    choice: Choice
    status: Status
    kind: Kind
    time_s: float | None
    predicted: Prediction | None
    work: Work
    message: str
    asked: Asking | None = None
    through_s: float | None = None
    bound_s: float | None = None
    bound_by: str = ""
    counters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class UnderProfile:
    """Seconds of the plan as composed under one profile, and of the best plan there."""

    name: str
    time_s: float
    best_s: float

    @property
    def ratio(self) -> float:
        """The plan's time over the best one's."""
        return self.time_s / self.best_s


@dataclass(frozen=True)
class Regret:
    """How a plan does that was chosen under several profiles, the run's own first.

    `bound`: no plan of the same candidates has a smaller worst ratio. `own_best`: the worst ratio of the plan that is
    fastest under the run's own profile. `compositions`: made to find that out; `retimed`: candidates that were timed
    under every profile.
    """

    under: tuple[UnderProfile, ...]
    bound: float
    own_best: float
    compositions: int
    retimed: int = 0

    @property
    def worst(self) -> float:
        """The largest ratio to a profile's own best plan."""
        return max(one.ratio for one in self.under)

    @property
    def gap(self) -> float:
        """By how much, as a fraction, a plan that was not found could have a smaller worst ratio."""
        return self.worst / self.bound - 1.0


@dataclass(frozen=True)
class RunReport:
    """Everything of a run that is worth showing."""

    model: str
    device: str
    board: str
    steps: tuple[StepReport, ...]
    expected_s: (
        float  # the composition's total: its steps as measured, alone or in rehearsals, launches included
    )
    launches: int
    launch_overhead_s: float
    cpu_only_s: float | None  # None where a layer cannot be computed, or must not, without the QPUs
    cpu_only_kinds: tuple[Kind, ...]
    macs: int  # multiply-adds of direct computation: an algorithm that does fewer, as Winograd's, counts as much
    qpu_peak_flops: float  # 0 on a board without QPUs
    check: CheckReport | None
    quality: ModelQuality | None
    samples: Mapping[str, int]
    noise_floor: float | None = (
        None  # spread of the reference kernel; closer times are equal. None without a clock
    )
    reference: ReferenceTimes | None = None  # what the noise floor is the spread of
    measured: tuple[MeasuredCandidate, ...] = ()
    gpu_memories_s: Mapping[str, float] = field(
        default_factory=dict
    )  # by how GPU memory is allocated, where tried
    regret: Regret | None = None  # of a plan that was chosen under several profiles
    cpu_plan: CpuPlanReport | None = None  # the one that the bundle carries too; None without --with-cpu-plan
    ceilings: QpuCeilings | None = None  # of a board with QPUs
    gap: float | None = None  # the part of expected_s that no other composition can save; None in older runs

    @property
    def time_s(self) -> float:
        """The network's time: of the run where there was one, else the composition's."""
        return self.check.time_s if self.check else self.expected_s

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What the times in the run are, views left out: their nothing is of no kind."""
        return tuple(sorted({step.run_kind for step in self.steps if step.expected_s > 0}))

    @property
    def how_expected(self) -> str:
        """Where the times that are expected of steps were measured."""
        return "rehearsed in whole networks" if self.samples.get("rehearsed") else "measured alone"

    @property
    def speedup(self) -> float | None:
        """CPU-only plan over this plan; None where this is one itself, or there is none."""
        if self.cpu_only_s is None or all(
            engine_named(step.choice.engine).keeps_cores_busy for step in self.steps
        ):
            return None
        return self.cpu_only_s / self.time_s

    @property
    def peak_share(self) -> float | None:
        """The operations of direct computation, two for a multiply-add, over what the QPUs could do in the same time.

        None where they do nothing.
        """
        if not self.launches or not self.qpu_peak_flops:
            return None
        return 2 * self.macs / self.time_s / self.qpu_peak_flops


def write_summary(report: RunReport, path: Path) -> None:
    """summary.json: `summary_content`."""
    text = json.dumps(summary_content(report), indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def summary_content(report: RunReport) -> dict[str, Any]:
    """The report without single candidates; every time has its kind beside it."""
    content: dict[str, Any] = asdict(replace(report, measured=()))
    del content["measured"]
    content |= {"speedup": report.speedup, "peak_share": report.peak_share, "time_s": report.time_s}
    return content | {"format": SUMMARY_FORMAT}
