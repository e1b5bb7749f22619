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
from explorer.compose.moves import OUTSIDE_LAYOUT
from explorer.compose.options import Option, relayout_spec
from explorer.errors import SearchError
from explorer.measure.bench import Bench
from explorer.measure.jobs import JobBuilder
from explorer.search.ceilings import Ceilings
from explorer.search.layer_search import LayerField, SearchSettings
from explorer.terminal.progress import Progress
from microbench.store import Sample


@dataclass(frozen=True)
class SearchResult:
    """Working options of every layer and relayout, everything measured, and the model fitted to it."""

    options: Mapping[LayerSpec, tuple[Option, ...]]
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
    bench: Bench,
    settings: SearchSettings,
    progress: Progress,
) -> SearchResult:
    """Searches every distinct layer of a fused graph and the layout changes between them.

    Raises SearchError naming a layer that no algorithm applies to, or none of whose candidates works;
    BoardError and StoreError as the bench does.
    """
    run = _Search(jobs, model, bench, settings, progress)
    fields = _layer_fields(graph, jobs, settings)
    run.add(fields.values(), "First spread, layers")
    relayouts = {
        spec: LayerField(spec, jobs.algorithms.values(), jobs.target, settings)
        for spec in relayout_specs(graph, fields)
    }
    run.add(relayouts.values(), "First spread, layouts")
    rounds = run.refine()
    for node in graph.nodes:
        _require_option(node.name, fields[LayerSpec.of(graph, node)])
    every = (*fields.values(), *relayouts.values())
    return SearchResult(
        {field.spec: field.options for field in every},
        tuple(sample for field in every for sample in field.samples),
        model,
        sum(len(field.candidates) for field in every),
        rounds,
    )


def observations(samples: Iterable[Sample]) -> tuple[Observation, ...]:
    """Samples that worked and took time, as a cost model sees them."""
    return tuple(
        Observation(sample.candidate, sample.work, sample.time_s) for sample in samples if sample.is_timed
    )


def relayout_specs(graph: Graph, fields: Mapping[LayerSpec, LayerField]) -> tuple[LayerSpec, ...]:
    """Every layout change that some pair of neighbouring candidates would need, in the graph's order."""
    found: dict[LayerSpec, None] = {}
    nodes = [node for node in searched_nodes(graph) if LayerSpec.of(graph, node) in fields]
    for tensor in (*graph.inputs, *(node.output for node in graph.nodes)):
        sources = {OUTSIDE_LAYOUT} if tensor in graph.inputs else set()
        targets = {OUTSIDE_LAYOUT} if tensor in graph.outputs else set()
        for node in nodes:
            if tensor not in (*node.inputs, node.output):
                continue
            for candidate in fields[LayerSpec.of(graph, node)].candidates:
                if node.output == tensor:
                    sources.add(candidate.choice.output_layout)
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
        self, jobs: JobBuilder, model: CostModel, bench: Bench, settings: SearchSettings, progress: Progress
    ) -> None:
        self._jobs = jobs
        self._model = model
        self._bench = bench
        self._settings = settings
        self._progress = progress
        self._fields: list[LayerField] = []

    def add(self, fields: Iterable[LayerField], title: str) -> None:
        """Takes in more layers with a first spread of measurements each."""
        fresh = list(fields)
        self._progress.phase(title)
        for field in fresh:
            field.extend(self._predict, first=True)
        self._measure([(field, field.first_picks(self._predict)) for field in fresh])
        self._fields += fresh
        self._fit()

    def refine(self) -> int:
        """Rounds of measuring what is doubtful and fitting again; returns how many there were."""
        for number in range(1, self._settings.rounds + 1):
            ceilings = Ceilings(self._fields)
            picks = [(field, field.doubtful(self._predict, ceilings.of(field))) for field in self._fields]
            if not any(chosen for _, chosen in picks):
                return number - 1
            self._progress.phase(f"Round {number}")
            self._measure(picks)
            self._fit()
            for field, chosen in picks:
                if chosen:
                    field.extend(self._predict, first=False)
        return self._settings.rounds

    def _measure(self, picks: Sequence[tuple[LayerField, tuple[Candidate, ...]]]) -> None:
        samples = iter(self._bench.samples([candidate for _, chosen in picks for candidate in chosen]))
        for field, chosen in picks:
            field.record([next(samples) for _ in chosen])

    def _fit(self) -> None:
        self._model.fit(observations(sample for field in self._fields for sample in field.samples))

    def _predict(self, candidates: Sequence[Candidate]) -> Sequence[Prediction]:
        return self._model.predict([(candidate, self._jobs.work(candidate)) for candidate in candidates])


def _layer_fields(graph: Graph, jobs: JobBuilder, settings: SearchSettings) -> dict[LayerSpec, LayerField]:
    fields: dict[LayerSpec, LayerField] = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        if spec not in fields:
            fields[spec] = LayerField(spec, jobs.algorithms.values(), jobs.target, settings)
        if not fields[spec].algorithms:
            raise SearchError(
                f"layer {node.name!r} ({type(node.op).__name__}, output {node_shape(spec)}): no algorithm "
                f"applies to it on {jobs.target.name}; `explore algorithms` lists what there is"
            )
    for spec in dict.fromkeys(LayerSpec.of(graph, chain.node) for chain in chain_nodes(graph)):
        chained = LayerField(spec, jobs.algorithms.values(), jobs.target, settings.for_chains)
        if chained.algorithms:
            fields[spec] = chained
    return fields


def node_shape(spec: LayerSpec) -> str:
    """A layer's output shape for messages."""
    return "x".join(map(str, spec.output.shape))


def _require_option(name: str, field: LayerField) -> None:
    if field.options:
        return
    reasons = sorted({f"{s.candidate.choice.algorithm}: {s.message}" for s in field.samples})
    listed = "; ".join(reasons[:3]) or "no point of any space has a kernel"
    raise SearchError(
        f"layer {name!r} ({type(field.spec.op).__name__}, output {node_shape(field.spec)}): none of "
        f"{len(field.samples)} measured candidates works ({listed})"
    )
