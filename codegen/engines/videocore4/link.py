"""Chains lowered layers into as few launches as asked for: code, barriers, uniform blocks, memory plan.

Every QPU runs the same sequence of layers. Its uniform blocks are chained: each starts with three words of the
linker's (barrier routine, kernel, address of the next block) and goes on with the kernel's own. Between layers
all QPUs meet at a barrier of three semaphores: arrivals, and departures of even and of odd layers, so that a
fast QPU cannot take a slow one's token of the barrier before. A QPU goes from one block of a layer to the next
without a barrier; several kernels may go through the blocks of one (see `side_by_side`).

The caller says where activations lie (`codegen.bundle.arrangement`): within a launch no address is used twice, for a
TMU or uniform read of a line that was read earlier in the launch and stored to since would be stale. Buffers that
are alive together are separated by a guard larger than any read ahead, so that no line of one is touched while
reading another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from codegen.engines.videocore4.assembler import Assembler, word_of
from codegen.engines.videocore4.layer import EPILOGUE, NEXT_BLOCK, Address, QpuLayer, Uniform, leave
from codegen.engines.videocore4.memory import GPU_MEMORY
from codegen.engines.videocore4.parts import divided
from codegen.engines.videocore4.registers import UNIFORM, A
from codegen.errors import GpuMemoryError, LinkError
from codegen.placement import Placement
from codegen.program import WORD_BYTES, GpuProgram, Launch, Region

ALIGNMENT_BYTES, GUARD_BYTES = GPU_MEMORY.alignment_bytes, GPU_MEMORY.guard_bytes
WAY_BYTES = 8192  # of the V3D's L2: addresses so far apart are in the same set
ARRIVE, DEPART = 12, (13, 14)  # semaphores
_TARGET = A(28)


@dataclass(frozen=True, eq=False)
class LinkedLayer:
    """A lowered layer, or a phase of one, with the names of the buffers it reads and writes."""

    name: str
    layer: QpuLayer
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def phases(self, qpus: int) -> list[tuple[LinkedLayer, ...]]:
        """Its phases, between which all QPUs meet; each in parts where it is dealt out to more than these QPUs."""
        found: list[tuple[LinkedLayer, ...]] = []
        phase: QpuLayer | None = self.layer
        while phase is not None:
            found.append(tuple(replace(self, layer=part) for part in divided(phase, qpus)))
            phase = phase.then
        return found


@dataclass
class _Image:
    """Words under construction, with the positions that hold addresses within the image."""

    words: list[np.ndarray[tuple[int], np.dtype[np.uint32]]] = field(default_factory=list)
    size: int = 0  # words
    relocations: list[int] = field(default_factory=list)

    def align(self) -> None:
        gap = -self.size % (ALIGNMENT_BYTES // WORD_BYTES)
        if gap:
            self.append(np.zeros(gap, np.uint32))

    def append(self, words: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> int:
        """Adds words and returns their byte offset."""
        offset = WORD_BYTES * self.size
        self.words.append(words)
        self.size += len(words)
        return offset

    def append_code(self, code: tuple[int, ...]) -> int:
        self.align()
        return self.append(np.array(code, np.uint64).view(np.uint32))


def link(
    launches: Sequence[Sequence[LinkedLayer]],
    activations: Placement,
    inputs: Sequence[str],
    outputs: Sequence[str],
    num_qpus: int,
    memory_limit_bytes: int = 0,
) -> GpuProgram:
    """One image for all launches of phases.

    `activations` places every buffer that the layers name; they lie behind all else, in the program's last
    `activations.size_bytes`. `inputs` and `outputs` are those that the CPU writes and reads. Raises LinkError where
    a layer has more than one phase or wants more QPUs than there are, a buffer is unknown, or the image exceeds the
    memory limit.
    """
    _check(launches, activations.regions, num_qpus)
    image = _Image()
    code = _place_code(image, launches, num_qpus)
    block_offsets, controls, blocks_end = _place_blocks(image, launches, num_qpus)
    weights_offset = blocks_end
    weights, weights_end = _plan_weights(launches, weights_offset, activations)
    scratch, scratch_end = _plan_scratch(launches, weights_end)
    start = _aligned(scratch_end + GUARD_BYTES)
    if any(layer.layer.apart is not None for layers in launches for layer in layers):
        start += -start % WAY_BYTES  # so that `_plan_weights` knows the sets of inputs
    regions, size_bytes = activations.behind(start), start + activations.size_bytes
    if memory_limit_bytes and size_bytes > memory_limit_bytes:
        raise GpuMemoryError(size_bytes, memory_limit_bytes)
    _Writer(image, code, block_offsets, controls, weights, scratch, regions, num_qpus).write(launches)
    words = np.zeros(weights_end // WORD_BYTES, np.uint32)
    words[: image.size] = np.concatenate(image.words)
    for layer_key, offset in weights.items():
        launch, position = layer_key
        packed = launches[launch][position].layer.weights
        words[offset // WORD_BYTES : offset // WORD_BYTES + len(packed)] = packed
    return GpuProgram(
        words=words,
        size_bytes=size_bytes,
        relocations=np.array(sorted(image.relocations), np.uint32),
        launches=tuple(
            Launch(control, num_qpus, _passed(layers), code.epilogue)
            for control, layers in zip(controls, launches, strict=True)
        ),
        inputs=tuple(regions[name] for name in inputs),
        outputs=tuple(regions[name] for name in outputs),
        weights_offset_bytes=weights_offset,
        scratch=tuple(
            dict.fromkeys(
                Region(layer.name, scratch[number, index], layer.layer.scratch_bytes)
                for number, layers in enumerate(launches)
                for index, layer in enumerate(layers)
                if layer.layer.scratch_bytes
            )
        ),
    )


def link_single(
    layer: QpuLayer, input_bytes: Sequence[int], output_bytes: Sequence[int], num_qpus: int
) -> GpuProgram:
    """A program of one layer: what a candidate is measured with. One that is divided has a launch for each part."""
    names = tuple(f"input{i}" for i in range(len(input_bytes)))
    results = tuple(f"output{i}" for i in range(len(output_bytes)))
    buffers = dict(zip((*names, *results), (*input_bytes, *output_bytes), strict=True))
    linked = LinkedLayer("layer", layer, names, results)
    phases = linked.phases(num_qpus)
    launches = [[part] for parts in phases for part in parts]
    if all(len(parts) == 1 for parts in phases):
        launches = [[part for parts in phases for part in parts]]
    return link(launches, Placement.side_by_side(buffers, GPU_MEMORY), names, results, num_qpus)


def _check(launches: Sequence[Sequence[LinkedLayer]], buffers: Mapping[str, Region], num_qpus: int) -> None:
    if not launches or not all(launches):
        raise LinkError("nothing to link: every launch needs a layer")
    for layer in (x for layers in launches for x in layers):
        if layer.layer.then is not None:
            raise LinkError(f"layer {layer.name!r} has a second phase: link its `phases`")
        most = max(len(blocks) for blocks in (layer.layer.blocks, *layer.layer.more))
        if most > num_qpus:
            raise LinkError(f"layer {layer.name!r} is split over {most} QPUs, there are {num_qpus}")
        for name in (*layer.inputs, *layer.outputs):
            if name not in buffers:
                raise LinkError(f"layer {layer.name!r} names buffer {name!r}, which is not planned")


# Code -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Code:
    """Byte offsets of the routines and kernels in the image."""

    entry: int
    epilogue: int
    idle: int
    end: int
    dispatch: int
    barriers: Mapping[tuple[bool, int], int]  # (is master, parity)
    kernels: Mapping[tuple[int, ...], int]


def _dispatch(k: Assembler) -> None:
    """Reads kernel and next block from the stream and enters the kernel; by itself the way between a layer's blocks."""
    k.mov(_TARGET, UNIFORM)
    k.mov(NEXT_BLOCK, UNIFORM)
    k.branch_register(_TARGET)


