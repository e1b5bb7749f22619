"""The same candidates on any board that is asked: a spread of every layer's, chosen by predictions alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen.algorithm import algorithms
from codegen.graph import Graph, LayerSpec
from codegen.schedule import Candidate
from cost_models.model import Prediction
from cost_models.registry import cost_model_named
from explorer.measure.jobs import JobBuilder
from explorer.measure.measurer import Measurer, Tally, overheads_of
from explorer.measure.workers import Workers
from explorer.pipeline.boards import open_board_of
from explorer.pipeline.run import REPEATS
from explorer.plans.network import open_network
from explorer.search.layer_search import LayerSearch
from explorer.settings import RunSettings
from explorer.strategies.successive import first_picks
from explorer.terminal.progress import Silent
from microbench.board import Board
from microbench.store import Sample, Store


@dataclass(frozen=True)
class Measured:
    """Samples of the candidates in their order, the noise floor they were told with, and the board's name."""

    samples: tuple[Sample, ...]
    tally: Tally
    board: str


def job_builder(board: Board, settings: RunSettings) -> JobBuilder:
    """Jobs as a run would make them for this board."""
    return JobBuilder(board.target, settings.search.seed, algorithms(), REPEATS if board.reads_clock else 1)


def same_candidates(board: Board, settings: RunSettings, most: int) -> tuple[Candidate, ...]:
    """A run's first spread over each layer's candidates, at most so many in all, layer by layer in turn.

    Equal profiles and settings give equal candidates: nothing measured has a say.
    """
    jobs = job_builder(board, settings)
    model = cost_model_named(settings.cost_model, board.profile)

    def predict(candidates: Sequence[Candidate]) -> Sequence[Prediction]:
        return model.predict([(candidate, jobs.work(candidate)) for candidate in candidates])

    picks = []
    for spec in _distinct(_graph(settings)):
        layer = LayerSearch(spec, jobs.algorithms.values(), jobs.target, settings.search)
        layer.extend(predict, first=True)
        picks.append(first_picks(layer, predict))
    return tuple(_in_turn(picks))[:most]


def measure_same(settings: RunSettings, most: int) -> Measured:
    """Measures them on the board of the settings, into their store, by the protocol of a run."""
    with open_board_of(settings) as board:
        jobs, candidates = job_builder(board, settings), same_candidates(board, settings, most)
        with Workers([board]) as workers, Store.open(settings.store) as store:
            fingerprint = board.fingerprint()
            measurer = Measurer(workers, jobs, store, fingerprint, Silent(), overheads_of(board).launch_s)
            return Measured(measurer.samples(candidates), measurer.tally, fingerprint.board)


def _graph(settings: RunSettings) -> Graph:
    with tempfile.TemporaryDirectory() as scratch:
        return open_network(settings, Path(scratch)).graph


def _distinct(graph: Graph) -> Iterable[LayerSpec]:
    return dict.fromkeys(LayerSpec.of(graph, node) for node in graph.nodes)


def _in_turn(picks: Sequence[Sequence[Candidate]]) -> Iterator[Candidate]:
    """The first of each, the second of each, and so on."""
    for turn in range(max(map(len, picks), default=0)):
        yield from (own[turn] for own in picks if turn < len(own))
