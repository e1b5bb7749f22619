"""HiGHS, a solver of mixed integer programs, as SciPy brings it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from explorer.solvers.program import Program, Solved

UNITS = 1e3  # of a second: its tolerances are made for numbers about one
INFEASIBLE = 2  # SciPy's status


class Highs:
    """On one core."""

    name = "highs"

    def solve(self, program: Program, wall_s: float) -> Solved:
        counts = [len(row.factors) for row in program.rows]
        columns = np.fromiter((one for row in program.rows for one in row.factors), np.int64)
        factors = np.fromiter((f for row in program.rows for f in row.factors.values()), np.float64)
        starts = np.concatenate(([0], np.cumsum(counts)))
        matrix = csr_array((factors, columns, starts), shape=(len(counts), len(program.prices)))
        found = milp(
            np.array(program.prices) * UNITS,
            integrality=np.ones(len(program.prices)),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(
                matrix, [row.least for row in program.rows], [row.most for row in program.rows]
            ),
            options={"time_limit": wall_s, "mip_rel_gap": 0.0},
        )
        bound = getattr(found, "mip_dual_bound", None)
        return Solved(
            None if found.x is None else np.flatnonzero(found.x > 0.5).tolist(),
            0.0 if bound is None or not np.isfinite(bound) else float(bound) / UNITS,
            found.status == INFEASIBLE,
        )
