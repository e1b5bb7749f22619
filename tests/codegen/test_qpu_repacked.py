"""Products of matrices that are put in order while QPUs compute: any number of QPUs, any product that can be."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.algorithms.matrices import (
    COPIED,
    IN_PLACE,
    MEANWHILE,
    MIXED,
    SCALARS,
    UNIFORMS,
    Product,
)
from codegen.engines.videocore4.algorithms.repacking import Item, Order, order_of, stop_places
from codegen.engines.videocore4.parts import dealt_to
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.contraction import Contraction
from codegen.operators.fully_connected import FullyConnected
from codegen.schedule import Choice, Point
from codegen.target import Target
from tests.codegen.gpu_run import TARGET
from tests.codegen.layers import inferred_layer
from tests.codegen.test_qpu_streamed import error_of

CONSTANT = inferred_layer(FullyConnected(), (330, 112), weights=((330, 112), (330,)))
TWO = inferred_layer(Contraction(("mk", "kn"), "mn"), (330, 112), (112, 330))
LAYERS = {
    "constant": CONSTANT,
    "two": TWO,
    "second transposed": inferred_layer(Contraction(("mk", "nk"), "mn"), (330, 96), (330, 96)),
    "batch of two": inferred_layer(Contraction(("bmk", "bkn"), "bmn"), (2, 331, 80), (2, 80, 259)),
}


def choice_of(
    spec: LayerSpec, target: Target, scalars: str, second: str = COPIED, tiles: int = 1, rows: int = 22
) -> Choice:
    point: Point = {
        "pixel_tiles": tiles,
        "neighbours": "channels",
        "rows": rows,
        "scalars": scalars,
        "ordering": MEANWHILE,
    }
    if spec is CONSTANT or isinstance(spec.op, FullyConnected):
        return algorithm_named("qpu_fully_connected_rows").choice(spec, target, point)
    return algorithm_named("qpu_matrix_product").choice(spec, target, {**point, "second": second})


@pytest.mark.parametrize("spec", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(("qpus", "tiles"), [(12, 6), (6, 3), (5, 1), (1, 1)])
@pytest.mark.parametrize("scalars", SCALARS)
def test_any_number_of_qpus(spec: LayerSpec, qpus: int, tiles: int, scalars: str) -> None:
    target = replace(TARGET, qpus=qpus)
    assert error_of(spec, choice_of(spec, target, scalars, tiles=tiles), target, target) < 1e-5


@pytest.mark.parametrize("rows", [20, 23, 27])
def test_other_rows(rows: int) -> None:
    target = replace(TARGET, qpus=4)
    for scalars in SCALARS if rows == 23 else ((MIXED,) if rows == 20 else (UNIFORMS,)):
        choice = choice_of(TWO, target, scalars, tiles=2, rows=rows)
        assert error_of(TWO, choice, target, target) < 1e-5


def test_a_second_matrix_read_where_it_lies_is_refused() -> None:
    with pytest.raises(ScheduleError, match="drift apart"):
        choice_of(TWO, TARGET, MIXED, IN_PLACE)


@pytest.mark.parametrize(("qpus", "launches"), [(6, 2), (4, 3), (1, 2)])
@pytest.mark.parametrize("scalars", SCALARS)
def test_several_launches(qpus: int, launches: int, scalars: str) -> None:
    target = replace(TARGET, qpus=qpus)
    dealt = dealt_to(target, launches)
    assert error_of(TWO, choice_of(TWO, dealt, scalars), dealt, target) < 1e-5


def _order(spec: LayerSpec, qpus: int, together: int) -> Order:
    product = Product.of(spec)
    assert product is not None
    return order_of(product, 22, together, "channels", qpus, columns_wait=not product.constant)


@pytest.mark.parametrize("spec", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(("qpus", "together"), [(12, 6), (6, 2), (1, 1)])
def test_each_part_is_in_order_before_it_is_wanted(spec: LayerSpec, qpus: int, together: int) -> None:
    product, order = Product.of(spec), _order(spec, qpus, together)
    assert product is not None
    full = len(order.tiles) // qpus
    last: dict[Item, int] = {}
    counts: dict[Item, set[int]] = {}
    for number, dealt in enumerate(order.parts):
        for item, part in (part for own in dealt for part in own):
            assert part not in counts.setdefault(item, set())
            counts[item].add(part)
            last[item] = number
    assert all(parts == set(range(product.depth // 16)) for parts in counts.values())
    assert not order.before & counts.keys()
    assert len(order.tiles) == len(set(order.tiles))
    for number, (batch, row, column) in enumerate(order.tiles):
        for item in (Item(True, batch, row), *([] if product.constant else [Item(False, batch, column)])):
            assert item in order.before or last[item] < min(number // qpus, full - 1)


@pytest.mark.parametrize(("parts", "end", "step"), [(1, 24, 4), (3, 24, 4), (7, 1016, 4), (12, 110, 2)])
def test_stops_follow_each_other(parts: int, end: int, step: int) -> None:
    for qpu in range(12):
        places = list(stop_places(parts, end, qpu, 12, step))
        assert len(places) == parts and all(place % step == 0 for place in places)
        assert all(one < other for one, other in pairwise([0, *places, end]))


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((44, 64), (64, 64)), "too few"),
        (((330, 100), (100, 330)), "multiple"),
        (((330, 2064), (2064, 330)), "further apart"),
    ],
)
def test_refusals(shapes: tuple[tuple[int, int], tuple[int, int]], words: str) -> None:
    spec = inferred_layer(Contraction(("mk", "kn"), "mn"), *shapes)
    with pytest.raises(ScheduleError, match=words):
        choice_of(spec, TARGET, UNIFORMS)
