from __future__ import annotations

from pathlib import Path

import pytest

from explorer.studies.strategies import Replayed
from microbench.store import Store
from tests.explorer.command_line import explore, refused

NEVER = float("inf")


def replayed(*curve_s: tuple[int, float]) -> Replayed:
    return Replayed("random", 0, curve_s, 1.0, (0.0, 0.1))


@pytest.mark.parametrize(
    ("curve_s", "samples"),
    [
        (((10, NEVER), (20, 1.2), (30, 1.009), (40, 1.0)), 30),
        (((10, 1.005), (20, 1.02), (30, 1.001)), 30),  # the best that is known may be found later
        (((10, 1.0),), 10),
        (((10, 1.5), (20, 1.02)), NEVER),
    ],
)
def test_samples_to_the_best_network(curve_s: tuple[tuple[int, float], ...], samples: float) -> None:
    assert replayed(*curve_s).to_close == samples


def test_regret_after_so_many_samples() -> None:
    one = replayed((10, NEVER), (20, 1.2), (30, 1.05))
    assert [one.regret_at(n) for n in (5, 10, 25, 99)] == pytest.approx([NEVER, NEVER, 0.2, 0.05])
    assert one.samples == 30 and one.layer_mean == pytest.approx(0.05)
    assert one.layer_p95 == pytest.approx(0.095)


def test_a_store_without_the_network(tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty.sqlite"):
        pass
    result = explore("bench", "strategies", "--models", "squeezenet", "--store", tmp_path / "empty.sqlite")
    refused(result, "UsageError", "no sample of layer", "explore bench ground-truth")
