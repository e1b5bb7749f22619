"""What of a candidate's uniforms the caches hold, and how long its QPUs wait for the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen.schedule import Candidate, Work
from cost_models.machine import UniformPath

WORD_BYTES, LINE_WORDS = 4, 16


@dataclass(frozen=True)
class UniformStreams:
    """Bytes of uniforms, as tiles of pixels by tiles of channels are dealt out to the QPUs: those of one tile, those
    that a slice's QPUs read before they read the same again, those that all QPUs read in a round, and all that differ.

    A stream belongs to a tile of channels, and `passes` is how often all of them are read.
    """

    tile_bytes: float
    slice_bytes: float
    round_bytes: float
    distinct_bytes: float
    passes: int

    @staticmethod
    def of(candidate: Candidate, work: Work, qpus: int, slice_qpus: int) -> UniformStreams:
        """Where a choice does not say how tiles are dealt out, each tile has one stream of its own."""
        choice = candidate.choice
        tiles = max(1.0, work.dma_stores / choice.tiles.get("blocks", 1))
        tile_bytes = work.uniform_words * WORD_BYTES / tiles
        together, channels = choice.splits.get("pixel_tiles"), choice.tiles.get("channels")
        if not together or not channels:
            return UniformStreams(tile_bytes, tile_bytes, tile_bytes, tile_bytes, 1)
        columns = math.ceil(candidate.spec.outputs[0].shape[1] / channels)
        rows = max(1, round(tiles / columns))
        together = min(together, rows)
        at_once = min(math.ceil(qpus / together), columns)
        turns = math.ceil(columns / at_once)
        return UniformStreams(
            tile_bytes,
            tile_bytes * min(slice_qpus, at_once) * turns,
            tile_bytes * at_once,
            tile_bytes * at_once * turns,
            math.ceil(rows / together),
        )

    def wait_cycles(self, work: Work, path: UniformPath, l2_bytes: float) -> float:
        """Of all QPUs together for lines that their slice's cache does not hold; 0 where it holds all."""
        if self.slice_bytes <= path.cache_bytes:
            return 0.0
        lines = max(0.0, work.working_set_bytes - self.round_bytes)
        from_l2 = work.working_set_bytes <= l2_bytes and self.distinct_bytes + lines <= l2_bytes
        line_cycles = path.l2_line_cycles if from_l2 else path.sdram_line_cycles
        return work.uniform_words / LINE_WORDS * line_cycles
