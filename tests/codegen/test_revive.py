"""Canonical JSON and back gives the same object and the same hash; anything else is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.canonical import canonical_json, content_hash, plain
from codegen.errors import CanonicalFormError
from codegen.expression import RESULT, Operand, apply, clamp
from codegen.graph import LayerSpec
from codegen.operator import Operator
from codegen.operator_registry import registry
from codegen.operators.batch_normalization import BatchNormalization
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pad2d import Pad2d
from codegen.operators.pool2d import Pool2d
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.operators.transpose import Transpose
from codegen.revive import revivable, revive, revive_as, revive_json
from codegen.schedule import Candidate, Choice, Work, values
from codegen.tensor import TensorType
from tests.codegen.layers import layer_spec

SIZES = st.integers(1, 4096)
PAIRS = st.tuples(SIZES, SIZES)
PADS = st.tuples(*[st.integers(0, 16)] * 4)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(max_size=20)
ACTIVATIONS = st.builds(clamp, st.just(RESULT), st.none() | FLOATS, st.none() | FLOATS)
EXPRESSIONS = st.builds(
    apply, st.sampled_from(["add", "min", "pow"]), ACTIVATIONS, st.builds(Operand, st.integers(0, 3))
)
OPERATORS: st.SearchStrategy[Operator] = st.one_of(
    st.builds(Conv2d, PAIRS, PAIRS, PADS, PAIRS, SIZES, ACTIVATIONS),
    st.builds(ConvTranspose2d, PAIRS, PAIRS, PADS, PAIRS, PAIRS, SIZES, ACTIVATIONS),
    st.builds(
        Pool2d, st.sampled_from(["max", "average"]), PAIRS, PAIRS, PADS, PAIRS, st.booleans(), ACTIVATIONS
    ),
    st.builds(FullyConnected, ACTIVATIONS),
    st.builds(Concat, st.integers(0, 3)),
    st.builds(Pad2d, PADS),
    st.builds(Transpose, st.permutations(range(4)).map(tuple)),
    st.builds(BatchNormalization, FLOATS),
    st.builds(Map, EXPRESSIONS),
    st.builds(Softmax, st.integers(0, 3)),
    st.just(Reshape()),
    st.builds(Relayout, NAMES, NAMES),
)
TENSORS = st.builds(TensorType, st.lists(SIZES, max_size=4).map(tuple), st.sampled_from(["float32", "int64"]))
TENSOR_TUPLES = st.lists(TENSORS, max_size=3).map(tuple)
SPECS = st.builds(LayerSpec, OPERATORS, TENSOR_TUPLES, TENSOR_TUPLES, TENSOR_TUPLES)
POINTS = st.dictionaries(NAMES, st.integers(), max_size=4).map(values)
CHOICES = st.builds(
    Choice,
    st.sampled_from(["cpu", "videocore4"]),
    NAMES,
    POINTS,
    POINTS,
    st.lists(NAMES, max_size=2).map(tuple),
    st.lists(NAMES, max_size=2).map(tuple),
)
CANDIDATES = st.builds(Candidate, SPECS, CHOICES)
WORKS = st.builds(Work, *[FLOATS] * 11)

RELU6 = Candidate(
    layer_spec(Map(clamp(RESULT, 0.0, 6.0)), (TensorType((1, 8)),), TensorType((1, 8))),
    Choice("cpu", "direct", (), (("width", 4),), ("nchw",), ("nchw",)),
)


@given(CANDIDATES | WORKS | SPECS)
def test_round_trip_keeps_the_object_and_its_hash(value: Any) -> None:
    text = canonical_json(value)
    revived = revive_json(type(value), text)
    assert revived == value
    assert content_hash(revived) == content_hash(value)
    assert canonical_json(revived) == text


def test_every_operator_has_a_way_back() -> None:
    assert {*registry().operators, "Candidate", "Work", "Apply"} <= set(revivable())


def test_tuples_come_back_hashable() -> None:
    revived = revive(json.loads(canonical_json(RELU6)))
    assert revived.choice.tile == (("width", 4),)
    assert hash(revived) == hash(RELU6)


def broken(**changes: Any) -> dict[str, Any]:
    form: dict[str, Any] = plain(RELU6.choice)
    form.update(changes)
    return {key: value for key, value in form.items() if value is not ...}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (broken(type="Chance"), "unknown type 'Chance'"),
        (broken(type=None), "unknown type None"),
        (broken(tile=...), "missing: tile"),
        (broken(speed=1), "unexpected: speed"),
        (broken(tile=[["width", 4.5]]), "value.tile"),
        (broken(tile=[["width", True]]), "value.tile"),
        (broken(split=[["width"]]), "value.split"),
        (broken(engine=3), "value.engine"),
        (broken(algorithm={"type": "Reshape"}), "value.algorithm"),
        (broken(output_layouts=None), "value.output_layouts"),
        ({"no": "type"}, "unknown type None"),
        ({1, 2}, "set has no canonical form"),
    ],
)
def test_refuses_what_is_no_form(form: Any, message: str) -> None:
    with pytest.raises(CanonicalFormError, match=message):
        revive(form)


def test_a_field_with_a_default_may_be_younger_than_the_form() -> None:
    work = Work(macs=3.0, balance=1.5)
    form = plain(work)
    del form["workspace_bytes"]
    assert revive(form) == work


def test_refuses_another_class_and_no_json() -> None:
    with pytest.raises(CanonicalFormError, match="form of a Candidate"):
        revive_as(Candidate, plain(RELU6.choice))
    with pytest.raises(CanonicalFormError, match="not JSON"):
        revive_json(Candidate, '{"type": "Cand')


def test_other_packages_bring_their_own_types() -> None:
    @dataclass(frozen=True)
    class Wrapped:
        candidate: Candidate

    revived = revive_as(Wrapped, plain(Wrapped(RELU6)))
    assert revived.candidate == RELU6
