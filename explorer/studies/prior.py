"""What a search of one network saves by the samples of another: both replayed on a store of ground truth."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from codegen.graph import Graph
from cost_models.model import Observation
from explorer.pipeline.boards import open_board_of
from explorer.pipeline.prior import prior_of
from explorer.settings import RunSettings
from explorer.studies.strategies import Replayed, open_truth
from explorer.studies.truth_samples import truth_samples
from microbench.store import Store

STRATEGY = "expected_gain"


@dataclass(frozen=True)
class AfterAnother:
    """A search of `network` from an empty store, and from one with the samples of the search of `before`, of which
    `taught` were a prior.
    """

    network: str
    before: str
    taught: int
    empty: Replayed
    after: Replayed


def searched_after(settings: RunSettings, networks: dict[str, Graph]) -> Iterator[AfterAnother]:
    """Each network after each other. Raises UsageError naming a layer of which the store has no sample."""
    empty: dict[str, Replayed] = {}
    for name, graph in networks.items():
        with open_truth(settings, graph) as truth:
            empty[name] = truth.replay(STRATEGY, 0)
    for name, graph in networks.items():
        for before in networks:
            if before != name:
                prior = _prior(settings, graph, frozenset(empty[before].asked))
                with open_truth(settings, graph) as truth:
                    after = truth.replay(STRATEGY, 0, prior=prior)
                yield AfterAnother(name, before, len(prior), empty[name], after)


def _prior(settings: RunSettings, graph: Graph, asked: Collection[str]) -> tuple[Observation, ...]:
    """What a run of the graph finds in a store with these samples of the truth."""
    with (
        TemporaryDirectory() as scratch,
        Store.open(str(Path(scratch) / "samples.sqlite")) as store,
        open_board_of(settings) as board,
    ):
        truth = truth_samples(settings.store, board.profile, lambda one: one.candidate_hash in asked)
        samples = truth.samples
        for sample in samples:
            store.add(sample)
        fingerprint = samples[0].fingerprint if samples else board.fingerprint()
        return prior_of(store, board, fingerprint, graph).observations
