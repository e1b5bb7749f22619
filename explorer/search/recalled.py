"""What a strategy asked before, in place of asking it again: knowing the same, it asks the same.

A search whose every answer is in the store is then a matter of reading: no round of it composes the network, predicts
candidates or fits the cost model. Where it comes to a state that no search was in before, it goes on as if it had asked
the strategy all the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from codegen.canonical import content_hash, plain
from codegen.schedule import Candidate
from cost_models.model import CostModel, Observation, Prediction
from explorer.search.budget import Budget, Left
from explorer.search.installed_code import installed_code
from explorer.search.keeper import RoundKeeper
from explorer.search.layer_search import SearchSettings
from explorer.search.request import Request
from explorer.search.state import Searched, SearchState
from explorer.search.strategy import Strategy
from microbench.errors import StoreError
from microbench.store import Sample

VERSION = 5  # of what is kept


Kept = TypeVar("Kept", bound=BaseModel)


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: str
    reason: str
    gain: float | None
    is_needed: bool
    can_wait: bool
    predicted: tuple[float, float, float]


class _Round(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    best_s: float | None
    requests: tuple[_Asked, ...]


class _Unseen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    predicted: tuple[tuple[float, float, float], ...]


class Recalled:
    """A strategy that decides by the state alone (`Strategy.is_stateless`), asked only what it was not asked before.

    `basis`: a digest of all that decides beside the samples (`basis_of`). Raises what the keeper raises, and StoreError
    for a damaged round.
    """

    is_stateless = True

    def __init__(self, strategy: Strategy, keeper: RoundKeeper, basis: str) -> None:
        self.name = strategy.name
        self._strategy = strategy
        self._keeper = keeper
        self._key = basis

    def ask(self, state: SearchState, budget: Left) -> Sequence[Request]:
        kept = self._keeper.round(self._key)
        if kept is not None:
            return _recalled(_read(_Round, kept, self._key), state)
        requests = self._strategy.ask(state, budget)
        self._keeper.add_round(self._key, _round(requests, state).model_dump_json())
        return requests

    def unseen(self, state: SearchState) -> tuple[Prediction, ...]:
        """What the state's model says of its observations unseen; fitted for that where it never was."""
        key = content_hash([self._key, "unseen"])
        kept = self._keeper.round(key)
        if kept is not None:
            return tuple(Prediction(*times) for times in _read(_Unseen, kept, key).predicted)
        predictions = state.model.unseen()
        told = _Unseen(predicted=tuple((p.time_s, p.low_s, p.high_s) for p in predictions))
        self._keeper.add_round(key, told.model_dump_json())
        return predictions

    def tell(self, samples: Sequence[Sample]) -> None:
        self._key = content_hash([self._key, *map(_content, samples)])
        self._strategy.tell(samples)


def basis_of(
    searched: Searched,
    model: CostModel,
    strategy: Strategy,
    settings: SearchSettings,
    prior: Sequence[Observation],
) -> str:
    """A digest of all that decides what a stateless strategy asks for, beside the samples. A budget does not: it only
    ends a search.
    """
    graph, jobs = searched.graph, searched.jobs
    return content_hash(
        [
            VERSION,
            installed_code([type(strategy), type(model), *map(type, jobs.algorithms.values())]),
            [f"{type(one).__module__}.{type(one).__qualname__}" for one in (strategy, model)],
            sorted(jobs.algorithms),
            [graph.inputs, graph.outputs, graph.nodes, dict(graph.types), dict(graph.lengths)],
            [
                [list(graph.constants[name].shape), str(graph.constants[name].dtype)]
                for name in sorted(graph.constants)
            ],
            [graph.sparsity_of(node) for node in graph.nodes],
            [jobs.target, jobs.seed, searched.profile.hash, searched.overheads],
            plain(settings) | {"budget": plain(Budget())},
            [[o.candidate.hash, o.work, o.time_s, o.profile.hash if o.profile else ""] for o in prior],
            [searched.at_once, searched.reads_clock],
        ]
    )


def _content(sample: Sample) -> list[object]:
    """All of a sample that decides."""
    return [sample.candidate_hash, sample.status, sample.kind, sample.times_s, sample.work]


def _round(requests: Sequence[Request], state: SearchState) -> _Round:
    predicted = state.predict([request.candidate for request in requests])
    return _Round(
        best_s=state.best_s,
        requests=tuple(
            _Asked(
                candidate=request.candidate.hash,
                reason=request.reason,
                gain=request.gain,
                is_needed=request.is_needed,
                can_wait=request.can_wait,
                predicted=(p.time_s, p.low_s, p.high_s),
            )
            for request, p in zip(requests, predicted, strict=True)
        ),
    )


def _read(kind: type[Kept], content: str, key: str) -> Kept:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise StoreError(
            f"the store's round {key[:12]} of a search is damaged: {error.errors()[0]['msg']}; take a copy that is "
            "not, or name another store with --store"
        ) from error


def _recalled(kept: _Round, state: SearchState) -> Sequence[Request]:
    candidates: dict[str, Candidate] = {
        candidate.hash: candidate for layer in state.every for candidate in layer.candidates
    }
    state.best_s = kept.best_s
    state.recall({asked.candidate: Prediction(*asked.predicted) for asked in kept.requests})
    return [
        Request(candidates[asked.candidate], asked.reason, asked.gain, asked.is_needed, asked.can_wait)
        for asked in kept.requests
    ]
