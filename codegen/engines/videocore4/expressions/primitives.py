"""How the QPUs compute each primitive, with a relative error below 3e-5 where ONNX has a finite, normal number.

The special functions are right to 10 to 14 bits, and off to one side: what a network makes of that grows from layer to
layer. So reciprocals and inverse roots get a Newton step, and powers of two and logarithms are computed without them.
Polynomials are minimax fits of the relative error, made for this file; their errors stand beside them.

Where ONNX has no finite, normal number: there is no NaN on the QPU, denormals are 0 wherever they are read or arise,
also between the primitives of an expression, and 0 times anything is 0. So

| primitive | what it gives |
|---|---|
| add, sub | of two infinities the second (the negated second) |
| mul | 0 for 0 times infinity |
| div | x / 0: infinity, as ONNX, but for 1 / -0, which is positive; 0 / 0: 0; anything / infinity: 0 |
| min, max, less, equal | order of the words as floats: a NaN read from memory lies beyond the infinity of its sign |
| select | a condition that is denormal counts as 0 |
| floor | numbers beyond 2**23, infinities too, as they are |
| sqrt | 0 below 0; 0 of infinity |
| exp, expm1 | infinity above 128 ln 2 = 88.72; exp 0 below -126 ln 2 = -87.33 |
| log, log1p | -infinity of 0 (-1); the logarithm of the magnitude below; an infinity counts as 2**128 |
| tanh, erf, erfc | their limits at the infinities |
| pow | a negative base with an exponent that is no integer: the power of the magnitude, with the sign that the exponent
cut to an integer gives; 0 to a power below 0: infinity; an infinite base counts as 2**128 |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from codegen.engines.videocore4.expressions.steps import Result, Steps, Value, number
from codegen.interval import ANYTHING, Interval

LOG2_E = math.log2(math.e)
_SIGN = 0x80000000
_MINUS_INFINITY = 0xFF800000
_ROOT_HALF = 0x3F3504F3  # sqrt(1/2): mantissas lie from it to its double
_EXPONENT = -9  # a shift by 23, as a small immediate: shifts count modulo 32
_LARGEST_POWER = 8  # up to which powers are products

# 2**f for f from 0 to 1: 9.5e-8.
EXP2 = (
    1.0,
    0.6931512951850891,
    0.24016444385051727,
    0.05579991266131401,
    0.009017029777169228,
    0.0018671301659196615,
)
WHOLE = (
    1.5 * 2.0**23 + 127.0
)  # a sum with it is cut to a whole number, and its word ends with the exponent of that
# log(1 + f) / f for f from sqrt(1/2) - 1 to sqrt(2) - 1: 1.4e-6.
LOG = (
    1.0,
    -0.5000084858265188,
    0.3331922129975107,
    -0.24919062238607306,
    0.20449119402033336,
    -0.18587607712406654,
    0.11949446418373915,
)
# expm1(x) / x for |x - 1/4| <= 1: 5.0e-7. Beyond, exp(x) - 1 loses at most 1.5 of the error of exp(x).
EXPM1 = (
    1.0,
    0.5000004768371582,
    0.16667503118515015,
    0.04166317358613014,
    0.008292659185826778,
    0.0014055412029847503,
    0.0002449835301376879,
)
# tanh(x) / x in x**2 for |x| <= 7.5, behind which 1 - tanh(x) < 6.2e-7: 1.8e-6.
TANH_END = 7.5
TANH_ABOVE = (0.9999982714653015, 0.12258769571781158, 0.00223639328032732, 3.729848231159849e-06)
TANH_BELOW = (1.0, 0.45590874552726746, 0.020887555554509163, 0.00013783432950731367)
# erf(x) / x in x**2 for |x| <= 3.5, behind which erfc(x) < 7.5e-7: 5.4e-6.
ERF_END = 3.5
ERF_ABOVE = (1.128373146057129, 0.1573977917432785, 0.04255808889865875, 0.0007116043707355857)
ERF_BELOW = (1.0, 0.4727741479873657, 0.09535714238882065, 0.00899068545550108)
# exp(t**2) erfc(t) / k in k = 1 / (1 + t / 2) for t >= 0: 2.8e-6.
ERFC = (
    0.28209561109542847,
    0.281993567943573,
    0.2488463670015335,
    0.16213683784008026,
    0.12520457804203033,
    -0.04093785956501961,
    -0.11019115895032883,
    0.050854798406362534,
)

Bounds = Sequence[Interval]
Lowering = Callable[[Steps, Sequence[Value], Bounds], Value]


def add(s: Steps, first: Value, second: Value) -> Value:
    """A sum; numbers that are no small immediate unless negated are subtracted."""
    if isinstance(first, (int, float)):
        first, second = second, first
    if isinstance(second, float) and second < 0.0:
        return s.op("fsub", first, -second)
    return s.op("fadd", first, second)


def subtract(s: Steps, first: Value, second: Value) -> Value:
    if isinstance(second, float) and second < 0.0:
        return s.op("fadd", first, -second)
    return s.op("fsub", first, second)


def multiply(s: Steps, first: Value, second: Value) -> Value:
    if isinstance(first, (int, float)):
        first, second = second, first
    if isinstance(second, float) and second == 1.0:
        return first
    if isinstance(second, float) and second == -1.0:
        return s.op("fsub", 0, first)
    return s.op("fmul", first, second)


def divide(s: Steps, first: Value, second: Value, bounds: Interval) -> Value:
    """A quotient: by a reciprocal where that cannot be denormal unless the quotient is, else by the square of the
    inverse root, which no denominator makes denormal.
    """
    if isinstance(second, float) and second != 0.0:
        if 2.0**-126 <= abs(1.0 / second) <= 2.0**127:
            return multiply(s, first, 1.0 / second)
        half = 2.0**-64 if abs(second) > 1.0 else 2.0**64
        return multiply(s, multiply(s, first, half), 1.0 / second / half)
    if isinstance(first, float) and abs(first) <= 1.0:
        return multiply(s, reciprocal(s, second), first)
    if bounds.low < 0.0:
        first = s.op("xor", first, s.op("and", second, _SIGN))
        second = s.op("fmaxabs", second, second)
    root = s.function("rsqrt", second)
    correction = s.op("fsub", 2.0, s.op("fmul", s.op("fmul", second, root), root))
    return s.op("fmul", s.op("fmul", s.op("fmul", first, root), root), correction)


def reciprocal(s: Steps, value: Value) -> Result:
    """1 / value with one Newton step."""
    guess = s.function("recip", value)
    return s.op("fmul", guess, s.op("fsub", 2.0, s.op("fmul", value, guess)))


def polynomial(s: Steps, x: Value, coefficients: Sequence[float]) -> Value:
    """By Horner's rule, the constant term first."""
    total: Value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = add(s, s.op("fmul", total, x), coefficient)
    return total


