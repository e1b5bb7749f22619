"""Exact minimisation of a sum of small tables by eliminating one variable after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.errors import CompositionError

LARGEST_TABLE = 20_000_000  # entries of float64: 160 MB

Table = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Factor:
    """A cost over some variables: `table` has one axis per variable of `scope`, in its order; inf forbids."""

    scope: tuple[int, ...]
    table: Table


@dataclass(frozen=True)
class Assignment:
    """The cheapest value of every variable, and the sum of all factors there."""

    values: tuple[int, ...]
    cost: float


def minimise(sizes: Sequence[int], factors: Sequence[Factor]) -> Assignment:
    """The assignment with the least sum; exact (nonserial dynamic programming).

    Variables are eliminated in the order that keeps tables small; ties go to the lower index, so equal
    problems have equal answers. Raises CompositionError where nothing is possible or a table would not fit.
    """
    pending = list(factors)
    for factor in pending:
        _check(sizes, factor)
    remaining = set(range(len(sizes)))
    decisions: list[tuple[int, tuple[int, ...], NDArray[np.intp]]] = []
    constant = 0.0
    while remaining:
        variable = min(remaining, key=lambda v: (_joint_size(sizes, pending, v), v))
        remaining.remove(variable)
        touching = [factor for factor in pending if variable in factor.scope]
        pending = [factor for factor in pending if variable not in factor.scope]
        joint = _sum(sizes, touching, variable)
        decisions.append((variable, joint.scope[:-1], np.argmin(joint.table, axis=-1)))
        reduced = joint.table.min(axis=-1)
        if joint.scope[:-1]:
            pending.append(Factor(joint.scope[:-1], reduced))
        else:
            constant += float(reduced)
    if not np.isfinite(constant):
        raise CompositionError(
            "no combination of choices fits together: a layout change that some layer needs has no algorithm"
        )
    return Assignment(_read_back(len(sizes), decisions), constant)


def _check(sizes: Sequence[int], factor: Factor) -> None:
    expected = tuple(sizes[variable] for variable in factor.scope)
    if factor.table.shape != expected or len(set(factor.scope)) != len(factor.scope):
        raise CompositionError(f"a factor over {factor.scope} has shape {factor.table.shape}, not {expected}")


def _neighbours(factors: Sequence[Factor], variable: int) -> tuple[int, ...]:
    scopes = (factor.scope for factor in factors if variable in factor.scope)
    return tuple(sorted({other for scope in scopes for other in scope} - {variable}))


def _joint_size(sizes: Sequence[int], factors: Sequence[Factor], variable: int) -> int:
    size = sizes[variable]
    for other in _neighbours(factors, variable):
        size *= sizes[other]
    return size


def _sum(sizes: Sequence[int], factors: Sequence[Factor], variable: int) -> Factor:
    """The sum of the factors over their joint scope, the eliminated variable last."""
    scope = (*_neighbours(factors, variable), variable)
    shape = tuple(sizes[v] for v in scope)
    if np.prod(shape, dtype=np.float64) > LARGEST_TABLE:
        raise CompositionError(
            f"the exact composition needs a table over {len(scope)} layers ({shape}): the graph is too "
            "densely connected; lower the number of choices per layer"
        )
    total = np.zeros(shape)
    for factor in factors:
        order = sorted(range(len(factor.scope)), key=lambda axis: scope.index(factor.scope[axis]))
        present = {factor.scope[axis] for axis in order}
        view = factor.table.transpose(order)
        total += view.reshape([size if v in present else 1 for v, size in zip(scope, shape, strict=True)])
    return Factor(scope, total)


def _read_back(
    count: int, decisions: Sequence[tuple[int, tuple[int, ...], NDArray[np.intp]]]
) -> tuple[int, ...]:
    values = [0] * count
    for variable, scope, best in reversed(decisions):
        values[variable] = int(best[tuple(values[other] for other in scope)])
    return tuple(values)
