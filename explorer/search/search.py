"""The search: predict all candidates, measure the doubtful ones, refit, until none are left.

Decisions depend on the graph, the settings and the measured times alone; the store only saves the time
of taking a measurement again. A run that was interrupted therefore goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from codegen.chains import chain_nodes
from codegen.graph import Graph, LayerSpec, Node
from codegen.schedule import Candidate
from cost_models.model import CostModel, Observation, Prediction
from explorer.compose.problem import OUTSIDE_LAYOUT
from explorer.compose.timed_candidates import TimedCandidate, relayout_spec
from explorer.errors import SearchError
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer
from explorer.search.ceilings import Ceilings
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.terminal.progress import Progress
from microbench.store import Sample


@dataclass(frozen=True)
class SearchResult:
    """Working timed candidates of every layer and relayout, everything measured, and the model fitted to it."""

    timed_candidates: Mapping[LayerSpec, tuple[TimedCandidate, ...]]
    samples: tuple[Sample, ...]
    model: CostModel
    candidates: int
    rounds: int

    @property
    def observations(self) -> tuple[Observation, ...]:
        """The samples a cost model learns from."""
        return observations(self.samples)


def search(
    graph: Graph,
    jobs: JobBuilder,
    model: CostModel,
    measurer: Measurer,
    settings: SearchSettings,
    progress: Progress,
    prior: Sequence[Observation] = (),
) -> SearchResult:
    """Searches every distinct layer of a fused graph and the layout changes between them.

    `prior`: what other networks and boards taught, for the cost model to begin with.

    Raises SearchError naming a layer that no algorithm applies to, or none of whose candidates works;
    BoardError and StoreError as the measurer does.
    """
    run = _Search(jobs, model, measurer, settings, progress, prior)
    layers = _layer_searches(graph, jobs, settings)
    run.add(layers.values(), "First spread, layers")
    relayouts = {
        spec: LayerSearch(spec, jobs.algorithms.values(), jobs.target, settings)
        for spec in relayout_specs(graph, layers)
    }
    run.add(relayouts.values(), "First spread, layouts")
    rounds = run.refine()
    for node in graph.nodes:
        _require_timed(node.name, layers[LayerSpec.of(graph, node)])
    every = (*layers.values(), *relayouts.values())
    return SearchResult(
        {layer.spec: layer.timed_candidates for layer in every},
        tuple(sample for layer in every for sample in layer.samples),
        model,
        sum(len(layer.candidates) for layer in every),
        rounds,
    )


def observations(samples: Iterable[Sample]) -> tuple[Observation, ...]:
    """Samples that worked and took time, as a cost model sees them."""
    return tuple(
        Observation(sample.candidate, sample.work, sample.time_s) for sample in samples if sample.is_timed
    )


def relayout_specs(graph: Graph, layers: Mapping[LayerSpec, LayerSearch]) -> tuple[LayerSpec, ...]:
    """Every layout change that some pair of neighbouring candidates would need, in the graph's order."""
    found: dict[LayerSpec, None] = {}
    nodes = [node for node in searched_nodes(graph) if LayerSpec.of(graph, node) in layers]
    for tensor in (*graph.inputs, *(tensor for node in graph.nodes for tensor in node.outputs)):
        sources = {OUTSIDE_LAYOUT} if tensor in graph.inputs else set()
        targets = {OUTSIDE_LAYOUT} if tensor in graph.outputs else set()
        for node in nodes:
            if tensor not in (*node.inputs, *node.outputs):
                continue
            for candidate in layers[LayerSpec.of(graph, node)].candidates:
                given = zip(node.outputs, candidate.choice.output_layouts, strict=True)
                sources |= {layout for name, layout in given if name == tensor}
                pairs = zip(node.inputs, candidate.choice.input_layouts, strict=True)
                targets |= {layout for name, layout in pairs if name == tensor}
        for source in sorted(sources):
            for target in sorted(targets - {source}):
                found[relayout_spec(graph.types[tensor], source, target)] = None
    return tuple(found)