def magnitude(s: Steps, x: Value, bounds: Interval) -> Value:
    return x if bounds.low >= 0.0 else s.op("fmaxabs", x, x)


def exponential(s: Steps, x: Value, bounds: Interval, factor: float = 1.0) -> Value:
    """exp(factor * x)."""
    ends = (bounds.low * factor * LOG2_E, bounds.high * factor * LOG2_E)
    return power_of_two(s, multiply(s, x, factor * LOG2_E), Interval(min(ends), max(ends)))


def power_of_two(s: Steps, x: Value, bounds: Interval = ANYTHING) -> Value:
    """2**x = 2**n 2**f for the next whole number n below x: sums are cut, so one with a large number is the next below,
    and its word ends with the exponent of 2**n.
    """
    if not bounds.low >= -127.0:
        x = s.op("fmax", x, -127.0)
    if not bounds.high <= 128.0:
        x = s.op("fmin", x, 128.0)
    whole = s.op("fadd", x, WHOLE)
    fraction = s.op("fsub", x, s.op("fsub", whole, WHOLE))
    return s.op("fmul", polynomial(s, fraction, EXP2), s.op("shl", whole, _EXPONENT))


def less(s: Steps, first: Value, second: Value, then: Value, otherwise: Value) -> Value:
    """A choice by order: the carry of fmax says that its first operand is the larger."""
    return s.choose(("fmax", second, first), "cs", then, otherwise)


def equal(s: Steps, first: Value, second: Value, then: Value, otherwise: Value) -> Value:
    return less(s, first, second, otherwise, less(s, second, first, otherwise, then))


def floor(s: Steps, x: Value) -> Value:
    cut = s.op("itof", s.op("ftoi", x))
    lower = s.adjust(("fsub", x, cut), "ns", "fsub", cut, 1.0)
    return s.choose(("fmaxabs", x, 2.0**23), "cs", x, lower)


def root(s: Steps, x: Value, bounds: Interval) -> Value:
    """x / sqrt(x) with one Newton step."""
    x = x if bounds.low >= 0.0 else s.op("fmax", x, 0)
    inverse = s.function("rsqrt", x)
    guess = s.op("fmul", x, inverse)
    correction = s.op("fsub", 1.5, s.op("fmul", s.op("fmul", guess, inverse), 0.5))
    return s.op("fmul", guess, correction)


def logarithm(s: Steps, x: Value, base: float, near_one: Value | None = None) -> Value:
    """log(x) for x > 0: x = 2**e (1 + f); `near_one`, where given, is x - 1 more precisely."""
    exponent = s.op("asr", s.op("sub", x, _ROOT_HALF), _EXPONENT)
    f: Value = subtract(s, s.op("sub", x, s.op("shl", exponent, _EXPONENT)), 1.0)
    if near_one is not None:
        f = s.choose(("mov", exponent, exponent), "zs", near_one, f)
    scale = 1.0 / math.log(base)
    mantissa = s.op("fmul", f, polynomial(s, f, [c * scale for c in LOG]))
    return s.op("fadd", multiply(s, s.op("itof", exponent), math.log(2.0) * scale), mantissa)


def logarithm_of_any(
    s: Steps,
    x: Value,
    bounds: Interval,
    base: float = math.e,
    near_one: Value | None = None,
) -> Value:
    """log |x|, -infinity of 0."""
    if bounds.low >= 2.0**-126:
        return logarithm(s, x, base, near_one)
    finite = logarithm(s, magnitude(s, x, bounds), base, near_one)
    return s.choose(("fadd", x, 0), "zs", _MINUS_INFINITY, finite)


