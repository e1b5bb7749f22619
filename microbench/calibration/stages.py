"""The order in which constants are fitted: each by benchmarks that owe to it and to those before."""

from __future__ import annotations

from dataclasses import dataclass

from microbench.calibration.fitter import EXACT, Fitter
from microbench.calibration.steps import cache_sizes, pause_instructions


@dataclass(frozen=True)
class Stage:
    """Constants that are scanned over a grid, then refined, by benchmarks given as beginnings of names.

    `scanned_together`: over all combinations. `along`, `every`: as of `Fitter.scan`.
    `needs`: a constant without which the board has nothing of these.
    """

    constants: tuple[str, ...]
    benchmarks: tuple[str, ...]
    scanned_together: bool = False
    along: tuple[str, ...] = ()
    every: int = 0
    needs: str = ""


_CACHED = "memory_is_cached"
_LONG_BURSTS = ("uniform.burst.words=208", "uniform.burst.words=145")
_BURSTS = ("uniform_pause_instructions", "uniform_refill_cycles", "uniform_burst_words")
STAGES = (
    Stage(("issue_cycles",), ("issue.",)),
    Stage(("launch_overhead_s",), ("launch.",)),
    Stage(("tmu_hit_latency_cycles",), ("tmu.latency.footprint=000768", "tmu.latency.conflicts=01")),
    Stage(("tmu_cycles_per_request",), ("tmu.rate",)),
    Stage(("l2_latency_cycles", "sdram_latency_s"), ("tmu.latency",)),
    Stage(
        ("icache_bytes", "icache_ways"),
        ("icache.lines",),
        scanned_together=True,
        along=("icache_extra_cycles",),
    ),
    Stage(("icache_extra_cycles",), ("icache.lines",)),
    Stage(("memory_bytes_per_cycle",), ("tmu.stream",)),
    Stage(("cached_memory_bytes_per_cycle",), ("tmu.stream",), needs=_CACHED),
    Stage(("l2_bytes_per_cycle",), ("tmu.from_l2",)),
    Stage(
        ("system_l2_bytes",),
        ("tmu.again",),
        scanned_together=True,
        along=("system_l2_bytes_per_cycle",),
        needs=_CACHED,
    ),
    Stage(("system_l2_bytes_per_cycle",), ("tmu.again",), needs=_CACHED),
    Stage(("l2_bytes_per_cycle",), ("tmu.from_l2",)),
    Stage(("uniform_l2_extra_cycles",), ("uniform.chase.footprint=08192",)),
    Stage(("uniform_sdram_extra_s",), ("uniform.chase.footprint=131072",)),
    Stage(("uniform_cache_bytes", "uniform_cache_ways"), ("uniform.chase",), scanned_together=True),
    Stage(("uniform_l2_extra_cycles",), ("uniform.chase.footprint=08192",)),
    Stage(("uniform_sdram_extra_s",), ("uniform.chase.footprint=131072",)),
    Stage(("uniform_fifo_words",), ("uniform.fresh.spacing",)),
    Stage(
        ("uniform_burst_words",),
        _LONG_BURSTS,
        scanned_together=True,
        along=("uniform_refill_cycles",),
        every=2,  # as far apart as the first words of these bursts
    ),
    Stage(("uniform_burst_words",), _LONG_BURSTS, scanned_together=True, every=1),
    Stage(("uniform_pause_instructions",), ("uniform.burst.words=0",), scanned_together=True, every=1),
    Stage(_BURSTS, ("uniform.burst",)),
    Stage(("sfu_cycles",), ("sfu.",)),
    Stage(("vpm_vector_cycles",), ("vpm.write.qpus", "vpm.read.vectors=16")),
    Stage(("vpm_read_latency_cycles",), ("vpm.read",)),
    Stage(("vpm_write_fifo_vectors",), ("vpm.write",)),
    Stage(
        ("vdw_row_cycles", "vdw_byte_cycles"),
        ("dma.store.rows=016", "dma.store.rows=128", "dma.store.rows=064"),
    ),
    Stage(("vdw_row_cycles", "vdw_byte_cycles", "vdw_setup_s"), ("dma.store",)),
    Stage(("vdr_row_cycles", "vdr_byte_cycles"), ("dma.load.rows=16",)),
    Stage(("vdr_row_cycles", "vdr_byte_cycles", "vdr_setup_s"), ("dma.load",)),
    Stage(("lowest_qpu_first",), ("arbitration",)),
)
_ROUNDS = 4
_FOUND = 3e-3  # of every log ratio: less than what shows by a hundredth when a quarter of it is missing
_MANY = 3  # constants of a stage that only refines what those before found


def fit(fitter: Fitter) -> None:
    """All stages twice, and everything together from then on, while that still finds something.

    Not after the first round: a constant that a later stage finds would bend all the others.
    """
    read_off = {
        **cache_sizes(fitter.measured),
        "uniform_pause_instructions": pause_instructions(fitter.measured),
    }
    for name, value in read_off.items():
        if name in fitter.values and value is not None:
            fitter.values[name] = fitter.ranges[name].nearest(value)
    for attempt in range(_ROUNDS):
        before = fitter.rms()
        if before < EXACT:
            return
        for stage in STAGES:
            _fit_stage(fitter, stage, coarse=attempt == 0)
        if fitter.worst() < _FOUND:
            return
        if attempt:
            _together(fitter)
            if fitter.rms() > 0.9 * before:
                return


def _fit_stage(fitter: Fitter, stage: Stage, coarse: bool) -> None:
    lacking = stage.needs and not fitter.model.profile.v3d_value(stage.needs)
    if lacking or fitter.rms(stage.benchmarks) < EXACT:
        return
    if stage.scanned_together:
        fitter.scan(stage.constants, stage.benchmarks, stage.along, stage.every)
    elif coarse and len(stage.constants) < _MANY:
        for name in stage.constants:
            fitter.locate(name, stage.benchmarks)
    fitter.refine(stage.constants, stage.benchmarks)
    fitter.polish(stage.constants, stage.benchmarks, nudged=True)


def _together(fitter: Fitter) -> None:
    """Gauss-Newton over all constants and the whole suite, and steps of the discrete ones."""
    names = tuple(fitter.values)
    fitter.refine(names, ("",), rounds=4)
    if fitter.rms() >= EXACT:
        fitter.polish(names, ("",))
