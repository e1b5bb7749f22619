"""Puts buffers that live at different times into the same memory.

The problem (dynamic storage allocation) is NP-hard. Here every order of a few is tried with every fit, and the
smallest result is kept; the search ends early where the memory equals what is alive at one time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Tenant:
    """Something that needs bytes from one moment to another, both included."""

    name: str
    size_bytes: int
    first: int
    last: int

    def meets(self, other: Tenant) -> bool:
        """Whether both are alive at some moment."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Allocation:
    """Bytes from the start of the memory to each tenant, and the size of the memory."""

    offsets: Mapping[str, int]
    size_bytes: int


@dataclass(frozen=True)
class _Footprint:
    """A tenant with what must stay free behind it."""

    tenant: Tenant
    bytes: int


def allocate(tenants: Sequence[Tenant], alignment_bytes: int, guard_bytes: int = 0) -> Allocation:
    """Offsets, multiples of the alignment, at which no two tenants that meet overlap.

    Behind each tenant, `guard_bytes` (a multiple of the alignment) belong to nothing that is alive with it; the
    memory's end lies behind the last guard. Equal tenants give equal offsets.
    """
    footprints = [
        _Footprint(t, -(-t.size_bytes // alignment_bytes) * alignment_bytes + guard_bytes) for t in tenants
    ]
    least = _most_alive(footprints)
    best: Allocation | None = None
    for order, fit in product(_ORDERS, _FITS):
        found = _placed(sorted(footprints, key=order), fit)
        if best is None or found.size_bytes < best.size_bytes:
            best = found
        if best.size_bytes == least:
            break
    return best or Allocation({}, 0)


def _most_alive(footprints: Sequence[_Footprint]) -> int:
    """The bytes alive at one moment: no memory can be smaller."""
    return max(
        (
            sum(f.bytes for f in footprints if f.tenant.first <= moment <= f.tenant.last)
            for moment in {f.tenant.first for f in footprints}
        ),
        default=0,
    )


def _placed(footprints: Iterable[_Footprint], fit: Callable[[Sequence[_Gap], int], int]) -> Allocation:
    placed: list[tuple[int, _Footprint]] = []
    for footprint in footprints:
        taken = sorted(
            (start, start + other.bytes) for start, other in placed if other.tenant.meets(footprint.tenant)
        )
        placed.append((fit(_gaps(taken), footprint.bytes), footprint))
    end = max((start + footprint.bytes for start, footprint in placed), default=0)
    return Allocation({footprint.tenant.name: start for start, footprint in placed}, end)


_Gap = tuple[int, int | None]  # start and end; the last has none


def _gaps(taken: Sequence[tuple[int, int]]) -> list[_Gap]:
    gaps: list[_Gap] = []
    free = 0
    for start, end in taken:
        if start > free:
            gaps.append((free, start))
        free = max(free, end)
    return [*gaps, (free, None)]


def _lowest(gaps: Sequence[_Gap], size: int) -> int:
    return next(start for start, end in gaps if end is None or end - start >= size)


def _tightest(gaps: Sequence[_Gap], size: int) -> int:
    """The start of the smallest gap that is large enough."""
    fitting = [(end - start, start) for start, end in gaps if end is not None and end - start >= size]
    return min(fitting)[1] if fitting else gaps[-1][0]


def _by_birth(f: _Footprint) -> tuple[int, ...]:
    return (f.tenant.first,)


def _by_birth_and_size(f: _Footprint) -> tuple[int, ...]:
    return (f.tenant.first, -f.bytes)


def _by_size(f: _Footprint) -> tuple[int, ...]:
    return (-f.bytes, f.tenant.first)


def _by_duration(f: _Footprint) -> tuple[int, ...]:
    return (f.tenant.first - f.tenant.last, -f.bytes)


def _by_area(f: _Footprint) -> tuple[int, ...]:
    return (-f.bytes * (f.tenant.last - f.tenant.first + 1), f.tenant.first)


_ORDERS = (_by_birth, _by_birth_and_size, _by_size, _by_duration, _by_area)
_FITS = (_lowest, _tightest)
