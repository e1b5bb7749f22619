"""The search: a strategy asks for measurements, the cost model learns from them, until nothing is worth asking for.

Decisions depend on the graph, the settings and the measured times alone; the store only saves the time of taking a
measurement again, and of working out again what to measure. A run that was interrupted therefore goes on exactly where
it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from codegen.graph import LayerSpec
from codegen.schedule import Candidate
from cost_models.model import CostModel, Observation, Prediction
from explorer.compose.on_board import exceeds_gpu_memory
from explorer.compose.timed_candidates import TimedCandidate
from explorer.errors import BudgetError
from explorer.search.budget import Left
from explorer.search.layer_search import Kind, SearchSettings
from explorer.search.recalled import Recalled, basis_of
from explorer.search.request import Request
from explorer.search.side_by_side import side_by_side
from explorer.search.state import Searched, SearchState, observations
from explorer.search.strategy import Strategy
from explorer.terminal.progress import Outlook, Progress
from microbench.store import Sample


class Measures(Protocol):
    """What answers requests: `explorer.measure.measurer.Measurer`, or a record of samples."""

    def samples(self, candidates: Iterable[Candidate]) -> tuple[Sample, ...]:
        """One for each, in order."""
        ...


@dataclass(frozen=True)
class Asked:
    """A request that was measured: in which round, why, what was predicted then, and the sample."""

    round: int
    request: Request
    predicted: Prediction
    sample: Sample


@dataclass(frozen=True)
class SearchResult:
    """Working timed candidates of every layer and relayout, and everything measured.

    `unseen`: what the cost model says of each of the observations, in their order, without having seen its layer
    (`CostModel.unseen`); `model` is fitted to them where that was not known from another run. `asked`: why each was
    measured, in the order that it was asked for.
    """

    timed_candidates: Mapping[LayerSpec, tuple[TimedCandidate, ...]]
    samples: tuple[Sample, ...]
    model: CostModel
    unseen: tuple[Prediction, ...]
    candidates: int
    rounds: int
    strategy: str = ""
    asked: tuple[Asked, ...] = ()

    @property
    def observations(self) -> tuple[Observation, ...]:
        """The samples a cost model learns from."""
        return observations(self.samples)


def search(
    searched: Searched,
    model: CostModel,
    measurer: Measures,
    strategy: Strategy,
    settings: SearchSettings,
    progress: Progress,
    prior: Sequence[Observation] = (),
) -> SearchResult:
    """Searches every distinct layer of a fused graph and the layout changes between them.

    Where GPU memory does not hold the fastest plan, the changes of layout that no strategy asked for are measured
    behind all that was. Last come layers of the fastest plan that may be computed at the same time.

    `prior`: what other networks and boards taught, for the cost model to begin with.

    Raises SearchError naming a layer that no algorithm applies to, or none of whose candidates works;
    BoardError and StoreError as the measurer does.
    """
    state = SearchState(searched, model, settings, prior)
    recalled: Recalled | None = None
    if searched.keeper is not None and strategy.is_stateless:
        basis = basis_of(searched, model, strategy, settings, prior)
        strategy = recalled = Recalled(strategy, searched.keeper, basis)
    left, rounds = Left(settings.budget), 0
    asked: list[Asked] = []

    def measure(due: Sequence[Request]) -> None:
        nonlocal rounds
        rounds += 1
        predicted = state.predict([request.candidate for request in due])
        progress.phase(f"Round {rounds}")
        progress.outlook(Outlook(state.best_s, left.text, dict(map(_reason, due))))
        state.keep_programs()
        samples = measurer.samples([request.candidate for request in due])
        asked.extend(map(Asked, [rounds] * len(due), due, predicted, samples))
        left.spend(len(due))
        state.record(samples)
        strategy.tell(samples)

    while due := _affordable(strategy.ask(state, left), state, left):
        measure(due)
    state.require_timed()
    target = searched.jobs.target
    if exceeds_gpu_memory(searched.graph, state.timed_candidates, searched.overheads, target) and (
        due := left.within(_crossings(state))
    ):
        measure(due)
    if due := _affordable(side_by_side(state), state, left):
        measure(due)
    state.keep_programs()
    return SearchResult(
        state.timed_candidates,
        state.samples,
        model,
        recalled.unseen(state) if recalled else state.model.unseen(),
        sum(len(layer.candidates) for layer in state.every),
        rounds,
        strategy.name,
        tuple(asked),
    )


def _affordable(requests: Sequence[Request], state: SearchState, left: Left) -> Sequence[Request]:
    """What of the requests there is to be had; nothing where there are too few measurements left for a plan that may
    be faster than what was measured makes one. Raises BudgetError where that makes none.
    """
    try:
        return left.within(requests)
    except BudgetError:
        if state.has_plan():
            return ()
        raise


def _crossings(state: SearchState) -> list[Request]:
    """The best of every change of layout that was not measured."""
    reason = "GPU memory does not hold all layers of the fastest plan: any may have to change engines here"
    found = []
    for layer in state.relayouts.values():
        known, best = {layer.kind(sample.candidate) for sample in layer.samples}, dict[Kind, Candidate]()
        unknown = layer.unmeasured
        predicted = [prediction.time_s for prediction in state.predict(unknown)]
        for _, candidate in sorted(zip(predicted, unknown, strict=True), key=lambda pair: pair[0]):
            if layer.kind(candidate) not in known:
                best.setdefault(layer.kind(candidate), candidate)
        found += [Request(candidate, reason) for candidate in best.values()]
    return found


def _reason(request: Request) -> tuple[str, str]:
    """Of a request the candidate's hash, and what is measured and why."""
    candidate, choice = request.candidate, request.candidate.choice
    values = " ".join(f"{name}={value}" for name, value in (*choice.split, *choice.tile))
    way = " ".join(part for part in (choice.algorithm, values) if part)
    return candidate.hash, f"{candidate.spec.describe()} by {way}: {request.reason}"
