"""CP-SAT of OR-Tools, a solver of constraint programs; an optional package."""

from __future__ import annotations

import importlib.util
from math import isfinite

from explorer.errors import MissingExtraError
from explorer.solvers.program import Program, Row, Solved

UNITS = 1e12  # of a second: prices are whole picoseconds
WORKERS = 2
INSTALL_LINE = "pip install -e '.[solvers]'"


class CpSat:
    """On two cores."""

    name = "cp-sat"

    def solve(self, program: Program, wall_s: float) -> Solved:
        if importlib.util.find_spec("ortools") is None:
            raise MissingExtraError(
                "the solver cp-sat needs the package ortools of the extra `solvers`, which is not installed: "
                f"{INSTALL_LINE} in an environment of its own"
            )
        from ortools.sat.python import cp_model

        model = cp_model.CpModel()
        variables = [model.new_bool_var("") for _ in program.prices]
        for row in program.rows:
            terms = cp_model.LinearExpr.weighted_sum(
                [variables[one] for one in row.factors], [round(factor) for factor in row.factors.values()]
            )
            model.add_linear_constraint(terms, *_whole(row))
        prices = [round(price * UNITS) for price in program.prices]
        model.minimize(cp_model.LinearExpr.weighted_sum(variables, prices))
        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = wall_s
        solver.parameters.num_workers = WORKERS
        status = solver.solve(model)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Solved(None, solver.best_objective_bound / UNITS, status == cp_model.INFEASIBLE)
        ones = [number for number, one in enumerate(variables) if solver.boolean_value(one)]
        return Solved(ones, solver.best_objective_bound / UNITS)


def _whole(row: Row) -> tuple[int, int]:
    """Its limits; factors are whole, and so is their sum."""
    reach = sum(abs(round(factor)) for factor in row.factors.values())
    least = -reach if not isfinite(row.least) else round(row.least)
    return least, reach if not isfinite(row.most) else round(row.most)
