"""The distinct layers of a graph with their candidates, and the changes of layout between these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from codegen.chains import chain_nodes
from codegen.graph import Graph, LayerSpec, Node
from codegen.schedule import Candidate
from explorer.compose.problem import OUTSIDE_LAYOUT
from explorer.compose.timed_candidates import relayout_spec
from explorer.errors import SearchError
from explorer.measure.jobs import JobBuilder
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.search.restrictions import Admission

Layers = Mapping[LayerSpec, LayerSearch]


class Offering(Protocol):
    """Whatever has candidates of a layer."""

    @property
    def candidates(self) -> tuple[Candidate, ...]: ...


def layer_searches(
    graph: Graph, jobs: JobBuilder, settings: SearchSettings, admission: Admission
) -> dict[LayerSpec, LayerSearch]:
    """Of every distinct layer, then of every chain that some algorithm computes; of spaces that are too large to
    enumerate nothing is known yet.

    Raises SearchError naming a layer that no algorithm applies to, ChoiceError for one that restrictions leave none.
    """
    layers: dict[LayerSpec, LayerSearch] = {}
    for node in graph.nodes:
        spec = LayerSpec.of(graph, node)
        if spec not in layers:
            layers[spec] = layer_search(spec, jobs, settings, admission)
        if not layers[spec].algorithms:
            raise SearchError(
                f"layer {node.name!r} ({type(node.op).__name__}, output {node_shape(spec)}): no algorithm "
                f"applies to it on {jobs.target.name}; `explore algorithms` lists what there is"
            )
    for spec in dict.fromkeys(LayerSpec.of(graph, chain.node) for chain in chain_nodes(graph)):
        chained = layer_search(spec, jobs, settings.for_chains, admission)
        if chained.algorithms:
            layers[spec] = chained
    return layers


def layer_search(
    spec: LayerSpec, jobs: JobBuilder, settings: SearchSettings, admission: Admission
) -> LayerSearch:
    """One layer, of the candidates that restrictions admit."""
    algorithms = jobs.algorithms.values()
    found = LayerSearch(spec, algorithms, jobs.target, settings, admission.of(spec))
    if not any(pool.is_open for pool in found.pools):
        admission.require(
            spec, found.candidates, lambda: LayerSearch(spec, algorithms, jobs.target, settings).candidates
        )
    return found


def relayout_specs(graph: Graph, layers: Mapping[LayerSpec, Offering]) -> tuple[LayerSpec, ...]:
    """Every layout change that some pair of neighbouring candidates would need, in the graph's order."""
    found: dict[LayerSpec, None] = {}
    touching: dict[str, list[tuple[Node, Offering]]] = {}
    for node in searched_nodes(graph):
        offering = layers.get(LayerSpec.of(graph, node))
        if offering is not None:
            for tensor in dict.fromkeys((*node.inputs, *node.outputs)):
                touching.setdefault(tensor, []).append((node, offering))
    for tensor in (*graph.inputs, *(tensor for node in graph.nodes for tensor in node.outputs)):
        sources = {OUTSIDE_LAYOUT} if tensor in graph.inputs else set()
        targets = {OUTSIDE_LAYOUT} if tensor in graph.outputs else set()
        for node, offering in touching.get(tensor, ()):
            for candidate in offering.candidates:
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


def node_shape(spec: LayerSpec) -> str:
    """A layer's output shape for messages."""
    return ", ".join("x".join(map(str, tensor.shape)) for tensor in spec.outputs)


def require_timed(name: str, layer: LayerSearch) -> None:
    """Raises SearchError where none of the layer's candidates works."""
    if layer.timed_candidates:
        return
    reasons = sorted({f"{s.candidate.choice.algorithm}: {s.message}" for s in layer.samples})
    listed = "; ".join(reasons[:3]) or "no point of any space has a kernel"
    raise SearchError(
        f"layer {name!r} ({type(layer.spec.op).__name__}, output {node_shape(layer.spec)}): none of "
        f"{len(layer.samples)} measured candidates works ({listed})"
    )
