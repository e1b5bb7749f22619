"""What a search knows: every layer with its candidates and samples, and a cost model fitted to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from codegen.chains import chain_nodes
from codegen.graph import Graph, LayerSpec, Node
from codegen.schedule import Candidate, Work
from cost_models.model import CostModel, Observation, Prediction
from cost_models.roofline import RooflineModel
from explorer.compose.compose import compose
from explorer.compose.steps import Overheads
from explorer.compose.timed_candidates import TimedCandidates
from explorer.errors import CompositionError
from explorer.measure.jobs import JobBuilder
from explorer.measure.programs import Programs
from explorer.search.keeper import Keeper
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.search.request import Request
from explorer.search.restrictions import Admission, Admits
from explorer.search.searched_layers import (
    Layers,
    layer_search,
    layer_searches,
    relayout_specs,
    require_timed,
)
from microbench.profile import DeviceProfile
from microbench.store import Sample


@dataclass(frozen=True)
class Searched:
    """What is searched: a fused graph, what makes its candidates' programs, what changes of engines cost;
    `admits`: which candidates there are; `keeper`: where digests of programs and rounds outlive the search; `begin`: of
    a measurer that may take a candidate before the whole round is known. `at_once`: how many candidates are measured in
    the time of one. `reads_clock`: as their board says.
    """

    graph: Graph
    jobs: JobBuilder
    profile: DeviceProfile
    overheads: Overheads = field(default_factory=Overheads)
    admits: Admits = lambda candidate: True
    keeper: Keeper | None = None
    begin: Callable[[Candidate], None] = lambda candidate: None
    at_once: int = 1
    reads_clock: bool = False

    @cached_property
    def programs(self) -> Programs:
        """What tells candidates of one program apart."""
        return Programs(self.jobs, self.keeper)


class SearchState:
    """Decisions are made from this alone. `layers`: of the graph's distinct layers and chains; `relayouts`: of the
    changes of layout between their candidates; both in the graph's order. `occurrences`: how often the graph has
    each of its layers. `prior`: what others taught the model.

    Raises SearchError naming a layer that no algorithm applies to.
    """

    def __init__(
        self,
        searched: Searched,
        model: CostModel,
        settings: SearchSettings,
        prior: Sequence[Observation] = (),
    ) -> None:
        self.graph = searched.graph
        self.overheads = searched.overheads
        self.at_once = searched.at_once
        self.reads_clock = searched.reads_clock
        self.occurrences = Counter(LayerSpec.of(self.graph, node) for node in self.graph.nodes)
        self._model = model
        self._is_behind = bool(prior)  # the model, of what is known
        self._jobs = searched.jobs
        self._programs = searched.programs
        self._begin = searched.begin
        self._roofline = RooflineModel(searched.profile)
        self.prior = prior
        self._predictions: dict[str, Prediction] = {}  # of the model as it is, by hash
        self.best_s: float | None = None  # of the fastest plan that a strategy has composed, to be told
        self.course: list[tuple[int, float]] = []  # before each round: how many were measured, and that time
        self._settings = settings
        self._admission = Admission(settings.restrictions, self.graph, self._jobs.target, searched.admits)
        admission = self._admission
        self.layers: dict[LayerSpec, LayerSearch] = {}
        self.relayouts: Layers = {}
        self.layers = layer_searches(self.graph, self._jobs, settings, admission)
        self._extend(self.layers.values())
        self.relayouts = {
            spec: layer_search(spec, self._jobs, settings, admission)
            for spec in relayout_specs(self.graph, self.layers)
        }
        self._extend(self.relayouts.values())

    @property
    def model(self) -> CostModel:
        """Fitted to all that is known, as soon as somebody asks for it."""
        if self._is_behind:
            self._model.fit(observations(self.samples), self.prior)
            self._is_behind = False
        return self._model

    @property
    def every(self) -> tuple[LayerSearch, ...]:
        """Layers, then changes of layout."""
        return (*self.layers.values(), *self.relayouts.values())

    @property
    def required(self) -> tuple[LayerSearch, ...]:
        """The layers that no network does without."""
        return tuple(self.layers[spec] for spec in self.occurrences)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What was measured, layer by layer."""
        return tuple(sample for layer in self.every for sample in layer.samples)

    @property
    def timed_candidates(self) -> TimedCandidates:
        """What works, layer by layer."""
        return {layer.spec: layer.timed_candidates for layer in self.every}

    def layer_of(self, candidate: Candidate) -> LayerSearch:
        """The layer that a candidate computes."""
        spec = candidate.spec
        return self.layers[spec] if spec in self.layers else self.relayouts[spec]

    def consider(self, spec: LayerSpec) -> LayerSearch | None:
        """Takes in layers that are computed together, where some algorithm does; None where none does."""
        if spec not in self.layers:
            found = layer_search(spec, self._jobs, self._settings.for_chains, self._admission)
            if not found.algorithms:
                return None
            self.layers[spec] = found
        return self.layers[spec]

    def computes(self, spec: LayerSpec) -> bool:
        """Whether some algorithm does."""
        return any(one.applies(spec, self._jobs.target) for one in self._jobs.algorithms.values())

    def work(self, candidate: Candidate) -> Work:
        """What a candidate asks of the machine."""
        return self._jobs.work(candidate)

    def record(self, samples: Iterable[Sample]) -> None:
        """Takes in what the measurer found out."""
        if self.best_s is not None:
            self.course.append((len(self.samples), self.best_s))
        for sample in samples:
            self.layer_of(sample.candidate).record((sample,))
        self._predictions, self._is_behind = {}, True

    def predict(self, candidates: Sequence[Candidate]) -> Sequence[Prediction]:
        """What the model says, fitted to all that is known."""
        new = {c.hash: c for c in candidates if c.hash not in self._predictions}
        if new:
            pairs = [(candidate, self._jobs.work(candidate)) for candidate in new.values()]
            self._predictions.update(zip(new, self.model.predict(pairs), strict=True))
        return [self._predictions[candidate.hash] for candidate in candidates]

    def recall(self, predictions: Mapping[str, Prediction]) -> None:
        """What the model said in another run that knew the same, by the candidate's hash: it need not be fitted."""
        self._predictions.update(predictions)

    def roofline_s(self, candidates: Sequence[Candidate]) -> Sequence[float]:
        """What no learning says, in seconds."""
        found = self._roofline.predict([(candidate, self._jobs.work(candidate)) for candidate in candidates])
        return [prediction.time_s for prediction in found]

    def decide(self, request: Request) -> Request:
        """Told as soon as it is certain that a strategy will ask for it: boards are free while it looks for others."""
        self._begin(request.candidate)
        return request

    def program(self, candidate: Candidate) -> str:
        """A digest of the candidate's program: those of a layer with equal ones are one to their neighbours too."""
        return self._programs.digest(candidate)

    def measured_programs(self, layer: LayerSearch) -> set[str]:
        """Of all its samples."""
        return {self._programs.digest(sample.candidate) for sample in layer.samples}

    def keep_programs(self) -> None:
        """Lets the digests of programs that were asked for outlive the search; raises StoreError."""
        self._programs.keep()

    def has_plan(self) -> bool:
        """Whether a plan can be made of what was measured."""
        try:
            compose(self.graph, self.timed_candidates, self.overheads)
        except CompositionError:
            return False
        return True

    def require_timed(self) -> None:
        """Raises SearchError naming a layer none of whose candidates works, and none of a chain that it is part of."""
        covered = {
            index
            for chain in chain_nodes(self.graph)
            if self._is_timed(chain.node)
            for index in range(chain.first, chain.last + 1)
        }
        for index, node in enumerate(self.graph.nodes):
            if index not in covered:
                require_timed(node.name, self.layers[LayerSpec.of(self.graph, node)])

    def _is_timed(self, node: Node) -> bool:
        layer = self.layers.get(LayerSpec.of(self.graph, node))
        return layer is not None and bool(layer.timed_candidates)

    def _extend(self, layers: Iterable[LayerSearch]) -> None:
        for layer in layers:
            layer.extend(self.predict, first=True)


def observations(samples: Iterable[Sample]) -> tuple[Observation, ...]:
    """Samples that worked and took time, as a cost model sees them."""
    return tuple(
        Observation(sample.candidate, sample.work, sample.time_s) for sample in samples if sample.is_timed
    )
