"""Numbers that older versions wrote for axes with names become those names, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest

from codegen.algorithm import algorithms
from codegen.canonical import plain
from codegen.errors import CanonicalFormError
from codegen.expression import RELU, Operand, maximum
from codegen.old_forms import NAMED, is_old, upgraded


def choice(algorithm: str, tile: list[Any], split: list[Any] | None = None) -> dict[str, Any]:
    return {"type": "Choice", "algorithm": algorithm, "split": split or [], "tile": tile}


@pytest.mark.parametrize("role", ["split", "tile"])
def test_numbers_become_the_names_that_the_algorithm_gives_them(role: str) -> None:
    for (name, old_axis), (axis, names) in NAMED.items():
        assert algorithms()[name].axis_names[axis][: len(names)] == names
        for code, value in enumerate(names):
            old = {**choice(name, []), role: [[old_axis, code]]}
            assert upgraded(old)[role] == [[axis, value]], name


def test_pairs_are_sorted_by_their_new_names() -> None:
    old = choice("cpu_blocked_conv", [["blocks", 1], ["lanes", 4], ["row_major", 1]])
    assert upgraded(old)["tile"] == [["blocks", 1], ["input", "row_major"], ["lanes", 4]]


def test_numbers_and_names_stay() -> None:
    new = choice("cpu_blocked_conv", [["blocks", 1], ["outer", "pixels"]], [["threads", 1]])
    assert upgraded(new) == new


@pytest.mark.parametrize(
    "pairs", [7, [["outer", 2]], [["outer", -1]], [["outer"]], ["outer"], [[0, "outer"]]]
)
def test_malformed_pairs_are_left_for_the_reader(pairs: Any) -> None:
    broken = choice("cpu_blocked_conv", pairs)
    assert upgraded(broken) == broken


def test_a_candidate_with_numbers_is_old() -> None:
    spec = {"type": "LayerSpec", "outputs": []}
    assert is_old({"spec": spec, "choice": choice("cpu_map", [["layout", 1]])})
    assert not is_old({"spec": spec, "choice": choice("cpu_map", [["layout", "pixel16"]])})


@pytest.mark.parametrize(
    "activation",
    [None, 6.0, {"type": "Activation", "low": 0.0}, {"type": "Activation", "low": "0", "high": None}],
)
@pytest.mark.parametrize("kind", ["Clamp", "Add", "Conv2d"])
def test_an_activation_that_is_none_is_refused(kind: str, activation: Any) -> None:
    with pytest.raises(CanonicalFormError, match="is no activation"):
        upgraded({"type": kind, "activation": activation})


def test_activations_become_epilogues_and_maps() -> None:
    relu = {"type": "Activation", "low": 0.0, "high": None}
    assert upgraded({"type": "FullyConnected", "activation": relu})["epilogue"] == plain(RELU)
    total = upgraded({"type": "Add", "activation": relu})
    assert total == {"type": "Map", "expression": plain(maximum(Operand(0) + Operand(1), 0.0))}
