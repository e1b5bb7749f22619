"""From a composition to the plan file's model; equal compositions give equal plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from codegen.graph import Graph, LayerSpec
from codegen.layout import layout_named
from codegen.plan import Plan, PlanStep, PlanTensor, buffer_name, relayout_name
from explorer.compose import ComposedStep, Composition
from explorer.model import Network
from explorer.options import relayout_spec
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
    cpu_only_s: float,
) -> Plan:
    """The plan of a composition. A step's prediction is its own measurement, its interval that of the repeats;
    a view costs nothing.

    The total adds the overhead of every launch. `samples` are those the composition rests on, by id.
    """
    graph = network.graph
    steps = tuple(_step(graph, step, samples[step.option.sample_id]) for step in composition.steps)
    launches_s = composition.total_s - sum(step.time_s for step in composition.steps)
    return Plan(
        model_name=network.name,
        model_sha256=network.sha256,
        inputs=_tensors(graph, graph.inputs),
        outputs=_tensors(graph, graph.outputs),
        device=profile.name,
        profile_hash=profile.hash,
        board_fingerprint=fingerprint.hash,
        seed=seed,
        versions={DISTRIBUTION: version(DISTRIBUTION), "board": fingerprint.software},
        steps=steps,
        predicted_s=composition.total_s,
        low_s=min(composition.total_s, sum(step.low_s for step in steps) + launches_s),
        high_s=max(composition.total_s, sum(step.high_s for step in steps) + launches_s),
        peak_activation_bytes=peak_activation_bytes(graph, steps),
        cpu_only_predicted_s=cpu_only_s,
    )


def peak_activation_bytes(graph: Graph, steps: Sequence[PlanStep]) -> int:
    """The largest sum of buffers held at one time, over all steps; inputs and outputs included.

    A buffer of the CPU is held while its value is still needed. One that the QPUs touch is held for good: within a
    launch no address may be used twice (see `codegen.qpu.link`).
    """
    sizes = {buffer_name(name, "nchw"): graph.types[name].size_bytes for name in graph.inputs}
    last_use = {buffer_name(name, "nchw"): len(steps) for name in graph.outputs}
    held: set[str] = set()
    for index, step in enumerate(steps):
        layout = layout_named(step.choice.output_layout)
        sizes[step.writes] = layout.size_bytes(graph.types[step.output])
        for buffer in step.reads:
            last_use[buffer] = max(index, last_use.get(buffer, 0))
        if step.choice.processor == "qpu":
            held |= {*step.reads, step.writes}
    live = held | {buffer_name(name, "nchw") for name in graph.inputs}
    peak = 0
    for index, step in enumerate(steps):
        live.add(step.writes)
        peak = max(peak, sum(sizes[buffer] for buffer in live))
        live = held | {buffer for buffer in live if last_use.get(buffer, -1) > index}
    return peak


def step_name(step: ComposedStep) -> str:
    """The node's name, or that of the layout change."""
    if step.node is not None:
        return step.node.name
    return relayout_name(step.tensor, step.option.candidate.choice.output_layout)


def _step(graph: Graph, step: ComposedStep, sample: Sample) -> PlanStep:
    choice = step.option.candidate.choice
    if step.node is None:
        spec = relayout_spec(graph.types[step.tensor], choice.input_layouts[0], choice.output_layout)
        inputs: tuple[str, ...] = (step.tensor,)
    else:
        spec, inputs = LayerSpec.of(graph, step.node), step.node.inputs
    return PlanStep.of(
        step_name(step),
        spec,
        inputs,
        step.tensor,
        choice,
        predicted_s=step.time_s,
        low_s=0.0 if step.is_view else min(sample.times_s),
        high_s=0.0 if step.is_view else max(sample.times_s),
        kind=step.option.kind,
        sample_ids=(str(sample.id),),
    )


def _tensors(graph: Graph, names: Sequence[str]) -> tuple[PlanTensor, ...]:
    return tuple(PlanTensor(name=name, shape=graph.types[name].shape) for name in names)