def log1p(s: Steps, x: Value, bounds: Interval) -> Value:
    above = Interval(bounds.low + 1.0, bounds.high + 1.0)
    return logarithm_of_any(s, s.op("fadd", x, 1.0), above, near_one=x)


def expm1(s: Steps, x: Value, bounds: Interval) -> Value:
    near = s.op("fmul", x, polynomial(s, x, EXPM1))
    far = s.op("fsub", exponential(s, x, bounds), 1.0)
    return s.choose(("fmaxabs", s.op("fsub", x, 0.25), 1.0), "cs", far, near)


def tanh(s: Steps, x: Value) -> Value:
    return _odd_quotient(s, x, TANH_END, TANH_ABOVE, TANH_BELOW)


def _odd_quotient(
    s: Steps, x: Value, end: float, numerator: Sequence[float], denominator: Sequence[float]
) -> Value:
    """x times a quotient of polynomials in x**2, up to an end on both sides."""
    x = s.op("fmin", s.op("fmax", x, -end), end)
    square = s.op("fmul", x, x)
    below = reciprocal(s, polynomial(s, square, denominator))
    return s.op("fmul", s.op("fmul", x, polynomial(s, square, numerator)), below)


def erf(s: Steps, x: Value) -> Value:
    return _odd_quotient(s, x, ERF_END, ERF_ABOVE, ERF_BELOW)


def erfc(s: Steps, x: Value, bounds: Interval) -> Value:
    t = magnitude(s, x, bounds)
    k = reciprocal(s, s.op("fadd", s.op("fmul", t, 0.5), 1.0))
    share = s.op("fmul", k, polynomial(s, k, ERFC))
    above = s.op("fmul", exponential(s, s.op("fmul", t, t), Interval(0.0, math.inf), -1.0), share)
    return above if t == x else s.choose(("mov", x, x), "ns", s.op("fsub", 2.0, above), above)


def power(s: Steps, base: Value, exponent: Value, bounds: Interval) -> Value:
    if isinstance(exponent, float):
        if exponent == int(exponent) and abs(exponent) <= _LARGEST_POWER:
            product = _product(s, base, abs(int(exponent)))
            return product if exponent >= 0.0 else divide(s, 1.0, product, Interval(-math.inf, math.inf))
        if exponent == 0.5:
            return root(s, base, bounds)
    if isinstance(base, float) and base > 0.0:
        return power_of_two(s, multiply(s, exponent, math.log2(base)))
    log = logarithm_of_any(s, base, bounds, 2.0)
    result = power_of_two(s, s.op("fmul", log, exponent))
    if bounds.low >= 0.0:
        return result
    if isinstance(exponent, float):
        odd = abs(exponent) < 2.0**31 and int(exponent) % 2 == 1
        return s.op("xor", result, s.op("and", base, _SIGN)) if odd else result
    parity = s.op("shl", s.op("ftoi", exponent), -1)  # a shift by 31
    return s.op("xor", result, s.op("and", base, parity))


def _product(s: Steps, base: Value, count: int) -> Value:
    """A power by squaring."""
    total: Value = 1.0
    while count:
        if count % 2:
            total = base if total == 1.0 else s.op("fmul", total, base)
        count //= 2
        if count:
            base = s.op("fmul", base, base)
    return total


PRIMITIVES: Mapping[str, Lowering] = {
    "add": lambda s, v, _: add(s, *v),
    "sub": lambda s, v, _: subtract(s, *v),
    "mul": lambda s, v, _: multiply(s, *v),
    "div": lambda s, v, b: divide(s, v[0], v[1], b[1]),
    "min": lambda s, v, _: s.op("fmin", *map(number, v)),
    "max": lambda s, v, _: s.op("fmax", *map(number, v)),
    "neg": lambda s, v, _: s.op("fsub", 0, v[0]),
    "abs": lambda s, v, _: s.op("fmaxabs", v[0], v[0]),
    "floor": lambda s, v, _: floor(s, v[0]),
    "less": lambda s, v, _: less(s, v[0], v[1], 1.0, 0),
    "equal": lambda s, v, _: equal(s, v[0], v[1], 1.0, 0),
    "select": lambda s, v, _: s.choose(("fadd", v[0], 0), "zc", v[1], v[2]),
    "sqrt": lambda s, v, b: root(s, v[0], b[0]),
    "exp": lambda s, v, b: exponential(s, v[0], b[0]),
    "expm1": lambda s, v, b: expm1(s, v[0], b[0]),
    "log": lambda s, v, b: logarithm_of_any(s, v[0], b[0]),
    "log1p": lambda s, v, b: log1p(s, v[0], b[0]),
    "tanh": lambda s, v, _: tanh(s, v[0]),
    "erf": lambda s, v, _: erf(s, v[0]),
    "erfc": lambda s, v, b: erfc(s, v[0], b[0]),
    "pow": lambda s, v, b: power(s, v[0], v[1], b[0]),
}
