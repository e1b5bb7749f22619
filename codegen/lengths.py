"""Outputs whose size depends on data: a tensor of the largest size there can be, and how much of it holds results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Length:
    """The first elements along `axis` hold results, as many as the int64 scalar `tensor` says; behind them anything
    may stand.
    """

    axis: int
    tensor: str


def cut_to_lengths(
    results: Mapping[str, NDArray[Any]], lengths: Mapping[str, Length]
) -> dict[str, NDArray[Any]]:
    """The results, those with a length cut to it; `lengths` by tensor, whose own tensors are among the results."""
    cut = dict(results)
    for name, length in lengths.items():
        if name in results:
            whole = (slice(None),) * length.axis
            cut[name] = results[name][(*whole, slice(0, int(results[length.tensor])))]
    return cut
