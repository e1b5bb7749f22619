"""The analytic cost model: the slowest of a board's resources is what a layer waits for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from codegen.engine_registry import engine_named
from codegen.schedule import Candidate, Work
from cost_models.errors import CostModelError
from cost_models.model import Observation, Prediction
from cost_models.tile_flow import stored_tiles
from microbench.cpu_cost import cpu_time_s
from microbench.profile import DeviceProfile

UNFITTED_FACTOR = 3.0  # the interval of a roofline, which knows nothing of stalls and overlaps
SHORTEST_S = 1e-7
VECTOR_BYTES = 64  # of a QPU
BOUNDING = "compute", "load", "uniform", "store", "memory"  # resources that overlap
OF_ALL = "store", "memory"  # those of them that work for one processor while others wait

# A CPU without a cost table, in nanoseconds and bytes per second: a few-GHz out-of-order core that vectorises
# some of what it meets. Only the order of magnitude matters; the residual corrects it from measurements.
GENERIC_ARITHMETIC_S = 0.25e-9
GENERIC_LOAD_S = 0.25e-9
GENERIC_STORE_S = 0.5e-9
GENERIC_BYTES_PER_S = 8e9  # of all cores together
GENERIC_SYNC_S = 1e-6  # handing parts to threads that are awake, and waiting for the last of them


@dataclass(frozen=True)
class RooflineTerms:
    """Seconds that each resource is busy for a candidate; 0 where it is not used.

    `compute` to `streamed` overlap, so the slowest one decides. `latency` is what processors wait for with nothing to
    do; the memory and the store engine wait for the `start` alone, since they serve one while others wait. `memory` is
    every byte moved once, which no cache can save; `streamed` is what a small cache is estimated to fetch, re-reads
    included.
    """

    compute: float
    load: float
    uniform: float
    store: float
    memory: float
    streamed: float
    latency: float
    start: float

    @property
    def bound_by(self) -> str:
        """The resource that is busy longest, of those that `bound_s` counts; of equal ones the first."""
        return max(BOUNDING, key=self._bound)

    @property
    def bound_s(self) -> float:
        """The time no schedule of this work can beat, in seconds, as far as its instructions are counted right."""
        return max(SHORTEST_S, self._bound(self.bound_by))

    @property
    def expected_s(self) -> float:
        """The bound, or longer where more is fetched again than the rest takes."""
        return max(self.bound_s, max(self.memory, self.streamed) + self.latency)

    @property
    def serial_s(self) -> float:
        """The time where nothing overlaps: one resource after another."""
        busy = self.compute + self.load + self.uniform + self.store + max(self.memory, self.streamed)
        return max(SHORTEST_S, busy + self.latency)

    def _bound(self, resource: str) -> float:
        busy: float = getattr(self, resource)
        return busy + (self.start if resource in OF_ALL else self.latency)


class RooflineModel:
    """Time from a candidate's Work and a device profile. It learns nothing: `fit` leaves it unchanged."""

    name = "roofline"

    def __init__(self, profile: DeviceProfile) -> None:
        self._profile = profile
        self._own: tuple[Observation, ...] = ()

    def terms(self, candidate: Candidate, work: Work) -> RooflineTerms:
        """Busy time of each resource; raises CostModelError for a QPU candidate on a board without QPUs."""
        if engine_named(candidate.choice.engine).launches:
            return self._qpu_terms(candidate, work)
        return self._cpu_terms(work, candidate.choice.threads)

    def fit(self, own: Sequence[Observation], prior: Sequence[Observation] = ()) -> None:
        """Nothing to learn: the constants are the profile's."""
        self._own = tuple(own)

    def unseen(self) -> tuple[Prediction, ...]:
        """What it predicts: it never looks at a time."""
        return self.predict([(o.candidate, o.work) for o in self._own])

    def predict(self, candidates: Sequence[tuple[Candidate, Work]]) -> tuple[Prediction, ...]:
        """What its terms lead one to expect, with an interval that covers a program three times off it."""
        expected = (self.terms(candidate, work).expected_s for candidate, work in candidates)
        return tuple(Prediction(t, t / UNFITTED_FACTOR, t * UNFITTED_FACTOR) for t in expected)

    def to_text(self) -> str:
        """The profile it belongs to: there is no learned state."""
        return json.dumps({"model": self.name, "profile_hash": self._profile.hash}, sort_keys=True) + "\n"

    def load_text(self, text: str) -> None:
        """Accepts only the text of the same profile; raises CostModelError on anything else."""
        if text != self.to_text():
            raise CostModelError(
                f"not the roofline of profile {self._profile.name!r}: write it again with `to_text`"
            )

    def _qpu_terms(self, candidate: Candidate, work: Work) -> RooflineTerms:
        if not self._profile.v3d:
            raise CostModelError(
                f"profile {self._profile.name!r} has no QPUs but the candidate of algorithm "
                f"{candidate.choice.algorithm!r} runs on them: search with the profile's own target"
            )
        value = self._profile.v3d_value
        cycle_s = 1.0 / value("clock_hz")
        qpus = value("qpus")
        # Neighbours that are idle leave a slice's TMUs to the busiest QPU, of which no other slice's relieve it.
        tmus = qpus / value("qpus_per_slice") * value("tmus_per_slice")
        tmus_at_work = min(tmus, qpus / work.balance * value("tmus_per_slice"))
        per_qpu_s = cycle_s / qpus * work.balance
        tiles = stored_tiles(candidate.choice, work)
        return RooflineTerms(
            compute=work.alu_instructions * value("issue_cycles") * per_qpu_s,
            load=work.load_instructions * value("tmu_cycles_per_request") * cycle_s / tmus_at_work,
            uniform=work.uniform_words * value("uniform_refill_cycles") * per_qpu_s,
            store=work.dma_stores * value("vdw_setup_s") + work.store_instructions * self._stored_row_s(),
            memory=_least_bytes(work) / self._profile.memory_bytes_per_s,
            streamed=_streamed_bytes(work) / self._profile.memory_bytes_per_s,
            # Every tile begins with an empty request queue, so its first load waits for SDRAM; before the first of all,
            # code and uniforms come from there, to all QPUs at once.
            latency=(tiles * work.balance / qpus + 1) * self._first_load_s(),
            start=self._first_load_s(),
        )

    def _stored_row_s(self) -> float:
        """Seconds that the store engine takes for a vector, beside the set-up of its block."""
        value = self._profile.v3d_value
        cycles = value("vdw_row_cycles") + VECTOR_BYTES * value("vdw_byte_cycles")
        return cycles / value("clock_hz")

    def _first_load_s(self) -> float:
        """Seconds from a request to its data, through every cache from SDRAM."""
        value = self._profile.v3d_value
        cycles = value("tmu_hit_latency_cycles") + value("l2_latency_cycles")
        return cycles / value("clock_hz") + value("sdram_latency_s")

    def _cpu_terms(self, work: Work, threads: int) -> RooflineTerms:
        if self._profile.cpu_costs:
            return self._tabled_cpu_terms(work, threads)
        share = work.balance / threads
        load_s = work.load_instructions * GENERIC_LOAD_S * share
        store_s = work.store_instructions * GENERIC_STORE_S * share
        arithmetic_s = max(work.alu_instructions, work.macs) * GENERIC_ARITHMETIC_S * share
        sync_s = GENERIC_SYNC_S if threads > 1 else 0.0
        return RooflineTerms(
            compute=arithmetic_s + load_s + store_s,
            load=load_s,
            uniform=0.0,
            store=store_s,
            memory=_least_bytes(work) / GENERIC_BYTES_PER_S,
            streamed=_streamed_bytes(work) / GENERIC_BYTES_PER_S,
            latency=sync_s,
            start=sync_s,
        )

    def _tabled_cpu_terms(self, work: Work, threads: int) -> RooflineTerms:
        """An in-order core hides no memory access behind arithmetic: what memory costs counts as latency."""
        registers_only = replace(work, streamed_bytes_read=0.0, unique_bytes_read=0.0, bytes_written=0.0)
        compute_s = cpu_time_s(registers_only, self._profile, threads)
        memory_s = cpu_time_s(work, self._profile, threads) - compute_s
        return RooflineTerms(compute_s, 0.0, 0.0, 0.0, 0.0, 0.0, memory_s, memory_s)


def _least_bytes(work: Work) -> float:
    """Every byte read and written once."""
    return work.unique_bytes_read + work.bytes_written


def _streamed_bytes(work: Work) -> float:
    return max(work.streamed_bytes_read, work.unique_bytes_read) + work.bytes_written


TERM_NAMES = tuple(field.name for field in fields(RooflineTerms))
