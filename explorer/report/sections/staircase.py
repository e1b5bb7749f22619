"""The points that no other beats in both coordinates, and the line through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from explorer.report.svg import MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def unbeaten(across: pd.Series[float], up: pd.Series[float]) -> list[int]:
    """Positions of the points with nothing at once lower left of them, from left to right."""
    order = np.lexsort((up.to_numpy(), across.to_numpy()))
    best, chosen = np.inf, []
    for position in order:
        if up.iloc[position] < best:
            best = float(up.iloc[position])
            chosen.append(int(position))
    return chosen


def draw_staircase(axes: Axes, across: pd.Series[float], up: pd.Series[float]) -> None:
    """A grey line from each unbeaten point to the next, in steps: what lies above it is beaten."""
    chosen = unbeaten(across, up)
    axes.step(across.iloc[chosen], up.iloc[chosen], where="post", color=MUTED, linewidth=1.0, zorder=1)
