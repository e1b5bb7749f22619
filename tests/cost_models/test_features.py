"""What the learned model sees: names of an axis as numbers, and how the input lies."""

from __future__ import annotations

import pytest

from codegen.algorithm import algorithms
from codegen.expression import RESULT
from codegen.operators.elementwise import Map
from codegen.schedule import Candidate, Choice, Work
from cost_models.features import FeatureSet, SeenCandidate
from cost_models.machine import Machine
from cost_models.roofline import RooflineTerms
from microbench.profile import load_profile
from tests.codegen.layers import inferred_layer

SPEC = inferred_layer(Map(RESULT), (1, 4, 3, 3))
NAMED = [(name, axis) for name, a in algorithms().items() for axis in a.axis_names]


@pytest.mark.parametrize(("algorithm", "axis"), NAMED)
def test_a_name_is_its_place(algorithm: str, axis: str) -> None:
    names = algorithms()[algorithm].axis_names[axis]
    candidates = [
        Candidate(SPEC, Choice("cpu", algorithm, (), ((axis, name), ("rows", 4)), ("nchw",), ("nchw",)))
        for name in names
    ]
    features = FeatureSet.of(candidates)
    terms = RooflineTerms(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    machine = Machine.of(load_profile("pi-zero"))
    rows = features.matrix(
        [SeenCandidate.of(candidate, Work(1.0), terms, machine) for candidate in candidates]
    )
    assert list(rows[:, features.names.index(f"axis.tile.{axis}")]) == list(range(len(names)))
    assert set(rows[:, features.names.index("axis.tile.rows")]) == {4.0}


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((1, 4, 4, 4), "nchw", 0.0),
        ((1, 4, 3, 3), "nchw", 15 / 16),
        ((1, 4, 3, 3), "pixel16", 0.0),
        ((4, 16), "nchw", 15 / 16),
        ((64,), "nchw", 15 / 16),
        ((), "nchw", 15 / 16),
    ],
)
def test_channels_of_a_row_major_input_may_begin_within_a_vector(
    shape: tuple[int, ...], layout: str, expected: float
) -> None:
    spec = inferred_layer(Map(RESULT), shape)
    candidate = Candidate(spec, Choice("cpu", NAMED[0][0], (), (), (layout,), ("nchw",)))
    features = FeatureSet.of([candidate])
    terms = RooflineTerms(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    machine = Machine.of(load_profile("pi-zero"))
    (row,) = features.matrix([SeenCandidate.of(candidate, Work(1.0), terms, machine)])
    assert row[features.names.index("in.row_major")] == (layout == "nchw")
    assert row[features.names.index("in.split_vectors")] == expected
