"""The composition without caps by solvers of others, beside the own search: seconds, and the gap that is proven."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codegen.graph import Graph
from explorer.compose.compose import Composition, compose
from explorer.compose.timed_candidates import TimedCandidates
from explorer.errors import UndecidedError
from explorer.solvers.composing import compose_by
from explorer.solvers.program import Solver
from explorer.studies.composition import SEED, named_graph
from explorer.studies.composition_graphs import OVERHEADS, synthetic_times

LIMITS_S = (10.0, 60.0)
OWN = "explore"


@dataclass(frozen=True)
class Answer:
    """What one solver finds within a limit, program and all; None where it finds nothing."""

    wall_s: float
    composition: Composition | None


@dataclass(frozen=True)
class Compared:
    """One network by one solver: an answer for each of `LIMITS_S`, of which a later one repeats an exact one."""

    shape: str
    qpus: bool
    by: str
    answers: tuple[Answer, ...]


def study(shapes: Sequence[str], solvers: Sequence[Solver]) -> Iterator[Compared]:
    """Every network with the choices of a board with QPUs and of one without, by the own search and by each solver.

    Raises MissingExtraError for a solver that is not installed, ModelError and its kin for a file that cannot be
    imported.
    """
    for shape in shapes:
        graph = named_graph(shape)
        for qpus in (True, False):
            times = synthetic_times(graph, SEED, qpus)
            began_s = time.monotonic()
            own = compose(graph, times, OVERHEADS)
            answer = Answer(time.monotonic() - began_s, own)
            yield Compared(shape, qpus, OWN, (answer,) * len(LIMITS_S))
            for solver in solvers:
                yield Compared(shape, qpus, solver.name, tuple(_answers(solver, graph, times)))


def _answers(solver: Solver, graph: Graph, times: TimedCandidates) -> Iterator[Answer]:
    answer: Answer | None = None
    for limit_s in LIMITS_S:
        is_exact = answer is not None and answer.composition is not None and answer.composition.gap == 0
        if answer is None or not is_exact:
            answer = _answer(solver, graph, times, limit_s)
        yield answer


def _answer(solver: Solver, graph: Graph, times: TimedCandidates, limit_s: float) -> Answer:
    began_s = time.monotonic()
    found: Composition | None
    try:
        found = compose_by(solver, graph, times, OVERHEADS, limit_s)
    except UndecidedError:
        found = None
    return Answer(time.monotonic() - began_s, found)