@cache
def _entry() -> tuple[int, ...]:
    k = Assembler()
    k.mov(EPILOGUE, UNIFORM)
    _dispatch(k)
    return k.assemble()


@cache
def _epilogue() -> tuple[int, ...]:
    k = Assembler()
    k.mov(_TARGET, UNIFORM)
    k.branch_register(_TARGET)
    return k.assemble()


@cache
def _barrier(master: bool, parity: int, num_qpus: int) -> tuple[int, ...]:
    k = Assembler()
    if master:
        for _ in range(num_qpus - 1):
            k.acquire(ARRIVE)
        for _ in range(num_qpus - 1):
            k.release(DEPART[parity])
    else:
        k.release(ARRIVE)
        k.acquire(DEPART[parity])
    _dispatch(k)
    return k.assemble()


@cache
def _again() -> tuple[int, ...]:
    k = Assembler()
    _dispatch(k)
    return k.assemble()


@cache
def _idle() -> tuple[int, ...]:
    k = Assembler()
    leave(k)
    return k.assemble()


@cache
def _end() -> tuple[int, ...]:
    k = Assembler()
    k.thread_end()
    return k.assemble()


def _place_code(image: _Image, launches: Sequence[Sequence[LinkedLayer]], num_qpus: int) -> _Code:
    barriers = {
        (master, parity): image.append_code(_barrier(master, parity, num_qpus))
        for master in (True, False)
        for parity in (0, 1)
    }
    routines = (_entry(), _epilogue(), _idle(), _end())
    entry, epilogue, idle, end = (image.append_code(c) for c in routines)
    repeated = any(x.layer.more for layers in launches for x in layers)
    dispatch = image.append_code(_again()) if repeated else 0
    kernels: dict[tuple[int, ...], int] = {}
    for kernel in (code for layers in launches for x in layers for code in x.layer.codes):
        if kernel not in kernels:
            kernels[kernel] = image.append_code(kernel)
    return _Code(entry, epilogue, idle, end, dispatch, barriers, kernels)


