"""What a buffer should hold after a run: compared number by number with a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.errors import ExpectationError

TYPES = ("float32", "int32", "uint32", "int16", "uint16", "int8", "uint8", "float16")


@dataclass(frozen=True, eq=False)
class Expectation:
    """Numbers that a buffer should hold from byte `offset` on, each within `tolerance`.

    The tolerance is absolute, or where `relative` a share of the number expected.
    """

    buffer: str
    numbers: NDArray[np.generic]
    source: str
    tolerance: float
    relative: bool = False
    offset: int = 0


@dataclass(frozen=True)
class Comparison:
    """The largest error of a buffer and the number it is at; absolute, or relative as the expectation's tolerance."""

    expectation: Expectation
    error: float
    index: int
    actual: float
    expected: float
    beyond: int  # how many numbers are beyond the tolerance

    def __str__(self) -> str:
        e = self.expectation
        at = e.offset + self.index * e.numbers.dtype.itemsize
        kind = "relative error" if e.relative else "error"
        verdict = f"{self.beyond} of {e.numbers.size} numbers are beyond" if self.beyond else "all are within"
        return (
            f"{e.buffer}, as {e.source}: largest {kind} {self.error:.4g} at {e.numbers.dtype} {self.index} "
            f"(byte {at}): {self.actual:.9g}, not {self.expected:.9g}; {verdict} {e.tolerance:g}"
        )


def compare(expectation: Expectation, content: NDArray[np.uint8]) -> Comparison:
    """Equal bits are no error, and a NaN beside anything else is an infinite one."""
    numbers, size = expectation.numbers, expectation.numbers.nbytes
    found = content[expectation.offset : expectation.offset + size].copy().view(numbers.dtype)
    actual, expected = found.astype(np.float64), numbers.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.abs(actual - expected)
        if expectation.relative:
            error = error / np.abs(expected)
    error[np.isnan(error)] = math.inf
    error[(actual == expected) | (bits(found) == bits(numbers))] = 0.0
    worst = int(np.argmax(error))
    beyond = int(np.count_nonzero(error > expectation.tolerance))
    return Comparison(
        expectation, float(error[worst]), worst, float(actual[worst]), float(expected[worst]), beyond
    )


def bits(numbers: NDArray[np.generic]) -> NDArray[np.generic]:
    return numbers.view(f"u{numbers.dtype.itemsize}")


def require(comparisons: Sequence[Comparison]) -> None:
    """Raises ExpectationError with every comparison that is beyond its tolerance."""
    missed = [str(comparison) for comparison in comparisons if comparison.beyond]
    if missed:
        raise ExpectationError("\n".join(missed))


def fault(expectation: Expectation, sizes: Mapping[str, int]) -> str | None:
    """Why an expectation cannot be compared with buffers of these sizes, None where it can."""
    size = sizes.get(expectation.buffer)
    if size is None:
        return f"no buffer {expectation.buffer!r}; there are: {', '.join(sizes) or 'none'}"
    end = expectation.offset + expectation.numbers.nbytes
    if end > size:
        return (
            f"{expectation.source} has {expectation.numbers.nbytes} bytes, which from byte {expectation.offset} on "
            f"reach past the {size} of {expectation.buffer!r}"
        )
    return None


def numbers_of(data: bytes, kind: str) -> NDArray[np.generic]:
    """The little-endian numbers of a file; raises ValueError for a type that is not known, or a broken number."""
    if kind not in TYPES:
        raise ValueError(f"type {kind!r} is not one of {', '.join(TYPES)}")
    dtype = np.dtype(kind).newbyteorder("<")
    if not data or len(data) % dtype.itemsize:
        raise ValueError(f"{len(data)} bytes are no whole number of {kind}")
    return np.frombuffer(data, dtype)
