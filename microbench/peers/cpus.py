"""Which CPUs a run is pinned to."""

from __future__ import annotations

import os
from pathlib import Path

from microbench.errors import PeerError

_TOPOLOGY = Path("/sys/devices/system/cpu")


def pinned_cpus(count: int) -> tuple[int, ...]:
    """So many of the CPUs that this process may use, one per physical core while there are enough cores.

    Raises PeerError where there are fewer CPUs.
    """
    usable = sorted(os.sched_getaffinity(0))
    if count > len(usable):
        raise PeerError(
            f"{count} threads want as many CPUs, this process may use {len(usable)}; ask for fewer"
        )
    return spread(usable, {cpu: _siblings(cpu) for cpu in usable})[:count]


def spread(cpus: list[int], siblings: dict[int, str]) -> tuple[int, ...]:
    """The CPUs, first one of each core (equal `siblings`), then the others."""
    seen: set[str] = set()
    first: list[int] = []
    later: list[int] = []
    for cpu in cpus:
        (later if siblings[cpu] in seen else first).append(cpu)
        seen.add(siblings[cpu])
    return (*first, *later)


def _siblings(cpu: int) -> str:
    try:
        path = _TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return str(cpu)  # no word of the topology: every CPU counts as a core
