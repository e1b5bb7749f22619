"""Ground truth for searches and cost models: every candidate of a network's layers, measured into a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from codegen.algorithm import algorithms
from codegen.graph import Graph, LayerSpec
from codegen.schedule import Candidate
from explorer.errors import UsageError
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer, overheads_of
from explorer.measure.workers import Workers
from explorer.pipeline.boards import alike, close, open_board_of
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.settings import RunSettings
from explorer.terminal.progress import Progress
from microbench.store import Sample, Store

SMALL_SPACE = 24  # candidates: of a space that has no more, all are measured
HASH_DIGITS = 8  # of a candidate's hash: enough for shares

REPEATS = 5  # where a clock is read; elsewhere a time is the same every time


@dataclass(frozen=True)
class LayerTruth:
    """A layer with samples of its candidates; times are those within a launch, as a search sees them."""

    name: str
    spec: LayerSpec
    samples: tuple[Sample, ...]

    @property
    def timed(self) -> tuple[Sample, ...]:
        """The samples that worked and took time."""
        return tuple(sample for sample in self.samples if sample.is_timed)

    @property
    def best_s(self) -> float | None:
        """The shortest time, in seconds; None where no candidate works."""
        return min((sample.time_s for sample in self.timed), default=None)


def distinct_layers(graph: Graph, words: Sequence[str] = ()) -> Mapping[str, LayerSpec]:
    """The layers of a fused graph by the name of the first node of each, those whose names contain one of the words.

    Raises UsageError where no name does.
    """
    found: dict[LayerSpec, str] = {}
    for node in graph.nodes:
        found.setdefault(LayerSpec.of(graph, node), node.name)
    chosen = {name: spec for spec, name in found.items() if not words or any(word in name for word in words)}
    if not chosen:
        raise UsageError(
            f"no layer's name contains {' or '.join(map(repr, words))}; there are: {', '.join(found.values())}"
        )
    return chosen


def all_candidates(spec: LayerSpec, jobs: JobBuilder, limit: int) -> tuple[Candidate, ...]:
    """Every candidate of a layer's spaces of at most `limit` points; larger spaces have none here."""
    settings = SearchSettings(enumerate_limit=limit)
    return LayerSearch(spec, jobs.algorithms.values(), jobs.target, settings).candidates


def chosen_share(candidates: Sequence[Candidate], share: float) -> tuple[Candidate, ...]:
    """Of each algorithm with more than SMALL_SPACE candidates about that share, told by their hashes, of others all.

    A smaller share is part of a larger one, and no candidate's place depends on another's.
    """
    sizes = Counter(candidate.choice.algorithm for candidate in candidates)
    return tuple(
        candidate
        for candidate in candidates
        if sizes[candidate.choice.algorithm] <= SMALL_SPACE
        or int(candidate.hash[:HASH_DIGITS], 16) < share * 16**HASH_DIGITS
    )


def measured_layers(
    settings: RunSettings, layers: Mapping[str, LayerSpec], limit: int, share: float, progress: Progress
) -> Iterator[LayerTruth]:
    """Each layer as soon as the share of its candidates is in the store of the settings; what it has is not measured
    again.

    Raises BoardError and StoreError; no sample that was taken is lost then, and the next call goes on.
    """
    first = open_board_of(settings)
    with Workers(alike(first, settings), close) as boards, Store.open(settings.store) as store:
        fingerprint = boards.call(lambda board: board.fingerprint())
        jobs = JobBuilder(
            first.target, settings.search.seed, algorithms(), REPEATS if first.reads_clock else 1
        )
        measurer = Measurer(boards, jobs, store, fingerprint, progress, overheads_of(first).launch_s)
        for name, spec in layers.items():
            progress.phase(name)
            chosen = chosen_share(all_candidates(spec, jobs, limit), share)
            yield LayerTruth(name, spec, measurer.samples(chosen))
