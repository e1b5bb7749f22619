"""The colour and marker of each algorithm: the same in every figure, told apart by colour-blind readers too."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points

from codegen.algorithm import ENTRY_POINT_GROUP

# Hues by their number, on white and on a dark ground: contrast 3 to 1 at least with either, and apart from each
# other for protanopes, deuteranopes and tritanopes (tests/explorer/runs/test_algorithm_style.py).
LIGHT = "#087a91", "#c9731d", "#391386", "#661933", "#59400d", "#af25f4"
DARK = "#9eebfa", "#c9561d", "#bf8fef", "#e08594", "#e9d263", "#af25f4"
MARKERS = *"osD^vPX*<>pHhd8.", "$\N{BLACK SPADE SUIT}$"
_OWN = "codegen."


@dataclass(frozen=True)
class Style:
    """Number of the hue in `LIGHT` and `DARK`, and matplotlib's name of the marker."""

    hue: int
    marker: str

    @property
    def colour(self) -> str:
        """On white."""
        return LIGHT[self.hue]


def style_of(algorithm: str) -> Style:
    """The style of an algorithm, by its place among those of the project, then those of plug-ins, by name.

    No two of the first 102 have the same; neighbours, which often compete for a layer, differ in hue and marker.

    One that is not installed has a style by its name alone.
    """
    number = _places().get(algorithm)
    if number is None:
        number = int.from_bytes(hashlib.sha256(algorithm.encode()).digest()[:4])
    again = number // math.lcm(len(LIGHT), len(MARKERS))
    return Style(number % len(LIGHT), MARKERS[(number + again) % len(MARKERS)])


@cache
def _places() -> Mapping[str, int]:
    points = {
        (not point.value.startswith(_OWN), point.name) for point in entry_points(group=ENTRY_POINT_GROUP)
    }
    return {name: number for number, (_, name) in enumerate(sorted(points))}
