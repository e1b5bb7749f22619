"""What QPUs wait for, tile after tile: uniforms, their turn at the VPM, the memory and V3D's L2.

The caches and engines are those of `docs/hardware.md`. Tiles run in rounds, one on each QPU; the QPUs that share a tile
of pixels or of channels read the same lines at about the same time, so that each is fetched once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from codegen.engines.videocore4.algorithms.channel_lanes import IN_STEP
from codegen.engines.videocore4.algorithms.gemm import OTHER_PIXELS
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.operators.conv2d import Conv2d
from codegen.program import WORD_BYTES
from codegen.schedule import Candidate, Choice, Phase, Work
from cost_models.gpu_paths import GpuPaths

LINE_WORDS = LINE_BYTES // WORD_BYTES
STORED_TILE_INSTRUCTIONS = 15  # while the VPM is held, beside what copies results to it
STORED_PART_INSTRUCTIONS = 12  # the same of a tile that is stored in parts
PARTS_OF_A_BLOCK = 2
QPUS_OF_A_TMU = 2
APART = 0.15  # `Tiles.late` of slices that do not keep in step
CROWDING = 2.5  # resources that are about equally busy wait for each other: of the norm that adds them
SHARPNESS = 8.0  # how suddenly a cache stops to hold what is read again, as more is read in between
ROOM = 1.15  # times a cache's size: where half of what is read again is held


@dataclass(frozen=True)
class Tiles:
    """Tiles of what comes as lines (rows) by tiles of what comes as uniforms (columns), and how many different ones the
    QPUs work on at once: of pixels and of channels, or the other way round. `columns_of_slice`: those of a slice.
    `asked`: the share of lines that TMUs ask for, where each serves two QPUs in a row and asks once for what both read.
    `late`: of what several slices read, the share that each other asks for too late for L2 to have it.
    """

    rows: float
    columns: float
    rows_at_once: float
    columns_at_once: float
    columns_of_slice: float
    rows_of_slice: float
    slices: int
    asked: float
    late: float = APART

    @staticmethod
    def of(candidate: Candidate, work: Work, paths: GpuPaths) -> Tiles:
        """Where a choice does not say how tiles are dealt out, every tile is a row of its own."""
        choice, qpus = candidate.choice, paths.qpus
        count = max(1.0, stored_tiles(choice, work))
        together, channels = choice.splits.get("pixel_tiles"), choice.tiles.get("channels")
        if not together or not channels:
            return Tiles(count, 1.0, min(count, qpus), 1.0, 1.0, min(count, paths.slice_qpus), 1, 1.0)
        columns = float(math.ceil(candidate.spec.outputs[0].shape[1] / channels))
        rows = max(1.0, round(count / columns))
        beside, above = min(math.ceil(qpus / together), columns), min(together, rows)
        by_rows = choice.splits.get("neighbours") == OTHER_PIXELS
        if _has_pixels_as_uniforms(choice):
            rows, columns, above, beside, by_rows = columns, rows, beside, above, not by_rows
        places = [_place(qpu, int(above), int(beside), by_rows) for qpu in range(min(qpus, int(count)))]
        slices = _parts(places, paths.slice_qpus)
        return Tiles(
            rows,
            columns,
            min(rows, max(above, qpus / beside)),
            min(columns, max(beside, qpus / above)),
            min(columns, fmean(len({column for _, column in one}) for one in slices)),
            min(rows, fmean(len({row for row, _ in one}) for one in slices)),
            len(slices),
            sum(len({row for row, _ in pair}) for pair in _parts(places, QPUS_OF_A_TMU)) / len(places),
            0.0 if choice.tiles.get("pace") == IN_STEP else APART,
        )

    @property
    def slices_of_column(self) -> float:
        """How many read the weights of one tile of channels."""
        return max(1.0, self.slices * self.columns_of_slice / self.columns_at_once)

    @property
    def slices_of_row(self) -> float:
        return max(1.0, self.slices * self.rows_of_slice / self.rows_at_once)

    @property
    def count(self) -> float:
        return self.rows * self.columns

    @property
    def passes(self) -> float:
        """How often all tiles of channels are gone through."""
        return self.rows / self.rows_at_once

    @property
    def turns(self) -> float:
        """Of a pass: how often the same tiles of pixels are read."""
        return self.columns / self.columns_at_once


@dataclass(frozen=True)
class Lines:
    """Bytes of input lines that a round reads: `tap`, of one tap of its windows, and `distinct`, of all taps; `fresh`:
    those of them that no pass before has read. `turns`: how often a pass reads them. `at_once`: the share of a tap's
    that is read before the next tap's.
    """

    tap: float
    distinct: float
    fresh: float
    taps: int
    turns: float
    at_once: float = 1.0

    @staticmethod
    def of(candidate: Candidate, work: Work, tiles: Tiles) -> Lines:
        """Of windows that lanes gather, from shapes; of others, what the work counts."""
        spec = candidate.spec
        op = spec.op
        # An algorithm with fewer products than the layer reads no windows, but what it has made of them.
        if not isinstance(op, Conv2d) or op.groups != 1 or work.macs < spec.macs:
            round_bytes = max(work.streamed_bytes_read, work.unique_bytes_read) / max(1.0, tiles.passes)
            return Lines(round_bytes, round_bytes, round_bytes, 1, 1.0)
        channels, height, width = spec.inputs[0].shape[1:]
        block_bytes = channels * LINE_BYTES
        taps = op.kernel[0] * op.kernel[1]
        of_tile = work.load_instructions / tiles.count / (taps * channels)
        blocks = candidate.choice.tiles.get("blocks", of_tile) * tiles.rows_at_once
        every = math.ceil(height * width / LANES)
        if taps == 1:
            return Lines(blocks * block_bytes, blocks * block_bytes, blocks * block_bytes, 1, tiles.turns)
        tap = min(blocks * op.strides[1] + 1, every)
        distinct = min(op.kernel[0] * tap, every)
        fresh = min(distinct, every / max(1.0, tiles.passes))
        at_once = candidate.choice.tiles.get("depth", channels) / channels
        return Lines(
            tap * block_bytes, distinct * block_bytes, fresh * block_bytes, taps, tiles.turns, at_once
        )


@dataclass(frozen=True)
class TileFlow:
    """GPU cycles of each resource. `pipeline`: of a QPU's tiles one after the other, with their waits; `memory`: of the
    bytes moved to and from SDRAM; `l2`: of the lines that come out of it.

    `rounds`: tiles of the busiest QPU. `vpm`: how busy stores keep the VPM, where 1 is always. `waited`: for uniforms,
    as a part of a tile's own time. `between_taps`, `between_turns`, `between_passes`: what is read before lines, and
    before streams of uniforms, are read again, as a part of L2; `slice_streams`: of the cache of a slice. `others`:
    cycles of the phases before and behind this, of which this is the longest.
    """

    tiles: Tiles
    pipeline: float
    memory: float
    l2: float
    rounds: float
    vpm: float
    waited: float
    between_taps: float
    between_turns: float
    between_passes: float
    slice_streams: float
    others: float = 0.0

    @property
    def cycles(self) -> float:
        """What is expected of all together."""
        return self.others + float((self.pipeline**CROWDING + self.memory**CROWDING) ** (1 / CROWDING))

    @staticmethod
    def of_phases(phases: Sequence[Phase], paths: GpuPaths) -> TileFlow:
        """Of at least one phase on the QPUs after the other."""
        flows = [TileFlow.of(phase.candidate, phase.work, paths) for phase in phases]
        longest = max(flows, key=lambda flow: flow.cycles)
        return replace(longest, others=sum(flow.cycles for flow in flows) - longest.cycles)

    @staticmethod
    def of(candidate: Candidate, work: Work, paths: GpuPaths) -> TileFlow:
        """Of a candidate that runs on QPUs in one phase."""
        tiles = Tiles.of(candidate, work, paths)
        lines, streams = Lines.of(candidate, work, tiles), Streams.of(candidate, work, tiles, paths)
        reuse = _Reuse.of(tiles, lines, streams, paths.l2_bytes)
        held, copied = _stored_cycles(candidate, work, tiles, paths)
        waits = _waits(work, tiles, streams, _held(reuse.between_passes), paths)
        own = max(1.0, work.alu_instructions / tiles.count * paths.issue_cycles - copied)
        own += waits
        rounds = math.ceil(tiles.count * work.balance / paths.qpus - 1e-9)
        first = own + min(paths.qpus, tiles.count) * held
        moved = _streamed(tiles, streams, reuse) + _read(tiles, lines, reuse)
        moved += work.store_instructions * LINE_BYTES
        return TileFlow(
            tiles=tiles,
            pipeline=first + (rounds - 1) * max(own + held, paths.qpus * held),
            memory=moved / paths.memory_bytes_per_cycle,
            l2=_fetched(work, tiles, streams, paths) * LINE_BYTES / paths.l2_bytes_per_cycle,
            rounds=float(rounds),
            vpm=paths.qpus * held / (own + held),
            waited=waits / own,
            between_taps=reuse.between_taps,
            between_turns=reuse.between_turns,
            between_passes=reuse.between_passes,
            slice_streams=streams.slice_share,
        )


@dataclass(frozen=True)
class Streams:
    """Bytes of a tile's uniforms, with `vectors` of weights that TMUs read too; those that a slice's QPUs read before
    they read the same again, as a part of its cache; `distinct`: the share of its QPUs whose stream no other of them
    reads.
    """

    tile: float
    weights: float
    slice_share: float
    distinct: float

    @staticmethod
    def of(candidate: Candidate, work: Work, tiles: Tiles, paths: GpuPaths) -> Streams:
        tile = work.uniform_words / tiles.count * WORD_BYTES
        beside = tiles.columns_of_slice
        slice_bytes = tile * beside * max(1.0, tiles.turns)
        vectors = _vectors_of_weights(candidate, work, tiles)
        slice_share = slice_bytes / max(1.0, paths.uniform_cache_bytes)
        return Streams(tile, tile + vectors * LINE_BYTES, slice_share, beside / paths.slice_qpus)

    @property
    def missed(self) -> float:
        """The share of lines that a slice has to ask for again."""
        return 1 - _held(self.slice_share)


@dataclass(frozen=True)
class _Reuse:
    between_taps: float
    between_turns: float
    between_passes: float

    @staticmethod
    def of(tiles: Tiles, lines: Lines, streams: Streams, l2_bytes: float) -> _Reuse:
        room = ROOM * max(1.0, l2_bytes)
        beside = tiles.columns_at_once * streams.weights
        return _Reuse(
            (lines.tap + beside / lines.taps) * lines.at_once / room,
            (lines.distinct + beside) / room,
            (lines.distinct + tiles.columns * streams.weights) / room,
        )


def _has_pixels_as_uniforms(choice: Choice) -> bool:
    return "pixels" in choice.tiles


def stored_tiles(choice: Choice, work: Work) -> float:
    """How many tiles results are stored in, on QPUs."""
    return work.dma_stores / (_stores_of_tile(choice) or 1)


def _stores_of_tile(choice: Choice) -> int | None:
    """Of tiles that are several blocks of pixels, or one and a few pixels more; None where a choice does not say."""
    if _has_pixels_as_uniforms(choice):
        return PARTS_OF_A_BLOCK
    blocks = choice.tiles.get("blocks")
    return None if blocks is None else int(blocks)


def _place(qpu: int, height: int, width: int, by_rows: bool) -> tuple[int, int]:
    """Row and column of a QPU's first tile, in blocks of `height` by `width` of them, dealt out to the right."""
    block, inside = divmod(qpu, height * width)
    row, column = divmod(inside, width)
    if by_rows:
        column, row = divmod(inside, height)
    return row, block * width + column


