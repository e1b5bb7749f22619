from __future__ import annotations

import itertools

import numpy as np
import pytest

from codegen.algorithm import algorithms
from explorer.report.markup import OUTLINES
from explorer.runs.algorithm_style import DARK, LIGHT, MARKERS, style_of

GROUNDS = {"light": ("#ffffff", LIGHT), "dark": ("#14181d", DARK)}  # as the page's style has them
LEAST_CONTRAST = 3.0  # of graphics that carry meaning (WCAG 2.2, 1.4.11)
LEAST_DISTANCE = 25.0  # CIE76: two and a half times what is told apart at a glance
# What of linear RGB people without one kind of cones see (Machado and others 2009, severity 1).
SIGHTS = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = (
        np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    ) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("scheme", GROUNDS)
def test_every_hue_stands_out_from_its_ground(scheme: str) -> None:
    ground, hues = GROUNDS[scheme]
    assert all(contrast(hue, ground) >= LEAST_CONTRAST for hue in hues)


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("scheme", GROUNDS)
def test_hues_are_apart_for_all_who_see(scheme: str, sight: str) -> None:
    seen = [lab(np.clip(SIGHTS[sight] @ linear(hue), 0, 1)) for hue in GROUNDS[scheme][1]]
    nearest = min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(seen, 2))
    assert nearest >= LEAST_DISTANCE


def test_no_two_algorithms_look_the_same_and_neighbours_differ_twice() -> None:
    names = sorted(algorithms())
    assert len({style_of(name) for name in names}) == len(names)
    for one, other in itertools.pairwise(names):
        first, second = style_of(one), style_of(other)
        assert first.hue != second.hue and first.marker != second.marker


def test_one_that_is_not_installed_always_looks_the_same() -> None:
    assert style_of("somebody_elses") == style_of("somebody_elses")


def test_every_marker_has_an_outline_for_keys() -> None:
    assert set(MARKERS) == set(OUTLINES)
