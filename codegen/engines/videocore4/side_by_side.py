"""Two lowered layers as one: QPUs compute both between the same two barriers.

What they share is the VPM with its mutex, the engine of DMA stores (see `stores`) and the semaphores: of two kernels
that both count some, no QPU could tell whose word it waits for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np

from codegen.engines.videocore4.effects import is_semaphore
from codegen.engines.videocore4.isa import decode
from codegen.engines.videocore4.layer import Address, Base, QpuLayer, Uniform
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.engines.videocore4.stores import beside, stores_of
from codegen.errors import ScheduleError
from codegen.program import WORD_BYTES

Block = tuple[Uniform, ...] | None
Places = Mapping[Base, tuple[int, int]]
"""By kind of buffer, how many lie before a layer's own, and bytes before its first."""

LINE_WORDS = GPU_MEMORY.alignment_bytes // WORD_BYTES


def side_by_side(
    first: QpuLayer, second: QpuLayer, swaps: Sequence[bool], inputs: int, outputs: int
) -> QpuLayer:
    """One layer of both, phase beside phase. A QPU goes through its blocks of the first, then through those of the
    second, the other way round where `swaps` says so of its number. Only the first's weights lie `apart` as it wants.

    The second's inputs and outputs are counted on behind the first's, of which there are so many. Raises ScheduleError
    where the two cannot run at the same time.
    """
    if _counts_semaphores(first) and _counts_semaphores(second):
        raise ScheduleError("both layers keep their QPUs in step, and would do so by the same semaphores")
    scratch_bytes = _aligned(first.scratch_bytes + GPU_MEMORY.guard_bytes) if first.scratch_bytes else 0
    places: Places = {"input": (inputs, 0), "output": (outputs, 0), "scratch": (0, scratch_bytes)}
    return _phases(first, second, swaps, places, scratch_bytes + second.scratch_bytes)


def _phases(
    first: QpuLayer | None,
    second: QpuLayer | None,
    swaps: Sequence[bool],
    places: Places,
    scratch_bytes: int,
) -> QpuLayer:
    """A phase of both, or of the one that has more of them, with all that follow."""
    layers = [layer for layer in (first, second) if layer is not None]
    codes = [layer.code for layer in layers]
    if len(layers) == 1:
        stores_of(codes[0])
    else:
        codes = [*beside(*codes)]
    own = [np.zeros(0, np.uint32) if layer is None else layer.weights for layer in (first, second)]
    words = -(-len(own[0]) // LINE_WORDS) * LINE_WORDS
    weights = np.zeros(words + len(own[1]), np.uint32)
    weights[: len(own[0])], weights[words:] = own
    places = {**places, "weights": (0, WORD_BYTES * words)}
    turns = [_turns(first, second, number, swapped, places) for number, swapped in enumerate(swaps)]
    rounds = list(zip_longest(*([block for block, _ in own_turns] for own_turns in turns)))
    nexts = [None if layer is None else layer.then for layer in (first, second)]
    return QpuLayer(
        codes[0],
        weights,
        rounds[0] if rounds else (None,) * len(turns),
        tuple(rounds[1:]),
        then=_phases(nexts[0], nexts[1], swaps, places, scratch_bytes) if any(nexts) else None,
        scratch_bytes=scratch_bytes,
        apart=None if first is None else first.apart,
        others=tuple(codes[1:]),
        runs=tuple(tuple(kernel for _, kernel in own_turns) for own_turns in turns) if len(codes) > 1 else (),
    )


def _turns(
    first: QpuLayer | None, second: QpuLayer | None, number: int, swapped: bool, places: Places
) -> list[tuple[tuple[Uniform, ...], int]]:
    """A QPU's blocks in turn, each with the number of its kernel."""
    own = [] if first is None else [(block, 0) for block in first.of_qpu(number)]
    others = [] if second is None else [(_moved(block, places), 1) for block in second.of_qpu(number)]
    return [*others, *own] if swapped else [*own, *others]


def _moved(block: tuple[Uniform, ...], places: Places) -> tuple[Uniform, ...]:
    words = list(block)
    for number, word in enumerate(words):
        if isinstance(word, Address) and word.base in places:
            index, offset_bytes = places[word.base]
            words[number] = Address(word.base, word.offset_bytes + offset_bytes, word.index + index)
    return tuple(words)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // GPU_MEMORY.alignment_bytes) * GPU_MEMORY.alignment_bytes


def _counts_semaphores(layer: QpuLayer) -> bool:
    """Whether any of its phases does."""
    counts = any(is_semaphore(decode(word)) for code in layer.codes for word in code)
    return counts or (layer.then is not None and _counts_semaphores(layer.then))


def behind_others(layer: QpuLayer, qpus: int) -> QpuLayer:
    """The layer on the QPUs behind so many others, which have no work of it."""
    idle: tuple[Block, ...] = (None,) * qpus
    return QpuLayer(
        layer.code,
        layer.weights,
        (*idle, *layer.blocks),
        tuple((*idle, *blocks) for blocks in layer.more),
        None if layer.then is None else behind_others(layer.then, qpus),
        layer.scratch_bytes,
    )
