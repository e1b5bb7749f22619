"""A plan without a measurement: the roofline's best choices, composed exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from codegen.algorithm import algorithm_named, algorithms
from codegen.engine_registry import engine_named, host_engines
from codegen.graph import LayerSpec
from codegen.plan import Plan
from codegen.schedule import Candidate, Work
from codegen.target import Target, WeightType
from cost_models.model import Prediction
from cost_models.roofline import RooflineModel
from explorer.compose.compose import Limits
from explorer.compose.on_board import compose_on
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import Interface, TimedCandidate
from explorer.errors import SearchError
from explorer.plans.network import Network
from explorer.plans.planning import build_plan
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.search.roofline_ranking import ENUMERATED
from explorer.search.searched_layers import relayout_specs
from microbench.board import Fingerprint
from microbench.profile import DeviceProfile
from microbench.store import Sample

SEED = 0


def modelled_plan(
    network: Network,
    profile: DeviceProfile,
    threads: int = 1,
    engines: Sequence[str] | None = None,
    preferred: str = "",
    weights: WeightType = "float32",
) -> Plan:
    """The best composition of candidates for at most `threads` threads by modelled times; kind `modelled`.

    `engines` by name, None: those that run on the CPU. `preferred`: one of them that computes whatever it can, however
    long it takes. `weights`: the type that they may be stored as. Raises SearchError naming a layer that no algorithm
    of theirs computes, CompositionError where layouts cannot be joined.
    """
    chosen = host_engines() if engines is None else tuple(engines)
    maker = _Maker(network, profile, replace(profile.target(), weights=weights), threads, chosen, preferred)
    timed_candidates = maker.timed_candidates()
    limits = Limits(engines=chosen, threads=threads)
    launches = any(engine_named(name).launches for name in chosen)
    overheads = Overheads(profile.v3d_value("launch_overhead_s")) if launches else Overheads()
    composition = compose_on(network.graph, timed_candidates, overheads, limits, profile.target())
    plan = build_plan(
        network, composition, maker.samples, profile, maker.fingerprint, SEED, composition.total_s
    )
    steps = tuple(step.model_copy(update={"sample_ids": ()}) for step in plan.steps)
    return plan.model_copy(update={"steps": steps})


class _Maker:
    """Timed candidates of every layer and layout change, and the modelled times as what `build_plan` reads."""

    def __init__(
        self,
        network: Network,
        profile: DeviceProfile,
        target: Target,
        threads: int,
        engines: Sequence[str],
        preferred: str = "",
    ) -> None:
        self.fingerprint = Fingerprint(f"model of {profile.name}", profile.hash, 0.0, "no board")
        self.samples: dict[int, Sample] = {}
        self._graph = network.graph
        self._profile = profile
        self._target = target
        self._threads = threads
        self._engines = engines
        self._preferred = preferred
        self._model = RooflineModel(profile)

    def timed_candidates(self) -> Mapping[LayerSpec, tuple[TimedCandidate, ...]]:
        layers: dict[LayerSpec, LayerSearch] = {}
        found: dict[LayerSpec, tuple[TimedCandidate, ...]] = {}
        for node in self._graph.nodes:
            spec = LayerSpec.of(self._graph, node)
            if spec not in layers:
                layers[spec] = self._layer_search(spec)
                found[spec] = tuple(self._best(layers[spec].candidates))
            if not found[spec]:
                raise SearchError(f"layer {node.name!r}: no algorithm on {self._profile.name!r}")
        for spec in relayout_specs(self._graph, layers):
            found[spec] = tuple(self._best(self._layer_search(spec).candidates))
        return found

    def _layer_search(self, spec: LayerSpec) -> LayerSearch:
        own = [algorithm for algorithm in algorithms().values() if algorithm.engine in self._engines]
        first = [a for a in own if a.engine == self._preferred and a.applies(spec, self._target)]
        layer = LayerSearch(
            spec, first or own, self._target, SearchSettings(seed=SEED, enumerate_limit=ENUMERATED)
        )
        layer.extend(self._predict, first=True)
        return layer

    def _best(self, candidates: Iterable[Candidate]) -> Iterable[TimedCandidate]:
        """The fastest candidate of each interface; of equal ones that with the fewest instructions, then the first."""
        best: dict[Interface, tuple[float, float, int, Candidate]] = {}
        for place, candidate in enumerate(candidates):
            if candidate.choice.threads <= self._threads:
                (prediction,) = self._predict([candidate])
                work = self._work(candidate)
                entry = (prediction.time_s, work.instructions, place, candidate)
                interface = Interface.of(candidate)
                best[interface] = min(best.get(interface, entry), entry)
        for time_s, _, _, candidate in best.values():
            yield self._option(candidate, time_s)

    def _option(self, candidate: Candidate, time_s: float) -> TimedCandidate:
        number, work = len(self.samples) + 1, self._work(candidate)
        self.samples[number] = Sample(
            candidate, self.fingerprint, "modelled", "ok", (time_s,), work, id=number
        )
        return TimedCandidate(candidate, time_s, "modelled", number, int(work.workspace_bytes))

    def _predict(self, candidates: Sequence[Candidate]) -> Sequence[Prediction]:
        return self._model.predict([(candidate, self._work(candidate)) for candidate in candidates])

    def _work(self, candidate: Candidate) -> Work:
        return algorithm_named(candidate.choice.algorithm).work(
            candidate.spec, self._target, candidate.choice
        )