# Blocks -----------------------------------------------------------------------------------------------------

_FIRST_WORDS = 3  # of the linker's, at the start of each block: barrier or epilogue, kernel, next block
_Key = tuple[int, int, int, int]  # launch, layer (one past the last: the end), QPU, block of the layer


def _place_blocks(
    image: _Image, launches: Sequence[Sequence[LinkedLayer]], num_qpus: int
) -> tuple[dict[_Key, int], list[int], int]:
    """Byte offsets of every block and control list, behind the code, and where the weights may start."""
    image.align()
    position = WORD_BYTES * image.size
    offsets: dict[_Key, int] = {}
    controls = []
    for number, layers in enumerate(launches):
        controls.append(position)
        position = _aligned(position + 8 * num_qpus)
        for q in range(num_qpus):
            for index in range(len(layers) + 1):
                for n, block in enumerate(_blocks_of(layers, index, q) or [()]):
                    offsets[number, index, q, n] = position
                    position += WORD_BYTES * (_FIRST_WORDS + len(block))
            position = _aligned(position)
    # The uniforms' prefetch may run past the last block: it must not reach anything that changes.
    return offsets, controls, _aligned(position + GUARD_BYTES)


def _blocks_of(layers: Sequence[LinkedLayer], index: int, q: int) -> list[tuple[Uniform, ...]]:
    """A QPU's blocks of a layer; where others have more, it passes as often without work."""
    if index == len(layers):
        return []
    own, passes = layers[index].layer.of_qpu(q), _passes(layers[index])
    return own if passes == 1 else [*own, *[()] * (passes - len(own))]


def _passes(layer: LinkedLayer) -> int:
    """How often every QPU passes the mark behind a layer's blocks."""
    if not layer.layer.more:
        return 1
    return max(1, *(len(layer.layer.of_qpu(q)) for q in range(len(layer.layer.blocks))))


def _passed(layers: Sequence[LinkedLayer]) -> tuple[str, ...]:
    """The layer of each mark."""
    return tuple(layer.name for layer in layers for _ in range(_passes(layer)))


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _plan_weights(
    launches: Sequence[Sequence[LinkedLayer]], start: int, activations: Placement
) -> tuple[dict[tuple[int, int], int], int]:
    """Where each phase's weights begin: parts of one phase share them, and layers of equal ones. Those that want to lie
    `apart` from the layer's input do, where the activations begin with the first set of a way.
    """
    offsets: dict[tuple[int, int], int] = {}
    placed: dict[bytes, int] = {}
    known: dict[int, int] = {}  # parts of a phase have the same array
    position = start
    for number, layers in enumerate(launches):
        for index, layer in enumerate(layers):
            weights = layer.layer.weights
            if id(weights) not in known:
                content = weights.tobytes()
                if content not in placed:
                    room = gap = 0
                    if layer.layer.apart is not None:
                        wanted = activations.regions[layer.inputs[0]].offset_bytes - layer.layer.apart
                        room, gap = WAY_BYTES, (wanted - position) % WAY_BYTES
                    placed[content] = position + gap
                    position = _aligned(position + room + len(content))  # the same wherever the input lies
                known[id(weights)] = placed[content]
            offsets[number, index] = known[id(weights)]
    return offsets, position


