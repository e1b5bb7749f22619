"""What steps and whole plans take of a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.schedule import Work


@dataclass(frozen=True)
class Usage:
    """Seconds, bytes and bytes held; of a step, or of a whole plan as predicted or as run.

    `cpu_s` counts every core that works; `accelerator_s` is how long engines beside the CPU work; `traffic_bytes` are
    read, re-reads included, and written, counted from shapes. `gpu_bytes` and `arena_bytes` are held at once, of a
    plan; 0 of a step. `metered_j`: what a meter saw the board take, None where it has none.
    """

    latency_s: float = 0.0
    cpu_s: float = 0.0
    accelerator_s: float = 0.0
    traffic_bytes: float = 0.0
    gpu_bytes: float = 0.0
    arena_bytes: float = 0.0
    metered_j: float | None = None


def traffic_bytes(work: Work) -> float:
    """Bytes that a candidate reads from memory, re-reads included, and writes."""
    return max(work.streamed_bytes_read, work.unique_bytes_read) + work.bytes_written


def total(parts: Sequence[Usage]) -> Usage:
    """What steps take together, one after another."""
    return Usage(
        sum(part.latency_s for part in parts),
        sum(part.cpu_s for part in parts),
        sum(part.accelerator_s for part in parts),
        sum(part.traffic_bytes for part in parts),
    )
