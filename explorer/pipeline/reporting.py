"""Builds the report of a run from what its parts found."""

from __future__ import annotations

from collections.abc import Mapping

from codegen.canonical import content_hash
from codegen.engines.videocore4.layout import LANES
from codegen.schedule import Candidate
from cost_models.evaluation import Judged, scores
from cost_models.model import Observation, Prediction
from cost_models.roofline import RooflineModel
from explorer.compose.compose import Composition
from explorer.compose.steps import ComposedStep, Overheads, starts_launch, wakes
from explorer.measure.measurer import Tally
from explorer.plans.planning import step_names
from explorer.plans.searched_network import SearchedNetwork
from explorer.runs.report import (
    Asking,
    CheckReport,
    MeasuredCandidate,
    ModelQuality,
    QpuCeilings,
    RunReport,
    StepReport,
)
from explorer.search.search import SearchResult
from explorer.strategies.through import times_through
from microbench.board import Board, BundleRun, Fingerprint

Unseen = Mapping[Candidate, Prediction]


def build_report(
    device: str,
    board: Board,
    fingerprint: Fingerprint,
    searched: SearchedNetwork,
    composed: Composition,
    checked: tuple[CheckReport, BundleRun] | None,
    tally: Tally,
    gpu_memories_s: Mapping[str, float],
) -> RunReport:
    """The report; predictions in it are made without having seen the layer that they are of."""
    found, cpu_only = searched.result, searched.cpu_only
    unseen = _unseen_predictions(found)
    check, bundle_run = checked or (None, None)
    overheads = searched.overheads
    return RunReport(
        model=searched.network.name,
        device=device,
        board=fingerprint.board,
        steps=_steps(composed, cpu_only, unseen, bundle_run, overheads),
        expected_s=composed.total_s,
        launches=composed.launches,
        launch_overhead_s=overheads.launch_s,
        cpu_only_s=cpu_only.total_s if cpu_only else None,
        cpu_only_kinds=tuple(sorted({step.timed.kind for step in cpu_only.steps})) if cpu_only else (),
        macs=_macs(composed),
        qpu_peak_flops=_qpu_peak_flops(board),
        check=check,
        quality=_quality(found, unseen),
        samples={
            "considered": found.candidates, "measured now": tally.measured, "known from the store": tally.known,
            "failed": tally.failed, "wrong": tally.wrong, "rehearsed": len({s.candidate for s in searched.rehearsals}),
        },
        noise_floor=tally.noise_floor,
        reference=tally.reference,
        measured=_measured(searched, unseen, board),
        ceilings=_ceilings(board),
        regret=searched.regret,
        gap=composed.gap,
        gpu_memories_s=gpu_memories_s,
    )  # fmt: skip


def _unseen_predictions(found: SearchResult) -> Unseen:
    return {o.candidate: p for o, p in zip(found.observations, found.unseen, strict=True)}


def _steps(
    composed: Composition,
    cpu_only: Composition | None,
    unseen: Unseen,
    bundle_run: BundleRun | None,
    overheads: Overheads,
) -> tuple[StepReport, ...]:
    cpu_steps = cpu_only.steps if cpu_only else ()
    cpu_times = {name: step.time_s for name, step in zip(step_names(cpu_steps), cpu_steps, strict=True)}
    return tuple(
        _step(
            name,
            step,
            None if step.is_free else unseen.get(step.timed.candidate),
            overheads.launch_s * starts + overheads.wake_s * woken,
            cpu_times.get(name),
            bundle_run,
        )
        for name, step, starts, woken in zip(
            step_names(composed.steps),
            composed.steps,
            starts_launch(composed.steps),
            wakes(composed.steps, overheads),
            strict=True,
        )
    )


def _step(
    name: str,
    step: ComposedStep,
    predicted: Prediction | None,
    launch_s: float,
    cpu_only_s: float | None,
    bundle_run: BundleRun | None,
) -> StepReport:
    timed = step.timed
    if predicted is not None:
        predicted = Prediction(
            predicted.time_s + launch_s, predicted.low_s + launch_s, predicted.high_s + launch_s
        )
    return StepReport(
        name=name,
        operator=type(timed.candidate.spec.op).__name__,
        choice=timed.candidate.choice,
        predicted=predicted,
        expected_s=step.time_s + launch_s,
        expected_kind=timed.kind,
        run_s=bundle_run.step_times_s.get(name) if bundle_run else None,
        run_kind=bundle_run.step_kinds.get(name, timed.kind) if bundle_run else timed.kind,
        cpu_only_s=cpu_only_s,
    )


def _macs(composed: Composition) -> int:
    return sum(step.timed.candidate.spec.macs for step in composed.steps)


def _qpu_peak_flops(board: Board) -> float:
    """Both ALUs of every QPU, a vector an instruction (Guide p.16)."""
    if not board.target.has_qpus:
        return 0.0
    value = board.profile.v3d_value
    return value("clock_hz") / value("issue_cycles") * value("qpus") * LANES * 2


def _ceilings(board: Board) -> QpuCeilings | None:
    if not board.target.has_qpus:
        return None
    value = board.profile.v3d_value
    return QpuCeilings(int(value("qpus")), value("issue_cycles"), board.profile.memory_bytes_per_s)


def _quality(found: SearchResult, unseen: Unseen) -> ModelQuality | None:
    judged = scores(Judged(o, unseen[o.candidate]) for o in _timed(found))
    return ModelQuality(found.model.name, judged) if judged else None


def _timed(found: SearchResult) -> tuple[Observation, ...]:
    """Observations of a clock or a simulator: a modelled time is a formula, and to predict it no feat."""
    modelled = {sample.candidate for sample in found.samples if sample.kind == "modelled"}
    return tuple(o for o in found.observations if o.candidate not in modelled)


def _measured(searched: SearchedNetwork, unseen: Unseen, board: Board) -> tuple[MeasuredCandidate, ...]:
    found = searched.result
    asked = {
        one.sample.candidate: Asking(
            place, one.round, one.predicted, one.request.gain, one.request.is_needed, one.request.reason
        )
        for place, one in enumerate(found.asked)
    }
    through_s = times_through(searched.network.graph, searched.expected, searched.overheads)
    roofline = RooflineModel(board.profile)
    terms = {sample.candidate: roofline.terms(sample.candidate, sample.work) for sample in found.samples}
    return tuple(
        MeasuredCandidate(
            layer=sample.candidate.spec.describe(),
            spec_hash=content_hash(sample.candidate.spec),
            candidate=sample.candidate_hash,
            choice=sample.candidate.choice,
            status=sample.status,
            kind=sample.kind,
            time_s=sample.time_s if sample.times_s else None,
            predicted=unseen.get(sample.candidate),
            work=sample.work,
            message=sample.message,
            asked=asked.get(sample.candidate),
            through_s=through_s.get(sample.candidate),
            bound_s=terms[sample.candidate].bound_s,
            bound_by=terms[sample.candidate].bound_by,
            counters=sample.counters,
        )
        for sample in found.samples
    )
