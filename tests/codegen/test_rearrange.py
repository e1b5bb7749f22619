"""What a Rearrange may read is told from its axes, without listing every place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.errors import GraphSpecError
from codegen.operators.rearrange import Rearrange
from codegen.places import NOWHERE
from codegen.tensor import TensorType

ELEMENTS = 12
SOURCE = TensorType((3, 4))
SIZES = st.lists(st.integers(1, 3), min_size=1, max_size=3)


@st.composite
def rearrangements(draw: st.DrawFn) -> Rearrange:
    shape = tuple(draw(SIZES))
    strides = tuple(draw(st.integers(-4, 4)) for _ in shape)
    places = st.integers(NOWHERE, 8)
    tables = tuple(
        tuple(draw(st.lists(places, min_size=size, max_size=size))) if draw(st.booleans()) else ()
        for size in shape
    )
    return Rearrange(shape, strides, draw(st.integers(0, 8)), tables if any(tables) else ())


def place(op: Rearrange, index: tuple[int, ...]) -> int | None:
    """Of one element, by the operator's definition; None where it is the fill."""
    total = op.offset
    for axis, i in enumerate(index):
        table = op.tables[axis] if op.tables else ()
        if table and table[i] == NOWHERE:
            return None
        total += table[i] if table else i * op.strides[axis]
    return total


@given(op=rearrangements())
def test_it_is_refused_where_a_place_lies_outside(op: Rearrange) -> None:
    found = [place(op, index) for index in np.ndindex(op.shape)]
    if all(one is None or 0 <= one < ELEMENTS for one in found):
        assert op.infer([SOURCE], [], []) == (TensorType(op.shape),)
        values = np.arange(1.0, ELEMENTS + 1)
        (result,) = op.evaluate([values.reshape(3, 4)], [], [TensorType(op.shape)])
        assert result.reshape(-1).tolist() == [op.fill if one is None else one + 1 for one in found]
    else:
        with pytest.raises(GraphSpecError, match="beyond its elements"):
            op.infer([SOURCE], [], [])


def test_a_result_that_no_memory_holds_is_judged_all_the_same() -> None:
    shape = (1 << 20, 1 << 20, 1 << 20)
    assert math.prod(shape) > 1 << 59
    assert Rearrange(shape, (0, 0, 0), 11).infer([SOURCE], [], [])[0].shape == shape
    with pytest.raises(GraphSpecError, match="beyond its elements"):
        Rearrange(shape, (0, 0, 0), 12).infer([SOURCE], [], [])


def test_a_table_of_another_length_is_refused() -> None:
    with pytest.raises(GraphSpecError, match="table of 2 for axis 0"):
        Rearrange((3,), (0,), 0, ((0, 1),)).infer([SOURCE], [], [])
