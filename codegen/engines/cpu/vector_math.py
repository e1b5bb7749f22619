"""C text of elementary functions on vectors of any width, one float included, by gcc's and clang's vector extensions.

Arguments are reduced to a short interval and a polynomial is evaluated there; the coefficients were fitted by weighted
least squares (largest relative error of the polynomial alone below 1.4e-7). Infinities and NaN come out as IEEE 754
wants them; results are within about 1e-6 of the value, relative to it, wherever it is a normal number.
"""

from __future__ import annotations

from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill, float_literal

EXPM1 = (
    0.4999999952527741,
    0.16666573692896952,
    0.041666860984124865,
    0.00836374008981254,
    0.001390153004210408,
)
"""(exp(r) - 1 - r) / r^2 for |r| up to 0.35."""
LOG1P = (
    0.3333332994489843,
    -0.25000303933339774,
    0.20001200782861464,
    -0.16641580731684288,
    0.14209950800250767,
    -0.12989293407863325,
    0.12655663613156995,
    -0.07974118621821585,
)
"""(log(1 + f) - f + f^2 / 2) / f^3 for 1 + f between the square roots of 1/2 and 2."""
ERF = (
    1.1283791224975577,
    -0.37612326190137224,
    0.11280180114712939,
    -0.026711311049865138,
    0.004917550875980054,
    -0.0005631419253171894,
)
"""erf(x) / x in x^2, for |x| up to 1."""
ERFCX = (
    0.2820855739226012,
    0.2823900834579319,
    0.24299648780176386,
    0.20311045085732257,
    -0.027624733308591158,
    0.2795145349590221,
    -0.48846260511191497,
    0.28518366718156274,
    -0.05919350313538919,
)
"""erfc(x) exp(x^2) / t in t = 1 / (1 + x / 2), for x from 0 to 10.5."""


def math_prologue(lanes: int) -> str:
    """The type `vec<lanes>` and its functions: `min`, `max` (NaN where one is), `select`, `less`, `equal`, `abs`,
    `floor`, `sqrt`, `exp`, `expm1`, `log`, `log1p`, `tanh`, `erf`, `erfc`, `pow`. May stand in a file several times.
    """
    return fill(
        _TEXT,
        lanes=lanes,
        bytes=FLOAT_BYTES * lanes,
        expm1=_horner(EXPM1, "r"),
        log1p=_horner(LOG1P, "f"),
        erf=_horner(ERF, "z"),
        erfcx=_horner(ERFCX, "t"),
    )


