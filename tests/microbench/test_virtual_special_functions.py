"""The special functions beside what is published of silicon (VC4C, doc/sfu_accuracy.txt; py-videocore, APPENDIX)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.microbench.qpu_programs import NOP, R0, R1, R4, UNIFORM, A, add, results

RECIP, RSQRT, EXP2, LOG2 = "sfu_recip", "sfu_rsqrt", "sfu_exp2", "sfu_log2"


def chained(functions: Sequence[str], x: float) -> np.float32:
    """One function of another's result."""
    word = int(np.float32(x).view(np.uint32))
    code = [add("or", "r0", A, A, raddr_a=UNIFORM)]
    for function in functions:
        code += [add("or", function, R0, R0), NOP, NOP, add("or", "r0", R4, R4)]
    (result,) = results([*code, add("or", "r1", R0, R0)], [R1], uniforms=[word])
    return np.float32(result[:1].view(np.float32)[0])


# Of functions: argument and published result, of which each digit counts.
PUBLISHED: dict[tuple[str, ...], dict[float, str]] = {
    (RECIP, RECIP): {1: "1.000000e+00", 2: "2.000183e+00", 0.5: "5.000458e-01", 0.25: "2.500229e-01",
                     0.125: "1.250114e-01", -1: "-1.000000e+00", -2: "-2.000183e+00", 0: "0.000000e+00"},
    (LOG2, EXP2): {1: "1.000031e+00", 2: "2.000061e+00", 0.5: "5.000153e-01", 0.25: "2.500076e-01",
                   0.125: "1.250038e-01", -2: "2.000061e+00"},
    (EXP2,): {0: "1.000031e+00", 1: "2.000061e+00", 2: "4.000122e+00", 3.141593: "8.825195e+00",
              2.718282: "6.581055e+00", 100: "1.267689e+30", 1000: "inf", 0.5: "1.414246e+00", 0.25: "1.189240e+00",
              0.125: "1.090546e+00", -1: "4.999847e-01", -2: "2.499924e-01", -1e5: "0.000000e+00",
              -3.141593: "1.133175e-01"},
    (LOG2,): {0: "-inf", 1: "0.000000e+00", 2: "1.000000e+00", 1000: "9.965729e+00", 1e5: "1.660959e+01",
              0.5: "-9.999847e-01", 0.25: "-1.999985e+00", 0.125: "-2.999985e+00", -1: "0.000000e+00",
              -2: "1.000000e+00"},
}  # fmt: skip
# Those that the model does not hit, and how many steps of 2^-15 of the result's binade it may be off.
NEAR: dict[tuple[str, ...], dict[float, float]] = {
    (RECIP, RECIP): {3.141593: 3.141602, 2.718282: 2.718323, 100: 100.0039, 1000: 999.9844, 1e5: 1e5},
    (LOG2, EXP2): {3.141593: 3.141541, 2.718282: 2.718262, 100: 100.002, 1000: 999.9531, 1e5: 99996},
    (EXP2,): {-0.5: 0.7071075},
    (LOG2,): {3.141593: 1.651428, 2.718282: 1.442627, 100: 6.643829, -1e5: 16.60959, -3.141593: 1.651428},
}
STEPS = 3


@pytest.mark.parametrize("functions", PUBLISHED, ids=" of ".join)
def test_published_results_come_out_to_the_digit(functions: tuple[str, ...]) -> None:
    for x, expected in PUBLISHED[functions].items():
        assert f"{chained(functions, x):e}" == expected, x


@pytest.mark.parametrize("functions", NEAR, ids=" of ".join)
def test_other_published_results_are_near(functions: tuple[str, ...]) -> None:
    for x, expected in NEAR[functions].items():
        binade = 2.0 ** np.floor(np.log2(abs(expected))) if functions != (LOG2,) else 1.0
        assert abs(chained(functions, x) - expected) <= STEPS * 2.0**-15 * binade, x


@pytest.mark.parametrize(
    ("x", "squared"), [(1, "1.000183e+00"), (0.25, "2.500458e-01"), (-1, "1.000183e+00")]
)
def test_the_square_of_the_reciprocal_of_a_root_as_published(x: float, squared: str) -> None:
    root = float(chained((RSQRT, RECIP), x))
    assert f"{root * root:e}" == squared


def test_roots_and_logarithms_take_the_absolute_value() -> None:
    for x in np.random.default_rng(1).uniform(0.01, 100, 8):
        for function in (RSQRT, LOG2):
            assert chained((function,), -x) == chained((function,), x)


def test_results_are_right_to_about_14_bits() -> None:
    for x in np.random.default_rng(2).uniform(0.001, 1, 12).astype(np.float32).astype(np.float64):
        for function, exact in ((RECIP, 1 / x), (RSQRT, x**-0.5), (EXP2, 2.0**x)):
            assert abs(chained((function,), x) - exact) <= 5e-5 * exact
        assert abs(chained((LOG2,), x) - np.log2(x)) <= 2 * 2.0**-15
