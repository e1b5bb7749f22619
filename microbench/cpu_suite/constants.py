"""What the suite says of a CPU, as constants of its profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from microbench.cpu_suite.measure import PEAK
from microbench.cpu_suite.suite import (
    ADD,
    CALL,
    CHASES,
    CYCLE,
    LATENCY,
    LOAD,
    PAIRS,
    READ,
    STORE,
    WRITE,
    CpuBenchmark,
)
from microbench.profile import Constant, Constants, DeviceProfile

SOURCE = "measured on"
STEP = 1.4  # by so much longer loads take that the first level does not have
SECOND_STEP = 2.5  # the same of the second, which misses of the TLB slow before
SETTLED = 3  # times a cache's size lies what the next one holds for the most part
OF_MEMORY = 0.5  # share of memory's latency from which a level is none
MISSED = 0.7  # share of what two missed loads take more than one, from which the second one missed
HIT_BYTES = 8  # two loads so near are in one line


@dataclass(frozen=True)
class CpuConstants:
    """Constants by the profile's tables; those that could not be measured are not there. `latency_cycles`: of a
    multiply-accumulate, and `memory_s` of a load from memory, which no table has.
    """

    costs: Mapping[str, float]
    caches: Mapping[str, float]
    threads: Mapping[str, float]
    latency_cycles: float
    memory_s: float


_UNITS = {
    "clock_hz": "Hz",
    "l1_line_bytes": "B",
    "line_fill_s": "s/line",
    "store_bytes_per_s": "B/s",
    "call_s": "s",
    "thread_sync_s": "s",
    "l1d_bytes": "B",
    "l2_bytes": "B",
    "wake_s": "s",
}
_CYCLES = "cycles"


def cpu_constants(times_s: Mapping[str, float], cores: int) -> CpuConstants:
    """From what `measure_cpu` gives of a CPU with so many cores.

    A cycle is that of dependent additions. A line is the least distance of two loads that both go to memory. What a
    line takes to come is that of reading one after another, as layers do, with whatever the CPU fetches ahead.
    """
    cycle_s = times_s[CYCLE.name]
    line = _line_bytes({b.stride: times_s[b.name] for b in PAIRS})
    chased = [(b.size_bytes, times_s[b.name]) for b in CHASES]
    l1d, l2 = _caches(chased)
    costs = {
        "clock_hz": 1.0 / cycle_s,
        "mac_cycles": times_s[PEAK] / cycle_s,
        "alu_cycles": times_s[ADD.name] / cycle_s,
        "load_cycles": times_s[LOAD.name] / cycle_s,
        "store_cycles": times_s[STORE.name] / cycle_s,
        "call_s": times_s[CALL.name],
        "store_bytes_per_s": 1.0 / times_s[WRITE.name],
    }
    if line:
        costs |= {"l1_line_bytes": float(line), "line_fill_s": line * times_s[READ.name]}
    sizes = (("l1d_bytes", l1d), ("l2_bytes", l2))
    threads = {}
    if cores > 1:
        costs["thread_sync_s"] = times_s[CpuBenchmark("share", stride=cores).name]
        threads["wake_s"] = times_s[CpuBenchmark("wake", stride=cores).name]
    return CpuConstants(
        costs,
        {name: float(size) for name, size in sizes if size},
        threads,
        times_s[LATENCY.name] / cycle_s,
        chased[-1][1],
    )


def _line_bytes(pairs_s: Mapping[int, float]) -> int | None:
    """The least distance at which the second load of a pair misses too; None where none does."""
    hit_s, missed_s = pairs_s[HIT_BYTES], max(pairs_s.values())
    if missed_s < STEP * hit_s:
        return None
    limit_s = hit_s + MISSED * (missed_s - hit_s)
    return min(distance for distance, time_s in pairs_s.items() if time_s > limit_s)


def _caches(chased: Sequence[tuple[int, float]]) -> tuple[int | None, int | None]:
    """Bytes of the first and of the second level; None where a level does not show."""
    memory_s = chased[-1][1]
    first = _plateau(chased, STEP * chased[0][1])
    if first is None:
        return None, None
    beyond = [(size, time_s) for size, time_s in chased if size >= SETTLED * first]
    if not beyond or beyond[0][1] > OF_MEMORY * memory_s:
        return first, None
    return first, _plateau(beyond, SECOND_STEP * beyond[0][1])


def _plateau(chased: Iterable[tuple[int, float]], limit_s: float) -> int | None:
    """The largest size before the first that takes longer than the limit; None where none does."""
    last = None
    for size, time_s in chased:
        if time_s > limit_s:
            return last
        last = size
    return None


def with_cpu_constants(profile: DeviceProfile, found: CpuConstants, place: str) -> DeviceProfile:
    """The profile with what was measured in place of what it says; the rest stays, and stays what its source says.

    `place`: how sources name the machine.
    """
    return DeviceProfile.model_validate(
        {
            **profile.model_dump(),
            "cpu_costs": _merged(profile.cpu_costs, found.costs, place),
            "cpu_caches": _merged(profile.cpu_caches, found.caches, place),
            "threads": _merged(profile.threads, found.threads, place),
        }
    )


def _merged(before: Constants, measured: Mapping[str, float], place: str) -> Constants:
    source = f"{SOURCE} {place} by explore calibrate"
    now = {
        name: Constant(value=value, unit=_UNITS.get(name, _CYCLES), source=source)
        for name, value in measured.items()
    }
    return {**before, **now}