def _parts(places: Sequence[tuple[int, int]], size: int) -> list[Sequence[tuple[int, int]]]:
    return [places[i : i + size] for i in range(0, len(places), size)]


def _vectors_of_weights(candidate: Candidate, work: Work, tiles: Tiles) -> float:
    """Lines of a tile that are weights: those beyond one of each input channel, tap and block of pixels."""
    op, blocks = candidate.spec.op, candidate.choice.tiles.get("blocks")
    if not isinstance(op, Conv2d) or op.groups != 1 or blocks is None:
        return 0.0
    pixels = float(blocks * op.kernel[0] * op.kernel[1] * candidate.spec.inputs[0].shape[1])
    return max(0.0, work.load_instructions / tiles.count - pixels)


def _held(between: float) -> float:
    """The share of what is read again that a cache still has, by what was read since as a part of its size."""
    return float(1.0 / (1.0 + between**SHARPNESS))


def _stored_cycles(candidate: Candidate, work: Work, tiles: Tiles, paths: GpuPaths) -> tuple[float, float]:
    """Cycles for which a tile keeps the VPM from the others, and those of a tile's instructions among them.

    Results are copied to the VPM by one or two instructions each. Tiles of several blocks of pixels, or of many rows,
    are stored in parts: the first is copied while a store of another tile ends, those behind the second while one of
    their own runs.
    """
    rows = work.store_instructions / tiles.count
    transfers = work.dma_stores * paths.store_setup_cycles + work.store_instructions * paths.stored_row_cycles
    blocks = _stores_of_tile(candidate.choice)
    if blocks is None or rows < max(blocks, PARTS_OF_A_BLOCK):
        copied = 2 * rows * paths.issue_cycles
        around = STORED_TILE_INSTRUCTIONS * paths.issue_cycles
        return copied + transfers / tiles.count + around, copied
    parts = max(blocks, PARTS_OF_A_BLOCK)
    again = paths.store_setup_cycles * (parts - blocks)
    around = STORED_PART_INSTRUCTIONS * paths.issue_cycles
    copied = rows * paths.issue_cycles
    return copied / parts + transfers / tiles.count + again + around, copied


