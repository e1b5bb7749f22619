"""From a composition to the plan file; equal compositions give equal plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from codegen.bundle.memory import memory_use
from codegen.free_name import free_name
from codegen.graph import Graph, LayerSpec
from codegen.plan import Plan, PlanStep, PlanTensor, relayout_name
from codegen.target import WeightType
from explorer.compose.compose import Composition
from explorer.compose.steps import ComposedStep
from explorer.compose.timed_candidates import relayout_spec
from explorer.plans.network import Network
from microbench.board import Fingerprint
from microbench.profile import DeviceProfile
from microbench.store import Sample

DISTRIBUTION = "explore-edge"


def build_plan(
    network: Network,
    composition: Composition,
    samples: Mapping[int, Sample],
    profile: DeviceProfile,
    fingerprint: Fingerprint,
    seed: int,
    cpu_only_s: float | None,
    weights: WeightType = "float32",
) -> Plan:
    """The plan of a composition. A step's prediction is its own measurement, its interval that of the repeats;
    a view costs nothing.

    The total adds the overheads of launches and of waking threads. `samples` are those the composition rests on, by id.
    """
    graph = network.graph
    steps = tuple(
        _step(graph, name, step, samples[step.timed.sample_id])
        for name, step in zip(step_names(composition.steps), composition.steps, strict=True)
    )
    overheads_s = composition.total_s - sum(step.time_s for step in composition.steps)
    plan = Plan(
        model_name=network.name,
        model_sha256=network.sha256,
        inputs=_tensors(graph, graph.inputs),
        outputs=_tensors(graph, graph.outputs),
        device=profile.name,
        qpus=profile.qpus_used,
        gpu_memory=profile.gpu_memory if len(profile.gpu_memories) > 1 else None,
        weights=weights,
        profile_hash=profile.hash,
        board_fingerprint=fingerprint.hash,
        seed=seed,
        versions={DISTRIBUTION: version(DISTRIBUTION), "board": fingerprint.software},
        steps=steps,
        predicted_s=composition.total_s,
        low_s=min(composition.total_s, sum(step.low_s for step in steps) + overheads_s),
        high_s=max(composition.total_s, sum(step.high_s for step in steps) + overheads_s),
        peak_activation_bytes=0,
        cpu_only_predicted_s=cpu_only_s,
    )
    peak = memory_use(plan, workspaces_of(composition)).total_bytes
    return plan.model_copy(update={"peak_activation_bytes": peak})


def decisions(plan: Plan) -> list[tuple[object, ...]]:
    """All that a plan decides, without what it expects: plans with equal ones are computed alike."""
    return [(step.name, step.spec, step.choice, step.starts_launch, step.in_place) for step in plan.steps]


def workspaces_of(composition: Composition) -> Mapping[str, int]:
    """Bytes that steps need beside their buffers, by name."""
    steps = composition.steps
    return {
        name: step.timed.workspace_bytes
        for name, step in zip(step_names(steps), steps, strict=True)
        if not step.is_free
    }


def step_names(steps: Sequence[ComposedStep]) -> tuple[str, ...]:
    """The names of their nodes, and of the changes of layout, which are those of no node."""
    nodes = {step.node.name for step in steps if step.node is not None}
    return tuple(
        step.node.name
        if step.node is not None
        else free_name(
            relayout_name(step.tensors[0], step.timed.candidate.choice.output_layout),
            nodes,
        )
        for step in steps
    )


def _step(graph: Graph, name: str, step: ComposedStep, sample: Sample) -> PlanStep:
    choice = step.timed.candidate.choice
    scale = step.time_s / sample.time_s if sample.time_s else 0.0
    if step.node is None:
        spec = relayout_spec(graph.types[step.tensors[0]], choice.input_layouts[0], choice.output_layout)
        inputs = step.tensors
    else:
        spec, inputs = LayerSpec.of(graph, step.node), step.node.inputs
    return PlanStep.of(
        name,
        spec,
        inputs,
        step.tensors,
        choice,
        predicted_s=step.time_s,
        low_s=min(step.time_s, min(sample.times_s) * scale),
        high_s=max(step.time_s, max(sample.times_s) * scale),
        kind=step.timed.kind,
        sample_ids=(str(sample.id),),
        starts_launch=step.starts_launch,
        in_place=step.in_place,
    )


def _tensors(graph: Graph, names: Sequence[str]) -> tuple[PlanTensor, ...]:
    return tuple(
        PlanTensor(name=name, shape=graph.types[name].shape, dtype=graph.types[name].dtype) for name in names
    )
