"""The composition by a solver, as `explorer.compose.compose` has it."""

from __future__ import annotations

from collections.abc import Mapping

from codegen.graph import Graph
from explorer.compose.compose import Composition, priced
from explorer.compose.decomposition import CLOSE
from explorer.compose.memory_use import held_bytes
from explorer.compose.problem import Problem
from explorer.compose.steps import Overheads, Prices
from explorer.compose.timed_candidates import TimedCandidates
from explorer.errors import CompositionError, UndecidedError, UsageError
from explorer.solvers.cp_sat import CpSat
from explorer.solvers.highs import Highs
from explorer.solvers.network_program import NetworkProgram
from explorer.solvers.program import Solver

SOLVERS: Mapping[str, Solver] = {solver.name: solver for solver in (CpSat(), Highs())}


def solver_named(name: str) -> Solver:
    """Raises UsageError that lists the solvers for another name."""
    if name not in SOLVERS:
        raise UsageError(f"no solver {name!r}; there are {', '.join(SOLVERS)}")
    return SOLVERS[name]


def compose_by(
    solver: Solver, graph: Graph, timed_candidates: TimedCandidates, overheads: Overheads, wall_s: float
) -> Composition:
    """The fastest composition without caps, or the best that the solver finds in so many seconds, with its gap.

    Raises CompositionError where layouts cannot be joined, UndecidedError where the solver finds nothing in time, and
    MissingExtraError where it is not installed.
    """
    network = NetworkProgram(Problem(graph, timed_candidates, Prices(overheads), None))
    solved = solver.solve(network.program, wall_s)
    if solved.ones is None:
        if solved.is_impossible:
            raise CompositionError(f"{solver.name}: no combination of choices fits together")
        raise UndecidedError(f"{solver.name} found no composition in {wall_s:g} s: give it more time")
    steps = network.steps(solved.ones)
    found = priced(steps, overheads, *held_bytes(graph, steps), gap=1.0)
    saved = found.total_s - solved.bound
    gap = saved / found.total_s if saved > CLOSE * found.total_s else 0.0
    return priced(steps, overheads, found.gpu_bytes, found.arena_bytes, gap)