def _waits(work: Work, tiles: Tiles, streams: Streams, in_l2: float, paths: GpuPaths) -> float:
    """Cycles of a tile for lines of uniforms; the words that are read ahead hide a part of each."""
    if work.uniform_words == 0:
        return 0.0
    line = paths.l2_line_cycles * in_l2 + paths.sdram_line_cycles * (1 - in_l2)
    word = work.alu_instructions * paths.issue_cycles / work.uniform_words
    hidden = max(paths.prefetched_words * word, work.hiding_instructions * paths.issue_cycles)
    lines = work.uniform_words / tiles.count / LINE_WORDS
    return lines * max(0.0, line - hidden) * streams.missed


def _streamed(tiles: Tiles, streams: Streams, reuse: _Reuse) -> float:
    """Bytes of uniforms from SDRAM: each stream once, and again in each pass that L2 does not keep it for."""
    again = max(0.0, tiles.passes - 1) * (1 - _held(reuse.between_passes))
    late = 1 + tiles.late * (tiles.slices_of_column - 1) * (1 - _held(reuse.between_turns))
    return tiles.columns * streams.weights * (1 + again) * late


def _read(tiles: Tiles, lines: Lines, reuse: _Reuse) -> float:
    """Bytes of input lines from SDRAM: again for each tap, turn and pass that L2 does not keep them for."""
    for_taps = _held(reuse.between_taps)
    turn = lines.distinct * for_taps + lines.tap * lines.taps * (1 - for_taps)
    later = turn
    if lines.taps > 1 and for_taps > 0.5:
        later = lines.fresh + (turn - lines.fresh) * (1 - _held(reuse.between_passes))
    passes = max(1.0, tiles.passes)
    again = passes * turn * (max(1.0, lines.turns) - 1) * (1 - _held(reuse.between_turns))
    late = 1 + tiles.late * (tiles.slices_of_row - 1) * (1 - for_taps)
    return (turn + (passes - 1) * later + again) * late


def _fetched(work: Work, tiles: Tiles, streams: Streams, paths: GpuPaths) -> float:
    """Lines out of L2: what a TMU's cache or a slice's cache of uniforms has not, since no neighbour asked for it."""
    uniforms = work.uniform_words / LINE_WORDS * streams.distinct * streams.missed
    return work.load_instructions * tiles.asked + uniforms
