"""A search whose times are a formula, and a board whose times in a network are another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from codegen.algorithm import algorithms
from codegen.graph import LayerSpec
from codegen.plan import Plan, PlanStep, read_plan
from codegen.schedule import Candidate
from cost_models.model import Prediction
from cost_models.roofline import RooflineModel
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidate
from explorer.measure.jobs import JobBuilder
from explorer.plans.network import load_network
from explorer.plans.searched_network import SearchedNetwork
from explorer.rehearse.rehearsal import timed_steps
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.search.search import SearchResult
from explorer.search.searched_layers import relayout_specs
from microbench.board import BundleRun, Fingerprint
from microbench.profile import load_profile
from microbench.store import Sample
from tests.explorer.tiny import write_tiny_model

Law = Callable[[PlanStep], float]
CPU = "x86-64-v4"  # whatever this machine's is: nothing is compiled
WIDEST = 64  # so many candidates of an algorithm are known


def searched_tiny_network(directory: Path, *, threads: int = 1, channels: int = 8) -> SearchedNetwork:
    """The tiny network on some CPU, so many threads for every layer that can be shared out; times are
    the roofline's, no two of a layer equal.
    """
    profile = load_profile("host")
    target = replace(profile.target(), cpu=CPU, cores=threads)
    network = load_network(write_tiny_model(directory / "tiny.onnx", channels=channels), {}, "tiny")
    fingerprint = Fingerprint("fake", profile.hash, 0.0, "fake 1")
    model = RooflineModel(profile)
    jobs = JobBuilder(target, 0, algorithms())

    def predict(candidates: Sequence[Candidate]) -> Sequence[Prediction]:
        return model.predict([(candidate, jobs.work(candidate)) for candidate in candidates])

    own = [algorithm for algorithm in algorithms().values() if algorithm.engine == "cpu"]
    settings = SearchSettings(enumerate_limit=WIDEST, first_trials=WIDEST)

    def layer(spec: LayerSpec) -> LayerSearch:
        found = LayerSearch(spec, own, target, settings)
        found.extend(predict, first=True)
        return found

    fields = {LayerSpec.of(network.graph, node): None for node in network.graph.nodes}
    layers = {spec: layer(spec) for spec in fields}
    layers |= {spec: layer(spec) for spec in relayout_specs(network.graph, layers)}
    samples: list[Sample] = []
    timed_candidates: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
    for spec, found in layers.items():
        most = max((candidate.choice.threads for candidate in found.candidates), default=1)
        ways = [candidate for candidate in found.candidates if candidate.choice.threads == most]
        for place, (candidate, prediction) in enumerate(zip(ways, predict(ways), strict=True)):
            time_s = prediction.time_s * (1 + 0.001 * place)
            work = jobs.work(candidate)
            samples.append(Sample(candidate, fingerprint, "host", "ok", (time_s,), work, id=len(samples) + 1))
        timed_candidates[spec] = tuple(
            TimedCandidate(s.candidate, s.time_s, s.kind, s.id) for s in samples if s.candidate.spec == spec
        )
    result = SearchResult(timed_candidates, tuple(samples), model, (), len(samples), 1)
    return SearchedNetwork(network, profile, target, fingerprint, Overheads(), 0, result, timed_candidates)


@dataclass
class Stage:
    """Runs bundles without running them: a step takes what the law says. `complaint`: what is wrong with outputs."""

    law: Law
    complaint: Callable[[Plan], str] = lambda _: ""
    plans: list[Plan] = field(default_factory=list)

    def perform(self, bundle: Path, plan: Plan) -> tuple[BundleRun, str]:
        """As `explorer.rehearse.rehearsal.Perform`."""
        assert read_plan(bundle / "plan.json") == plan and (bundle / "model.c").is_file()
        self.plans.append(plan)
        times_s = {step.name: self.law(step) for step in timed_steps(plan)}
        kinds = dict.fromkeys(times_s, "host")
        total_s = sum(times_s.values())
        return BundleRun((), (total_s,), total_s, "host", times_s, kinds), self.complaint(plan)  # type: ignore[arg-type]


def candidate_of(step: PlanStep) -> Candidate:
    """What a step runs."""
    return Candidate(step.spec, step.choice)
