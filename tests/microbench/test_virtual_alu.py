"""The virtual ALUs against results recorded on silicon, and against exact arithmetic."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from codegen.engines.videocore4.isa import ADD_OPS, MUL_OPS
from microbench.virtual.library import library
from tests.probes import SILICON_VECTORS

Words = NDArray[np.uint32]

PACKS = {
    "result": 0, "result_saturated": 8, "p32_sat": 8, "p16a": 1, "p16a_sat": 9, "p16b": 2, "p16b_sat": 10,
    "p8888": 3, "p8888_sat": 11, "p8a": 4, "p8a_sat": 12, "p8b": 5, "p8b_sat": 13, "p8c": 6, "p8c_sat": 14,
    "p8d": 7, "p8d_sat": 15,
}  # fmt: skip
FLAGS = {"z": 1, "n": 2, "c": 4}
INFINITY = 0x7F800000


def alu(unit: int, op: int, a: Words, b: Words, pack: int = 0) -> tuple[Words, Words]:
    """Results and flags of any number of lanes."""
    lanes = len(a)
    padded = -(-lanes // 16) * 16
    left, right = (np.resize(x, padded).astype(np.uint32) for x in (a, b))
    old, result, flags = (np.zeros(padded, np.uint32) for _ in range(3))
    for start in range(0, padded, 16):
        arrays = [x[start : start + 16].ctypes.data for x in (left, right, old, result, flags)]
        status = library().alu(unit, op, arrays[0], arrays[1], pack, *arrays[2:])
        assert status == 0
    return result[:lanes], flags[:lanes]


def rows(name: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    path = SILICON_VECTORS / name
    by_op: dict[str, list[dict[str, str]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            by_op.setdefault(row["op"], []).append(row)
    yield from by_op.items()


def column(rows_of_op: list[dict[str, str]], name: str) -> Words:
    return np.array([int(row[name], 16) for row in rows_of_op], np.uint32)


def operation(op: str) -> tuple[int, int]:
    return (0, ADD_OPS[op]) if op in ADD_OPS else (1, MUL_OPS[op])


@pytest.mark.needs("silicon vectors")
@pytest.mark.parametrize("name", ["qpu_alu_vectors.csv", "qpu_pack_vectors.csv"])
def test_results_and_packs_are_those_of_silicon(name: str) -> None:
    wrong: Counter[tuple[str, str]] = Counter()
    checked = 0
    for op, vectors in rows(name):
        a, b = column(vectors, "a"), column(vectors, "b")
        for field in set(vectors[0]) & set(PACKS):
            result, _ = alu(*operation(op), a, b, PACKS[field])
            wrong[op, field] += int(np.count_nonzero(result != column(vectors, field)))
            checked += len(vectors)
    assert checked > 2000
    assert not +wrong


@pytest.mark.needs("silicon vectors")
def test_flags_of_the_add_alu_are_those_of_silicon() -> None:
    wrong: Counter[str] = Counter()
    for op, vectors in rows("qpu_alu_vectors.csv"):
        if op in MUL_OPS:  # recorded wrongly
            continue
        _, flags = alu(*operation(op), column(vectors, "a"), column(vectors, "b"))
        expected = [sum(FLAGS[letter] for letter in row["flags"]) for row in vectors]
        wrong[op] += int(np.count_nonzero(flags != np.array(expected, np.uint32)))
    assert not +wrong


def value_of(word: int) -> Fraction:
    """The finite number that a word is to the float units."""
    exponent = word >> 23 & 255
    if exponent == 0:
        return Fraction(0)
    magnitude = Fraction(word & 0x7FFFFF | 0x800000) * Fraction(2) ** (exponent - 150)
    return -magnitude if word >> 31 else magnitude


def truncated(value: Fraction) -> int:
    """The word of the float next to a number on the side of zero."""
    if value == 0:
        return 0
    sign = 0x80000000 if value < 0 else 0
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    if exponent < -126:
        return 0
    if exponent > 127:
        return sign | INFINITY
    mantissa = int(magnitude / Fraction(2) ** (exponent - 23))
    return sign | (exponent + 127) << 23 | (mantissa & 0x7FFFFF)


FINITE = st.integers(0, 0xFFFFFFFF).filter(lambda word: word >> 23 & 255 != 255)
NEAR = st.builds(
    lambda e, m, s: s << 31 | e << 23 | m, st.integers(120, 134), st.integers(0, 0x7FFFFF), st.integers(0, 1)
)
LANES = st.lists(st.tuples(FINITE | NEAR, FINITE | NEAR), min_size=16, max_size=16)


@pytest.mark.parametrize(
    ("unit", "op", "exact"),
    [
        (0, ADD_OPS["fadd"], lambda a, b: a + b),
        (0, ADD_OPS["fsub"], lambda a, b: a - b),
        (1, MUL_OPS["fmul"], lambda a, b: a * b),
    ],
    ids=["fadd", "fsub", "fmul"],
)
@given(lanes=LANES)
def test_float_operations_truncate(
    unit: int, op: int, exact: Callable[[Fraction, Fraction], Fraction], lanes: list[tuple[int, int]]
) -> None:
    a, b = (np.array(words, np.uint32) for words in zip(*lanes, strict=True))
    result, _ = alu(unit, op, a, b)
    expected = [truncated(exact(value_of(x), value_of(y))) for x, y in lanes]
    assert result.tolist() == expected


@given(lanes=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=16, max_size=16))
def test_conversions_truncate(lanes: list[int]) -> None:
    words = np.array(lanes, np.int32).view(np.uint32)
    floats, _ = alu(0, ADD_OPS["itof"], words, words)
    assert floats.tolist() == [truncated(Fraction(value)) for value in lanes]
    back, _ = alu(0, ADD_OPS["ftoi"], floats, floats)
    assert back.view(np.int32).tolist() == [int(value_of(word)) for word in floats.tolist()]


def test_what_ftoi_cannot_hold_is_zero() -> None:
    words = np.array([0x4F000000, 0x7FC00000, 0xFF800000, 0x5F000000], np.uint32)
    assert alu(0, ADD_OPS["ftoi"], words, words)[0].tolist() == [0, 0, 0, 0]


def test_a_reserved_operation_is_refused() -> None:
    lane = np.zeros(16, np.uint32).ctypes.data
    assert library().alu(0, 9, lane, lane, 0, lane, lane, lane) == -1
