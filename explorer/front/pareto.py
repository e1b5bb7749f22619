"""Which of several things are beaten by another, and a few that stand for many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def dominated(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For each row (one column per objective, less is better) whether some other row is nowhere worse and somewhere
    better.
    """
    no_worse = (values[:, None, :] <= values[None, :, :]).all(axis=2)
    better = (values[:, None, :] < values[None, :, :]).any(axis=2)
    return np.asarray((no_worse & better).any(axis=0), dtype=np.bool_)


def spread(values: NDArray[np.float64], count: int, always: Sequence[int] = ()) -> tuple[int, ...]:
    """At most `count` rows, ascending: `always`, the best in each column, then the one farthest from all chosen.

    Columns are compared by their logarithms between their ends, so that each counts the same.
    """
    logs = np.log(np.maximum(values, 1e-12))
    width = logs.max(axis=0) - logs.min(axis=0)
    scaled = (logs - logs.min(axis=0)) / np.where(width > 0, width, 1.0)
    chosen = list(dict.fromkeys((*always, *(int(row) for row in values.argmin(axis=0)))))[:count]
    while len(chosen) < min(count, len(values)):
        distance = np.linalg.norm(scaled[:, None, :] - scaled[chosen][None, :, :], axis=2).min(axis=1)
        distance[chosen] = -1.0
        chosen.append(int(distance.argmax()))
    return tuple(sorted(chosen))


def spread_out(
    values: NDArray[np.float64], always: Sequence[int], rows: Sequence[int], tolerance: float
) -> tuple[int, ...]:
    """`always`, and those of `rows`, in their order, that save more than a share of `tolerance` in some column over
    each one that is kept already; ascending.
    """
    kept = list(always)
    for row in rows:
        saves = values[kept] * (1 - tolerance) > values[row]
        if saves.any(axis=1).all():
            kept.append(row)
    return tuple(sorted(set(kept)))
