"""Puts buffers that live at different times into the same memory.

The problem (dynamic storage allocation) is NP-hard. Here every order of a few is tried with every fit, and the
smallest result is kept; the search ends early where the memory equals what is alive at one time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product


@dataclass(frozen=True)
class Tenant:
    """Something that needs bytes from one moment to another, both included."""

    name: str
    size_bytes: int
    first: int
    last: int


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
    changes = [(f.tenant.first, f.bytes) for f in footprints]
    changes += [(f.tenant.last + 1, -f.bytes) for f in footprints]
    return max(accumulate(size for _, size in sorted(changes)), default=0)


class _Placed:
    """What lies somewhere already, found by when it is alive."""

    def __init__(self) -> None:
        self._alive: dict[int, list[_Taken]] = {}  # by every moment of their lives
        self._born: dict[int, list[_Taken]] = {}

    def add(self, tenant: Tenant, taken: _Taken) -> None:
        self._born.setdefault(tenant.first, []).append(taken)
        for moment in range(tenant.first, tenant.last + 1):
            self._alive.setdefault(moment, []).append(taken)

    def meeting(self, tenant: Tenant) -> list[_Taken]:
        """Where those lie that are alive when the tenant is: when it is born, or born before it ends; in order."""
        found = list(self._alive.get(tenant.first, ()))
        for moment in range(tenant.first + 1, tenant.last + 1):
            found += self._born.get(moment, ())
        return sorted(found)


def _placed(footprints: Iterable[_Footprint], fit: Callable[[Sequence[_Gap], int], int]) -> Allocation:
    placed, offsets, size_bytes = _Placed(), dict[str, int](), 0
    for footprint in footprints:
        start = fit(_gaps(placed.meeting(footprint.tenant)), footprint.bytes)
        end = start + footprint.bytes
        placed.add(footprint.tenant, (start, end))
        offsets[footprint.tenant.name] = start
        size_bytes = max(size_bytes, end)
    return Allocation(offsets, size_bytes)


_Taken = tuple[int, int]  # start and end
_Gap = tuple[int, int | None]  # start and end; the last has none


def _gaps(taken: Sequence[_Taken]) -> list[_Gap]:
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