def _plan_scratch(
    launches: Sequence[Sequence[LinkedLayer]], start: int
) -> tuple[dict[tuple[int, int], int], int]:
    """Where each layer's scratch lies, for all its phases and their parts: layers have names of their own. No two share
    memory, for reads of what was read before in the launch would be stale.
    """
    offsets: dict[tuple[int, int], int] = {}
    placed: dict[str, int] = {}
    position = start
    for number, layers in enumerate(launches):
        for index, layer in enumerate(layers):
            if layer.layer.scratch_bytes and layer.name not in placed:
                placed[layer.name] = _aligned(position + GUARD_BYTES)
                position = placed[layer.name] + layer.layer.scratch_bytes
            offsets[number, index] = placed.get(layer.name, start)
    return offsets, position


class _Writer:
    """Fills blocks and control lists with words whose addresses are all known."""

    def __init__(
        self,
        image: _Image,
        code: _Code,
        blocks: Mapping[_Key, int],
        controls: Sequence[int],
        weights: Mapping[tuple[int, int], int],
        scratch: Mapping[tuple[int, int], int],
        regions: Mapping[str, Region],
        num_qpus: int,
    ) -> None:
        self._image = image
        self._code = code
        self._blocks = blocks
        self._controls = controls
        self._weights = weights
        self._scratch = scratch
        self._regions = regions
        self._num_qpus = num_qpus

    def _put(self, offset: int, words: Sequence[int], addresses: Sequence[int]) -> None:
        """Adds words; `addresses` are the places among them that hold one."""
        if offset < WORD_BYTES * self._image.size:
            raise LinkError("blocks overlap: the linker planned too little room")
        gap = offset // WORD_BYTES - self._image.size
        if gap:
            self._image.append(np.zeros(gap, np.uint32))
        self._image.append(np.array(words, np.uint32))
        first = offset // WORD_BYTES
        self._image.relocations += [first + place for place in addresses]

    def write(self, launches: Sequence[Sequence[LinkedLayer]]) -> None:
        """Every control list, each followed by the blocks of its launch."""
        for number, layers in enumerate(launches):
            pairs = [
                w for q in range(self._num_qpus) for w in (self._blocks[number, 0, q, 0], self._code.entry)
            ]
            self._put(self._controls[number], pairs, range(len(pairs)))
            for q in range(self._num_qpus):
                for index in range(len(layers) + 1):
                    self._write_block(number, layers, index, q)

    def _write_block(self, number: int, layers: Sequence[LinkedLayer], index: int, q: int) -> None:
        blocks = _blocks_of(layers, index, q)
        for n, uniforms in enumerate(blocks or [()]):
            start = self._blocks[number, index, q, n]
            last = n + 1 >= len(blocks)
            words, addresses = self._first_words(number, layers, index, q, n, last=last, idle=not uniforms)
            # A network has half a million of these, nearly all of them integers.
            words += [uniform & 0xFFFFFFFF if type(uniform) is int else 0 for uniform in uniforms]
            for place in [p for p, uniform in enumerate(uniforms) if type(uniform) is not int]:
                uniform = uniforms[place]
                if isinstance(uniform, Address):
                    addresses.append(_FIRST_WORDS + place)
                    word = self._resolve(uniform, number, layers[index], index, start)
                else:
                    word = word_of(uniform)
                words[_FIRST_WORDS + place] = word
            self._put(start, words, addresses)

    def _first_words(
        self,
        number: int,
        layers: Sequence[LinkedLayer],
        index: int,
        q: int,
        n: int,
        *,
        last: bool,
        idle: bool,
    ) -> tuple[list[int], list[int]]:
        barrier = self._code.barriers[q == 0, index % 2]
        first = self._code.dispatch if n else self._code.epilogue if index == 0 else barrier
        if index == len(layers):
            return [first, self._code.end, 0], [0, 1]
        kernel = self._code.idle if idle else self._code.kernels[layers[index].layer.code_of(q, n)]
        following = (number, index + 1, q, 0) if last else (number, index, q, n + 1)
        return [first, kernel, self._blocks[following]], [0, 1, 2]

    def _resolve(
        self, address: Address, number: int, layer: LinkedLayer, index: int, block_start: int
    ) -> int:
        if address.base == "block":
            return block_start + WORD_BYTES * _FIRST_WORDS + address.offset_bytes
        if address.base == "weights":
            return self._weights[number, index] + address.offset_bytes
        if address.base == "scratch":
            return self._scratch[number, index] + address.offset_bytes
        buffers = layer.outputs if address.base == "output" else layer.inputs
        buffer = buffers[address.index]
        return self._regions[buffer].offset_bytes + address.offset_bytes
