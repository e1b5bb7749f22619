"""Every QPU algorithm computes what the float64 reference computes, over its whole space on small layers."""

from __future__ import annotations

import pytest

from codegen.algorithm import algorithms
from codegen.engines.videocore4.algorithm import QpuAlgorithm
from codegen.errors import ScheduleError
from codegen.schedule import Choice
from tests.codegen.algorithm_layers import LAYERS, allowed_error
from tests.codegen.gpu_run import TARGET, relative_error

POINTS_PER_ALGORITHM = 9


def candidates() -> list[tuple[str, Choice]]:
    """Choices spread evenly over the space of every algorithm that applies."""
    found = []
    for name, spec in LAYERS.items():
        for algorithm in algorithms().values():
            if not isinstance(algorithm, QpuAlgorithm) or not algorithm.applies(spec, TARGET):
                continue
            choices = []
            for point in algorithm.space(spec, TARGET).points():
                try:
                    choices.append(algorithm.choice(spec, TARGET, point))
                except ScheduleError:
                    continue
            assert choices, f"{algorithm.name} applies to {name} but offers nothing"
            step = max(1, len(choices) // POINTS_PER_ALGORITHM)
            found += [(name, choice) for choice in choices[::step]]
    return found


@pytest.mark.parametrize(
    ("name", "choice"),
    [pytest.param(n, c, id=f"{n}-{c.algorithm}-{i}") for i, (n, c) in enumerate(candidates())],
)
def test_kernel_matches_the_reference(name: str, choice: Choice) -> None:
    assert relative_error(LAYERS[name], choice) < allowed_error(choice.algorithm, name)


def test_every_algorithm_is_exercised() -> None:
    used = {choice.algorithm for _, choice in candidates()}
    assert used == {name for name, a in algorithms().items() if isinstance(a, QpuAlgorithm)}