def searched_nodes(graph: Graph) -> tuple[Node, ...]:
    """The graph's nodes and the chains of them."""
    return (*graph.nodes, *(chain.node for chain in chain_nodes(graph)))


class _Search:
    """The loop over all layers at once: one fit serves them all."""

    def __init__(
        self,
        jobs: JobBuilder,
        model: CostModel,
        measurer: Measurer,
        settings: SearchSettings,
        progress: Progress,
        prior: Sequence[Observation],
    ) -> None:
        self._jobs = jobs
        self._model = model
        self._measurer = measurer
        self._settings = settings
        self._progress = progress
        self._layers: list[LayerSearch] = []
        self._predictions: dict[str, Prediction] = {}  # of the model as it is, by hash
        self._prior = prior
        if prior:
            self._fit()

    def add(self, layers: Iterable[LayerSearch], title: str) -> None:
        """Takes in more layers with a first spread of measurements each."""
        fresh = list(layers)
        self._progress.phase(title)
        for layer in fresh:
            layer.extend(self._predict, first=True)
        self._measure([(layer, layer.first_picks(self._predict)) for layer in fresh])
        self._layers += fresh
        self._fit()

    def refine(self) -> int:
        """Rounds of measuring what is doubtful and fitting again; returns how many there were."""
        for number in range(1, self._settings.rounds + 1):
            ceilings = Ceilings(self._layers)
            picks = [(layer, layer.doubtful(self._predict, ceilings.of(layer))) for layer in self._layers]
            if not any(chosen for _, chosen in picks):
                return number - 1
            self._progress.phase(f"Round {number}")
            self._measure(picks)
            self._fit()
            for layer, chosen in picks:
                if chosen:
                    layer.extend(self._predict, first=False)
        return self._settings.rounds

    def _measure(self, picks: Sequence[tuple[LayerSearch, tuple[Candidate, ...]]]) -> None:
        samples = iter(self._measurer.samples([candidate for _, chosen in picks for candidate in chosen]))
        for layer, chosen in picks:
            layer.record([next(samples) for _ in chosen])

    def _fit(self) -> None:
        self._predictions = {}
        own = observations(sample for layer in self._layers for sample in layer.samples)
        self._model.fit(own, self._prior)

    def _predict(self, candidates: Sequence[Candidate]) -> Sequence[Prediction]:
        new = {c.hash: c for c in candidates if c.hash not in self._predictions}
        found = self._model.predict([(candidate, self._jobs.work(candidate)) for candidate in new.values()])
        self._predictions.update(zip(new, found, strict=True))
        return [self._predictions[candidate.hash] for candidate in candidates]


def _layer_searches(graph: Graph, jobs: JobBuilder, settings: SearchSettings) -> dict[LayerSpec, LayerSearch]:
    layers: dict[LayerSpec, LayerSearch] = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        if spec not in layers:
            layers[spec] = LayerSearch(spec, jobs.algorithms.values(), jobs.target, settings)
        if not layers[spec].algorithms:
            raise SearchError(
                f"layer {node.name!r} ({type(node.op).__name__}, output {node_shape(spec)}): no algorithm "
                f"applies to it on {jobs.target.name}; `explore algorithms` lists what there is"
            )
    for spec in dict.fromkeys(LayerSpec.of(graph, chain.node) for chain in chain_nodes(graph)):
        chained = LayerSearch(spec, jobs.algorithms.values(), jobs.target, settings.for_chains)
        if chained.algorithms:
            layers[spec] = chained
    return layers


def node_shape(spec: LayerSpec) -> str:
    """A layer's output shape for messages."""
    return ", ".join("x".join(map(str, tensor.shape)) for tensor in spec.outputs)


def _require_timed(name: str, layer: LayerSearch) -> None:
    if layer.timed_candidates:
        return
    reasons = sorted({f"{s.candidate.choice.algorithm}: {s.message}" for s in layer.samples})
    listed = "; ".join(reasons[:3]) or "no point of any space has a kernel"
    raise SearchError(
        f"layer {name!r} ({type(layer.spec.op).__name__}, output {node_shape(layer.spec)}): none of "
        f"{len(layer.samples)} measured candidates works ({listed})"
    )
