"""The algorithms of one layer on the QPUs, and what their times become under other constants of the GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from codegen.algorithm import algorithms
from codegen.errors import PlanError
from codegen.graph import LayerSpec
from codegen.plan import Plan, PlanStep
from codegen.schedule import Candidate
from explorer.measure.jobs import JobBuilder
from explorer.measure.taking import SampleTaker
from explorer.search.layer_search import LayerSearch, SearchSettings
from explorer.studies.study_table import LEFT, RIGHT, StudyTable
from explorer.terminal.units import seconds
from microbench.boards.virtual import VirtualBoard
from microbench.profile import DeviceProfile
from microbench.store import Sample

SEED = 0
ENGINE = "videocore4"
CAREFUL_BYTES_PER_S = 0.75e9
SLOWER = (
    "tmu_cycles_per_request",
    "tmu_hit_latency_cycles",
    "l2_latency_cycles",
    "sdram_latency_s",
    "vdw_setup_s",
    "vdw_row_cycles",
    "vdw_byte_cycles",
    "vdr_setup_s",
    "vdr_row_cycles",
    "vdr_byte_cycles",
)


@dataclass(frozen=True)
class Steadiness:
    """A candidate's time under the profile, and under other constants in parts of it, by their names."""

    candidate: Candidate
    time_s: float
    ratios: Mapping[str, float]


@dataclass(frozen=True)
class KindTimes:
    """An algorithm's candidates of a layer: how many were timed of how many, and the fastest of them."""

    algorithm: str
    candidates: int
    timed: int
    fastest: tuple[Steadiness, ...]


def constants_of(profile: DeviceProfile) -> dict[str, DeviceProfile]:
    """What times are compared under: the profile's own variants, half of its L2, and a careful GPU.

    The careful one has TMUs, DMA engines, latencies and the port of the L2 twice as slow and memory of 0.75 GB/s.
    """
    slower = {name: 2 * profile.v3d_value(name) for name in SLOWER}
    slower["l2_bytes_per_cycle"] = profile.v3d_value("l2_bytes_per_cycle") / 2
    slower["sdram_bytes_per_s"] = CAREFUL_BYTES_PER_S
    per_cycle = CAREFUL_BYTES_PER_S / profile.v3d_value("clock_hz")
    for name in ("memory_bytes_per_cycle", "cached_memory_bytes_per_cycle"):
        slower[name] = min(per_cycle, profile.v3d_value(name))
    return {
        **{name: profile.with_variant(name) for name in profile.variants},
        "half the L2": profile.with_v3d(l2_bytes=profile.v3d_value("l2_bytes") / 2),
        "careful": profile.with_v3d(**slower),
    }


def step_named(plan: Plan, name: str) -> PlanStep:
    """A plan's step; raises PlanError that lists those there are."""
    for step in plan.steps:
        if step.name == name:
            return step
    raise PlanError(
        f"{plan.model_name} has no layer {name!r}; it has: {', '.join(step.name for step in plan.steps)}"
    )


def kinds_of(spec: LayerSpec, profile: DeviceProfile, most: int, shown: int) -> Iterator[KindTimes]:
    """The QPUs' algorithms of a layer, of each `shown` candidates, the fastest of at most `most` drawn by chance.

    Candidates that the virtual board fails or that compute something wrong are left out. Raises BoardError.
    """
    timed = _timing(profile)
    others = {name: _timing(constants) for name, constants in constants_of(profile).items()}
    own = [algorithm for algorithm in algorithms().values() if algorithm.engine == ENGINE]
    for pool in LayerSearch(spec, own, profile.target(), SearchSettings()).pools:
        every = pool.candidates
        drawn = every if len(every) <= most else Random(SEED).sample(list(every), most)
        found = [(sample.time_s, sample.candidate) for sample in map(timed, drawn) if sample.status == "ok"]
        fastest = tuple(
            Steadiness(one, time_s, {name: other(one).time_s / time_s for name, other in others.items()})
            for time_s, one in sorted(found, key=lambda pair: pair[0])[:shown]
        )
        yield KindTimes(pool.algorithm.name, len(every), len(found), fastest)


def kinds_table(name: str, spec: LayerSpec, profile: DeviceProfile, kinds: Sequence[KindTimes]) -> StudyTable:
    """Kinds by the time of their fastest candidate."""
    others = tuple(constants_of(profile))
    headings = (("algorithm", LEFT), ("timed", RIGHT), ("tiles and splits", LEFT), ("time", RIGHT))
    rows = [
        (
            kind.algorithm,
            f"{kind.timed} of {kind.candidates}",
            _point(one.candidate),
            seconds(one.time_s),
            *(f"{one.ratios[other]:.3f}" for other in others),
        )
        for kind in sorted((kind for kind in kinds if kind.fastest), key=lambda kind: kind.fastest[0].time_s)
        for one in kind.fastest
    ]
    notes = (
        f"{spec.describe()}, alone, on {profile.name}, profile {profile.hash[:12]} (simulated). Times under other "
        "constants are in parts of the time under the profile.",
    )
    return StudyTable(
        f"Kinds of {name}", (*headings, *((other, RIGHT) for other in others)), tuple(rows), notes
    )


def _timing(profile: DeviceProfile) -> Callable[[Candidate], Sample]:
    """How a candidate is timed on a virtual board of the profile."""
    board = VirtualBoard(profile)
    taker = SampleTaker(JobBuilder(profile.target(), SEED, algorithms()), board.fingerprint())
    return lambda candidate: taker.take(board, candidate)


def _point(candidate: Candidate) -> str:
    point = {**candidate.choice.tiles, **candidate.choice.splits}
    return " ".join(f"{name}={value}" for name, value in sorted(point.items()))
