"""How words, lines and results come to and from QPUs, by a board's constants."""

from __future__ import annotations

from dataclasses import dataclass

from microbench.profile import DeviceProfile

VECTOR_BYTES = 64  # of a QPU


@dataclass(frozen=True)
class GpuPaths:
    """Cycles are of the GPU's clock; those of a line of uniforms are of one that the slice's cache lacks, in L2 and in
    SDRAM. `prefetched_words`: how far ahead of its use a line is asked for.
    """

    qpus: int
    slice_qpus: int
    issue_cycles: float
    prefetched_words: float
    uniform_cache_bytes: float
    l2_line_cycles: float
    sdram_line_cycles: float
    l2_bytes: float
    l2_bytes_per_cycle: float
    memory_bytes_per_cycle: float
    store_setup_cycles: float
    stored_row_cycles: float

    @staticmethod
    def of(profile: DeviceProfile) -> GpuPaths:
        """Of a board with QPUs."""
        value, clock_hz = profile.v3d_value, profile.v3d_value("clock_hz")
        sdram_s = value("sdram_latency_s") + value("uniform_sdram_extra_s")
        return GpuPaths(
            qpus=int(value("qpus")),
            slice_qpus=int(value("qpus_per_slice")),
            issue_cycles=value("issue_cycles"),
            prefetched_words=value("uniform_fifo_words"),
            uniform_cache_bytes=value("uniform_cache_bytes"),
            l2_line_cycles=value("l2_latency_cycles") + value("uniform_l2_extra_cycles"),
            sdram_line_cycles=value("l2_latency_cycles") + sdram_s * clock_hz,
            l2_bytes=value("l2_bytes"),
            l2_bytes_per_cycle=value("l2_bytes_per_cycle"),
            memory_bytes_per_cycle=profile.memory_bytes_per_s / clock_hz,
            store_setup_cycles=value("vdw_setup_s") * clock_hz,
            stored_row_cycles=value("vdw_row_cycles") + VECTOR_BYTES * value("vdw_byte_cycles"),
        )