def _horner(coefficients: tuple[float, ...], variable: str) -> str:
    text = float_literal(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        text = f"({text} * {variable} + {float_literal(coefficient)})"
    return text


_TEXT = """
    #ifndef EXPLORE_MATH$lanes
    #define EXPLORE_MATH$lanes
    #include <math.h>
    #define MATH$lanes static inline __attribute__((always_inline, unused))
    typedef float fvec$lanes __attribute__((vector_size($bytes)));
    typedef int ivec$lanes __attribute__((vector_size($bytes)));
    MATH$lanes fvec$lanes splat$lanes(float x)
    {
        return (fvec$lanes){0} + x;
    }
    MATH$lanes fvec$lanes pick$lanes(ivec$lanes mask, fvec$lanes a, fvec$lanes b)
    {
        return (fvec$lanes)((mask & (ivec$lanes)a) | (~mask & (ivec$lanes)b));
    }
    MATH$lanes fvec$lanes min$lanes(fvec$lanes a, fvec$lanes b)
    {
        return pick$lanes((b < a) | (b != b), b, a);
    }
    MATH$lanes fvec$lanes max$lanes(fvec$lanes a, fvec$lanes b)
    {
        return pick$lanes((b > a) | (b != b), b, a);
    }
    MATH$lanes fvec$lanes select$lanes(fvec$lanes condition, fvec$lanes a, fvec$lanes b)
    {
        return pick$lanes(condition != 0.0f, a, b);
    }
    MATH$lanes fvec$lanes less$lanes(fvec$lanes a, fvec$lanes b)
    {
        return pick$lanes(a < b, splat$lanes(1.0f), splat$lanes(0.0f));
    }
    MATH$lanes fvec$lanes equal$lanes(fvec$lanes a, fvec$lanes b)
    {
        return pick$lanes(a == b, splat$lanes(1.0f), splat$lanes(0.0f));
    }
    MATH$lanes fvec$lanes abs$lanes(fvec$lanes x)
    {
        return (fvec$lanes)((ivec$lanes)x & 0x7fffffff);
    }
    MATH$lanes fvec$lanes floor$lanes(fvec$lanes x)
    {
        const ivec$lanes small = abs$lanes(x) < 8388608.0f; /* others are whole numbers, or none */
        const fvec$lanes safe = pick$lanes(small, x, splat$lanes(0.0f));
        const fvec$lanes whole = __builtin_convertvector(__builtin_convertvector(safe, ivec$lanes), fvec$lanes);
        const fvec$lanes below = whole - pick$lanes(whole > safe, splat$lanes(1.0f), splat$lanes(0.0f));
        return pick$lanes(small, below, x);
    }
    MATH$lanes fvec$lanes sqrt$lanes(fvec$lanes x)
    {
        for (int i = 0; i < $lanes; ++i)
            x[i] = sqrtf(x[i]);
        return x;
    }
    MATH$lanes fvec$lanes pow$lanes(fvec$lanes x, fvec$lanes y)
    {
        for (int i = 0; i < $lanes; ++i)
            x[i] = powf(x[i], y[i]);
        return x;
    }
    MATH$lanes fvec$lanes power_of_two$lanes(ivec$lanes n) /* n from -126 to 127 */
    {
        return (fvec$lanes)((n + 127) << 23);
    }
    /* x = n ln 2 + r with |r| up to 0.35; returns exp(r) - 1 */
    MATH$lanes fvec$lanes reduced_expm1_$lanes(fvec$lanes x, ivec$lanes *n)
    {
        const fvec$lanes turns = floor$lanes(x * 0x1.715476p+0f + 0.5f);
        const fvec$lanes r = x - turns * 0x1.62ep-1f - turns * 0x1.0bfbe8p-15f;
        *n = __builtin_convertvector(turns, ivec$lanes);
        return r * r * $expm1 + r;
    }
    MATH$lanes fvec$lanes exp$lanes(fvec$lanes x)
    {
        const fvec$lanes bounded = min$lanes(max$lanes(x, splat$lanes(-104.0f)), splat$lanes(89.0f));
        ivec$lanes n;
        const fvec$lanes e = reduced_expm1_$lanes(bounded, &n) + 1.0f;
        const ivec$lanes half = n >> 1; /* in two steps: to infinity and to the smallest numbers */
        return pick$lanes(x == x, e * power_of_two$lanes(half) * power_of_two$lanes(n - half), x);
    }
    MATH$lanes fvec$lanes expm1$lanes(fvec$lanes x)
    {
        const fvec$lanes bounded = min$lanes(max$lanes(x, splat$lanes(-30.0f)), splat$lanes(89.0f));
        ivec$lanes n;
        const fvec$lanes e = reduced_expm1_$lanes(bounded, &n);
        const fvec$lanes half = power_of_two$lanes(n - 1);
        const fvec$lanes result = 2.0f * (half * e + (half - 0.5f));
        return pick$lanes((n == 0) | (x != x), pick$lanes(x == x, e, x), result);
    }
    MATH$lanes fvec$lanes log$lanes(fvec$lanes x)
    {
        const ivec$lanes tiny = x < 0x1p-126f;
        const fvec$lanes normal = pick$lanes(tiny, x * 0x1p24f, x);
        const ivec$lanes bits = (ivec$lanes)normal;
        const ivec$lanes exponent = (bits - 0x3f3504f3) >> 23; /* so that the rest lies around 1 */
        const fvec$lanes f = (fvec$lanes)(bits - (exponent << 23)) - 1.0f;
        const fvec$lanes turns = __builtin_convertvector(exponent - (tiny & 24), fvec$lanes);
        const fvec$lanes rest = f * f * f * $log1p - 0.5f * f * f + turns * 0x1.0bfbe8p-15f;
        fvec$lanes result = turns * 0x1.62ep-1f + (f + rest);
        result = pick$lanes(x == 0.0f, splat$lanes(-INFINITY), result);
        result = pick$lanes((x < 0.0f) | (x != x), splat$lanes(NAN), result);
        return pick$lanes(x == INFINITY, x, result);
    }
    MATH$lanes fvec$lanes log1p$lanes(fvec$lanes x)
    {
        const fvec$lanes u = 1.0f + x;
        const fvec$lanes lost = u - 1.0f; /* what is left of x */
        const ivec$lanes exact = (lost == x) | (x == INFINITY);
        const fvec$lanes corrected = log$lanes(u) * (x / pick$lanes(lost == 0.0f, splat$lanes(1.0f), lost));
        return pick$lanes(exact, pick$lanes(x == 0.0f, x, log$lanes(u)), pick$lanes(lost == 0.0f, x, corrected));
    }
    MATH$lanes fvec$lanes tanh$lanes(fvec$lanes x)
    {
        const fvec$lanes t = expm1$lanes(-2.0f * abs$lanes(x));
        const ivec$lanes sign = (ivec$lanes)x & (int)0x80000000;
        return (fvec$lanes)((ivec$lanes)(-t / (t + 2.0f)) | sign);
    }
    MATH$lanes fvec$lanes erfc_positive$lanes(fvec$lanes x)
    {
        const fvec$lanes bounded = pick$lanes(x < 10.5f, x, splat$lanes(10.5f));
        const fvec$lanes t = 1.0f / (1.0f + 0.5f * bounded);
        const fvec$lanes head = (fvec$lanes)((ivec$lanes)bounded & (int)0xfffff000); /* its square is exact */
        const fvec$lanes tail = (bounded - head) * (bounded + head);
        return exp$lanes(-head * head) * exp$lanes(-tail) * t * $erfcx;
    }
    MATH$lanes fvec$lanes erf_small$lanes(fvec$lanes x)
    {
        const fvec$lanes z = x * x;
        return x * $erf;
    }
    MATH$lanes fvec$lanes erf$lanes(fvec$lanes x)
    {
        const ivec$lanes sign = (ivec$lanes)x & (int)0x80000000;
        const fvec$lanes large = (fvec$lanes)((ivec$lanes)(1.0f - erfc_positive$lanes(abs$lanes(x))) | sign);
        const fvec$lanes result = pick$lanes(abs$lanes(x) < 1.0f, erf_small$lanes(x), large);
        return pick$lanes(x == x, result, x);
    }
    MATH$lanes fvec$lanes erfc$lanes(fvec$lanes x)
    {
        const fvec$lanes positive = erfc_positive$lanes(abs$lanes(x));
        const fvec$lanes large = pick$lanes(x < 0.0f, 2.0f - positive, positive);
        const fvec$lanes result = pick$lanes(abs$lanes(x) < 0.25f, 1.0f - erf_small$lanes(x), large);
        return pick$lanes(x == x, result, x);
    }
    #endif
"""
