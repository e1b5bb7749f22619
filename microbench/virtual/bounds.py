"""What binds a program on the QPUs: beside what they wait for, which of the resources that they share is saturated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from microbench.profile import DeviceProfile
from microbench.virtual.counters import IDLE, what_binds
from microbench.virtual.counters import ISSUE as ISSUED

ISSUE, SDRAM, TMU, DMA, IMBALANCE = "issue", "SDRAM", "TMU", "DMA", "imbalance"
SATURATED = 0.8  # of a resource's time at work: who waits then, waits for that
# What a share of the QPUs' cycles is called. All meet at semaphores, where the fast wait for the slowest.
CALLED: Mapping[str, str] = {
    ISSUED: ISSUE,
    "tmu": TMU,
    "uniform": "uniforms",
    "mutex": "store lock",
    "dma": DMA,
    "vpm": "VPM",
    "icache": "instruction cache",
    "sfu": "special functions",
    "semaphore": IMBALANCE,
    IDLE: IMBALANCE,
}
_CAUSES_OF_BYTES = ("tmu_sdram", "uniform_sdram", "icache_sdram", "dma_load", "dma_store")


@dataclass(frozen=True)
class Bound:
    """`shares` of all QPUs' time by what it went to, 1 in sum; `at_work`: the share of the time that each resource
    which QPUs have in common worked.

    `name` is what binds: the busiest resource, or issuing, where one is saturated, else what most of the time went to.
    """

    name: str
    shares: Mapping[str, float]
    at_work: Mapping[str, float]


def memory_bytes(counters: Mapping[str, float]) -> float:
    """Bytes that all engines of the GPU moved to and from memory."""
    return sum(counters[f"{cause}_bytes"] for cause in _CAUSES_OF_BYTES)


def bound_of(counters: Mapping[str, float], profile: DeviceProfile) -> Bound | None:
    """What binds launches on all QPUs that programs of the profile's board use; None where the counters are no
    simulator's. Raises ProfileError where the profile lacks a constant.
    """
    binding = what_binds(counters, profile.target().qpus, profile.v3d_value("issue_cycles"))
    if binding is None:
        return None
    shares = dict.fromkeys(CALLED.values(), 0.0)
    for cause, share in binding.shares.items():
        shares[CALLED[cause]] += share
    at_work = {name: busy / counters["cycles"] for name, busy in _busy_cycles(counters, profile).items()}
    saturated = {**at_work, ISSUE: shares[ISSUE]}
    busiest = max(saturated, key=saturated.__getitem__)
    name = busiest if saturated[busiest] >= SATURATED else max(shares, key=shares.__getitem__)
    return Bound(name, shares, at_work)


def _busy_cycles(counters: Mapping[str, float], profile: DeviceProfile) -> Mapping[str, float]:
    """Cycles that the resources which QPUs have in common worked; of several of a kind the mean."""
    value, clock_hz = profile.v3d_value, profile.v3d_value("clock_hz")
    tmus = value("qpus") / value("qpus_per_slice") * value("tmus_per_slice")
    engines = {"store": "vdw", "load": "vdr"}
    busy = {
        kind: counters[f"dma_{kind}s"] * value(f"{engine}_setup_s") * clock_hz
        + counters[f"dma_{kind}_rows"] * value(f"{engine}_row_cycles")
        + counters[f"dma_{kind}_bytes"] * value(f"{engine}_byte_cycles")
        for kind, engine in engines.items()
    }
    return {
        SDRAM: memory_bytes(counters) / profile.memory_bytes_per_s * clock_hz,
        TMU: counters["tmu_requests"] * value("tmu_cycles_per_request") / tmus,
        DMA: max(busy.values()),
    }
